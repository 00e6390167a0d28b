# RB-WIN-LOGGING-001 detect: does Windows write the security events that an investigation needs, and keep them long
# enough? Reads only.
try {
    Read-State
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'detect'
exit 0
