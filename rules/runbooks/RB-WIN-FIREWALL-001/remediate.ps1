# RB-WIN-FIREWALL-001 remediate: start the service, turn on the profiles that are off. functions.ps1 says why so.
try {
    Read-Service
    if ($o.service_running) {
        Read-Profiles
        $o.firewall_enabled = Test-Enabled
    }
    Read-Rules
    if (-not $o.firewall_enabled) {
        # Without such a rule, what follows would cut this very connection, for good.
        if (-not $o.winrm_inbound_allowed) { throw 'no inbound rule allows TCP 5985 or 5986: add one' }
        if (-not $o.service_running) {
            Start-Service -Name MpsSvc
            $r.changed = $true
            $o.service_running = $true
            Read-Profiles
            $o.firewall_enabled = Test-Enabled
        }
        # RSOP is what Group Policy sets; no local setting overrides it.
        $policy = @(Get-NetFirewallProfile -PolicyStore RSOP -ErrorAction SilentlyContinue |
            Where-Object { $_.Enabled -eq 'False' } | ForEach-Object { $_.Name })
        foreach ($name in $policy) { $r.reasons += "profile ${name}: turned off by Group Policy" }
        $mine = @($o.profiles.Keys | Where-Object { $o.profiles[$_] -ne 'True' -and $policy -notcontains $_ })
        if ($mine.Count -gt 0) {
            Set-NetFirewallProfile -Profile $mine -Enabled True
            $r.changed = $true
            Read-Profiles
            $o.firewall_enabled = Test-Enabled
        }
    }
    $r.status = if ($o.firewall_enabled) { 'compliant' } elseif ($r.changed) { 'drift' } else { 'unsupported' }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'remediate'
exit 0
