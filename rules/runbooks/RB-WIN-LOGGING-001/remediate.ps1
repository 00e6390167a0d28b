# RB-WIN-LOGGING-001 remediate: audit what is missing, make room in the Security log, start the event log's service.
# Only adds: what is audited beyond this runbook's list stays.
try {
    Read-State
    if (-not $o.service_running -and (Get-Service -Name EventLog).StartType.ToString() -eq 'Disabled') {
        $r.reasons += 'the service EventLog is disabled: enabling it is a decision for a person'
    } elseif (-not $o.service_running) {
        Start-Service -Name EventLog
        $r.changed = $true
        Read-State
    }
    foreach ($s in $required) {
        if ($o.audit_missing -notcontains $s.name) { continue }
        $set = @('/set', "/subcategory:$($s.guid)")
        if ($s.need -ne 2) { $set += '/success:enable' }
        if ($s.need -ne 1) { $set += '/failure:enable' }
        Invoke-Tool auditpol $set | Out-Null
        $r.changed = $true
    }
    if ($o.service_running -and -not $o.log_enabled) {
        Invoke-Tool wevtutil 'sl', 'Security', '/e:true' | Out-Null
        $r.changed = $true
    }
    # Against Group Policy a size set here would only be stored.
    if ($o.service_running -and $o.log_max_bytes -lt $minimum -and $null -eq $o.log_policy_max_bytes) {
        Invoke-Tool wevtutil 'sl', 'Security', "/ms:$minimum" | Out-Null
        $r.changed = $true
    }
    if ($r.changed) { Read-State }
    $r.reasons += @(Get-Fault)
    $r.status = if (Test-State) { 'compliant' } elseif ($r.changed) { 'drift' } else { 'unsupported' }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'remediate'
exit 0
