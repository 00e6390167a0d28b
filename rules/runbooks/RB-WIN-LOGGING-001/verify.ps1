# RB-WIN-LOGGING-001 verify: did the remediation hold? The same reading as detect, once more.
try {
    Read-State
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'verify'
exit 0
