# RB-WIN-FIREWALL-001 remediate: start the service, turn on the profiles that are off. detect.ps1 says why so.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$status = 'error'
$reasons = @()
$changed = $false
$o = [ordered]@{ firewall_enabled = $false; profiles = [ordered]@{}; service_running = $false; winrm_inbound_allowed = $false }
function Read-Profiles {
    foreach ($p in Get-NetFirewallProfile -PolicyStore ActiveStore) { $o.profiles[$p.Name] = $p.Enabled.ToString() }
    $o.firewall_enabled = @($o.profiles.Values -eq 'True').Count -eq 3
}
try {
    $o.service_running = (Get-Service -Name MpsSvc).Status.ToString() -eq 'Running'
    if ($o.service_running) {
        Read-Profiles
        $ports = @(Get-NetFirewallPortFilter -PolicyStore ActiveStore -Protocol TCP -ErrorAction SilentlyContinue |
            Where-Object { $_.LocalPort -match '^598[56]$' } | ForEach-Object { $_.InstanceID })
        $rules = @(Get-NetFirewallRule -PolicyStore ActiveStore -Enabled True -Direction Inbound -Action Allow -ErrorAction SilentlyContinue |
            Where-Object { $ports -contains $_.InstanceID })
    } else {
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules'
        $rules = @((Get-ItemProperty -Path $key).PSObject.Properties |
            Where-Object { $_.Value -match '\|Action=Allow\|Active=TRUE\|Dir=In\|Protocol=6\|(.*\|)?LPort=598[56]\|' })
    }
    $o.winrm_inbound_allowed = $rules.Count -gt 0
    if (-not $o.firewall_enabled) {
        # Without such a rule, what follows would cut this very connection, for good.
        if (-not $o.winrm_inbound_allowed) { throw 'no inbound rule allows TCP 5985 or 5986: add one' }
        if (-not $o.service_running) {
            Start-Service -Name MpsSvc
            $changed = $true
            $o.service_running = $true
            Read-Profiles
        }
        # RSOP is what Group Policy sets; no local setting overrides it.
        $policy = @(Get-NetFirewallProfile -PolicyStore RSOP -ErrorAction SilentlyContinue |
            Where-Object { $_.Enabled -eq 'False' } | ForEach-Object { $_.Name })
        foreach ($name in $policy) { $reasons += "profile ${name}: turned off by Group Policy" }
        $mine = @($o.profiles.Keys | Where-Object { $o.profiles[$_] -ne 'True' -and $policy -notcontains $_ })
        if ($mine.Count -gt 0) {
            Set-NetFirewallProfile -Profile $mine -Enabled True
            $changed = $true
            Read-Profiles
        }
    }
    $status = if ($o.firewall_enabled) { 'compliant' } elseif ($changed) { 'drift' } else { 'unsupported' }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-FIREWALL-001'; phase = 'remediate'; status = $status; observed = $o
    reasons = $reasons; changed = $changed; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
