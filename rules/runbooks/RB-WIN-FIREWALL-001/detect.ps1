# RB-WIN-FIREWALL-001 detect: is Windows Firewall on in all three profiles? Reads only.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$status = 'error'
$reasons = @()
$profiles = [ordered]@{}
$running = $false
$allowed = $false
$enabled = $false
try {
    $running = (Get-Service -Name MpsSvc).Status.ToString() -eq 'Running'
    if ($running) {
        # ActiveStore is what is in force, Group Policy included. Enabled has a third value, NotConfigured,
        # that is true in a condition: compare its text.
        foreach ($p in Get-NetFirewallProfile -PolicyStore ActiveStore) { $profiles[$p.Name] = $p.Enabled.ToString() }
        # Does a rule let WinRM in? A port filter has the InstanceID of its rule: two queries, not one a rule.
        # A query that finds nothing is an error, hence SilentlyContinue.
        $ports = @(Get-NetFirewallPortFilter -PolicyStore ActiveStore -Protocol TCP -ErrorAction SilentlyContinue |
            Where-Object { $_.LocalPort -match '^598[56]$' } | ForEach-Object { $_.InstanceID })
        $rules = @(Get-NetFirewallRule -PolicyStore ActiveStore -Enabled True -Direction Inbound -Action Allow -ErrorAction SilentlyContinue |
            Where-Object { $ports -contains $_.InstanceID })
    } else {
        # Without the service the cmdlets fail. Its rules can be read all the same: they are kept in the registry.
        $reasons += 'the firewall service MpsSvc is not running'
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules'
        $rules = @((Get-ItemProperty -Path $key).PSObject.Properties |
            Where-Object { $_.Value -match '\|Action=Allow\|Active=TRUE\|Dir=In\|Protocol=6\|(.*\|)?LPort=598[56]\|' })
    }
    $allowed = $rules.Count -gt 0
    $off = @($profiles.Keys | Where-Object { $profiles[$_] -ne 'True' })
    foreach ($name in $off) { $reasons += "profile ${name}: Enabled is $($profiles[$name])" }
    $enabled = $running -and $profiles.Count -eq 3 -and $off.Count -eq 0
    $status = if ($enabled) { 'compliant' } else { 'drift' }
    if (-not $enabled -and -not $allowed) {
        $reasons += 'no inbound rule allows TCP 5985 or 5986: remediate will refuse, so as not to lock WinRM out'
    }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-FIREWALL-001'; phase = 'detect'; status = $status
    observed = [ordered]@{ firewall_enabled = $enabled; profiles = $profiles; service_running = $running; winrm_inbound_allowed = $allowed }
    reasons = $reasons; changed = $false; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
