# RB-WIN-LOGGING-001 undo: put the audit settings and the log's size back to what detect saw before the change
# ($MspParams.before). The service and the log stay on: that they were off was the fault itself.
# status is the state afterwards: drift when less is audited again, as it was; error when undo itself failed.
try {
    $before = $MspParams.before
    if ($null -eq $before -or $null -eq $before.audit) {
        throw 'parameter before is missing: undo needs the observed object of the detect that ran before the change'
    }
    Read-State
    foreach ($s in $required) {
        $name = $s.name
        $was = $before.audit.$name
        if ($null -eq $was -or $was -eq $o.audit[$name]) { continue }
        if (0, 1, 2, 3 -notcontains $was) { throw "parameter before: $name cannot be '$was'" }
        $success = if ($was -eq 1 -or $was -eq 3) { 'enable' } else { 'disable' }
        $failure = if ($was -ge 2) { 'enable' } else { 'disable' }
        Invoke-Tool auditpol '/set', "/subcategory:$($s.guid)", "/success:$success", "/failure:$failure" | Out-Null
        $r.changed = $true
    }
    # A size that could not be read before (the service was stopped), or that Group Policy set, is not ours to put back.
    $was = $before.log_max_bytes
    if ($null -ne $was -and $null -eq $o.log_policy_max_bytes -and $o.service_running -and $was -ne $o.log_max_bytes) {
        $size = [long]$was
        Invoke-Tool wevtutil 'sl', 'Security', "/ms:$size" | Out-Null
        $r.changed = $true
    }
    Read-State
    foreach ($s in $required) {
        $name = $s.name
        $was = $before.audit.$name
        if ($null -ne $was -and $was -ne $o.audit[$name]) { throw "${name}: the setting is $($o.audit[$name]), it was $was" }
    }
    $r.status = Get-Verdict
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'undo'
exit 0
