# RB-WIN-FIREWALL-001 verify: did the remediation hold? The same reading as detect, once more.
try {
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'verify'
exit 0
