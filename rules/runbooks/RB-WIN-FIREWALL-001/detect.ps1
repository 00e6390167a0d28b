# RB-WIN-FIREWALL-001 detect: is Windows Firewall on in all three profiles? Reads only.
try {
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'detect'
exit 0
