# RB-WIN-FIREWALL-001 undo: put each profile back to what detect saw before the change ($MspParams.before).
# The service is left running: Windows does not accept a stop of MpsSvc.
# status is the firewall's state afterwards: drift when it is off again, as it was; error when undo itself failed.
$o.Remove('winrm_inbound_allowed')    # undo does not ask for it
try {
    if ($null -eq $MspParams.before -or $null -eq $MspParams.before.profiles) {
        throw 'parameter before is missing: undo needs the observed object of the detect that ran before the change'
    }
    Read-Service
    Read-Profiles
    foreach ($name in 'Domain', 'Private', 'Public') {
        # A profile that could not be read before (the service was stopped) has no earlier value to return to.
        $before = $MspParams.before.profiles.$name
        if ('True', 'False' -contains $before -and $before -ne $o.profiles[$name]) {
            Set-NetFirewallProfile -Profile $name -Enabled $before
            $r.changed = $true
        }
    }
    Read-Profiles
    foreach ($name in $o.profiles.Keys) {
        $before = $MspParams.before.profiles.$name
        if ($null -ne $before -and $before -ne $o.profiles[$name]) {
            throw "profile ${name}: Enabled is $($o.profiles[$name]), it was $before"
        }
        if ($o.profiles[$name] -ne 'True') { $r.reasons += "profile ${name}: Enabled is $($o.profiles[$name]) again" }
    }
    $o.firewall_enabled = Test-Enabled
    $r.status = if ($o.firewall_enabled) { 'compliant' } else { 'drift' }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'undo'
exit 0
