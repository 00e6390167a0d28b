# RB-WIN-AV-001 detect: does Microsoft Defender protect this machine? Reads only.
try {
    Read-Defender
} catch {
    Set-Failure $_
}
Write-Result 'detect'
exit 0
