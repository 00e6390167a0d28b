# RB-WIN-AV-001 verify: did the remediation hold? The same reading as detect, once more.
try {
    Read-Defender
} catch {
    Set-Failure $_
}
Write-Result 'verify'
exit 0
