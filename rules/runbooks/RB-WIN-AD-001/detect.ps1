# RB-WIN-AD-001 detect: does this domain controller serve its directory, and does it replicate? Reads only.
try {
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'detect'
exit 0
