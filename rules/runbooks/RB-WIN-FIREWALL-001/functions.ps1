# RB-WIN-FIREWALL-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{ firewall_enabled = $false; profiles = [ordered]@{}; service_running = $false; winrm_inbound_allowed = $false }

function Read-Service {
    $o.service_running = (Get-Service -Name MpsSvc).Status.ToString() -eq 'Running'
}

# ActiveStore is what is in force, Group Policy included. Enabled has a third value, NotConfigured,
# that is true in a condition: compare its text.
function Read-Profiles {
    foreach ($p in Get-NetFirewallProfile -PolicyStore ActiveStore) { $o.profiles[$p.Name] = $p.Enabled.ToString() }
}

# Does a rule let WinRM in?
function Read-Rules {
    if ($o.service_running) {
        # A port filter has the InstanceID of its rule: two queries, not one a rule.
        # A query that finds nothing is an error, hence SilentlyContinue.
        $ports = @(Get-NetFirewallPortFilter -PolicyStore ActiveStore -Protocol TCP -ErrorAction SilentlyContinue |
            Where-Object { $_.LocalPort -match '^598[56]$' } | ForEach-Object { $_.InstanceID })
        $rules = @(Get-NetFirewallRule -PolicyStore ActiveStore -Enabled True -Direction Inbound -Action Allow -ErrorAction SilentlyContinue |
            Where-Object { $ports -contains $_.InstanceID })
    } else {
        # Without the service the cmdlets fail. Its rules can be read all the same: they are kept in the registry.
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules'
        $rules = @((Get-ItemProperty -Path $key).PSObject.Properties |
            Where-Object { $_.Value -match '\|Action=Allow\|Active=TRUE\|Dir=In\|Protocol=6\|(.*\|)?LPort=598[56]\|' })
    }
    $o.winrm_inbound_allowed = $rules.Count -gt 0
}

function Test-Enabled {
    $on = @($o.profiles.Values | Where-Object { $_ -eq 'True' })
    $o.service_running -and $on.Count -eq 3
}

# The faults that are there, in words.
function Get-Fault {
    if (-not $o.service_running) { 'the firewall service MpsSvc is not running' }
    foreach ($name in $o.profiles.Keys) {
        if ($o.profiles[$name] -ne 'True') { "profile ${name}: Enabled is $($o.profiles[$name])" }
    }
    if (-not $o.firewall_enabled -and -not $o.winrm_inbound_allowed) {
        'no inbound rule allows TCP 5985 or 5986: remediate will refuse, so as not to lock WinRM out'
    }
}

# Looks and judges: all that detect and verify do.
function Get-Verdict {
    Read-Service
    if ($o.service_running) { Read-Profiles }
    Read-Rules
    $o.firewall_enabled = Test-Enabled
    $r.reasons += @(Get-Fault)
    if ($o.firewall_enabled) { return 'compliant' }
    return 'drift'
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-FIREWALL-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 5
}
