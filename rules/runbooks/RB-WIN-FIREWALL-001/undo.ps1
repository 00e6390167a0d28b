# RB-WIN-FIREWALL-001 undo: put each profile back to what detect saw before the change ($MspParams.before).
# The service is left running: Windows does not accept a stop of MpsSvc.
# status is the firewall's state afterwards: drift when it is off again, as it was; error when undo itself failed.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$status = 'error'
$reasons = @()
$changed = $false
$profiles = [ordered]@{}
$running = $false
$enabled = $false
try {
    if ($null -eq $MspParams.before -or $null -eq $MspParams.before.profiles) {
        throw 'parameter before is missing: undo needs the observed object of the detect that ran before the change'
    }
    $running = (Get-Service -Name MpsSvc).Status.ToString() -eq 'Running'
    foreach ($p in Get-NetFirewallProfile -PolicyStore ActiveStore) { $profiles[$p.Name] = $p.Enabled.ToString() }
    foreach ($name in 'Domain', 'Private', 'Public') {
        # A profile that could not be read before (the service was stopped) has no earlier value to return to.
        $before = $MspParams.before.profiles.$name
        if ('True', 'False' -contains $before -and $before -ne $profiles[$name]) {
            Set-NetFirewallProfile -Profile $name -Enabled $before
            $changed = $true
        }
    }
    foreach ($p in Get-NetFirewallProfile -PolicyStore ActiveStore) {
        $name = $p.Name
        $profiles[$name] = $p.Enabled.ToString()
        $before = $MspParams.before.profiles.$name
        if ($null -ne $before -and $before -ne $profiles[$name]) { throw "profile ${name}: Enabled is $($profiles[$name]), it was $before" }
        if ($profiles[$name] -ne 'True') { $reasons += "profile ${name}: Enabled is $($profiles[$name]) again" }
    }
    $on = @($profiles.Values | Where-Object { $_ -eq 'True' })
    $enabled = $running -and $on.Count -eq 3
    if ($enabled) { $status = 'compliant' } else { $status = 'drift' }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-FIREWALL-001'; phase = 'undo'; status = $status
    observed = [ordered]@{ firewall_enabled = $enabled; profiles = $profiles; service_running = $running }
    reasons = $reasons; changed = $changed; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
