# RB-WIN-SVC-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# Also in runbook.yaml: nothing outside this list is looked at or started, whoever asks.
$allowed = 'DNS', 'NTDS', 'Netlogon', 'Kdc', 'W32Time', 'EventLog', 'WinDefend', 'LanmanServer',
    'LanmanWorkstation', 'Dnscache', 'Schedule', 'Spooler'
$asked = $MspParams.service

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{ service = $asked; service_running = $false; services = @(); stopped = @() }

function Assert-Listed {
    if ($allowed -notcontains $asked) { throw "service '$asked' is not on this runbook's list" }
}

# The service that was asked for; nothing where it is not installed.
function Get-Asked {
    if ($null -eq $asked) { throw 'parameter service is missing' }
    Assert-Listed
    Get-Service -Name $asked -ErrorAction SilentlyContinue
}

# Adds a service to what was seen, as it is. Enums as text: Windows PowerShell would print them as numbers.
function Add-Seen($name, $service) {
    if ($null -eq $service) {
        $o.services += [ordered]@{ name = $name; installed = $false; running = $false; start_type = $null }
    } else {
        $running = $service.Status.ToString() -eq 'Running'
        $o.services += [ordered]@{ name = $name; installed = $true; running = $running; start_type = $service.StartType.ToString() }
    }
}

function Set-NotInstalled {
    $r.status = 'unsupported'
    $r.reasons += "service $asked is not installed"
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    $o.service_running = $r.status -eq 'compliant'
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-SVC-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 5
}
