# RB-WIN-SVC-001 detect: does the service in $MspParams.service run? Without it: do all of the list? Reads only.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
# Also in runbook.yaml: nothing outside this list is looked at, whoever asks.
$allowed = 'DNS', 'NTDS', 'Netlogon', 'Kdc', 'W32Time', 'EventLog', 'WinDefend', 'LanmanServer',
    'LanmanWorkstation', 'Dnscache', 'Schedule', 'Spooler'
$status = 'error'
$reasons = @()
$services = @()
$stopped = @()
$name = $MspParams.service
try {
    if ($null -ne $name -and $allowed -notcontains $name) { throw "service '$name' is not on this runbook's list" }
    $wanted = if ($null -ne $name) { @($name) } else { $allowed }
    foreach ($n in $wanted) {
        $s = Get-Service -Name $n -ErrorAction SilentlyContinue
        if ($null -eq $s) {
            $services += [ordered]@{ name = $n; installed = $false; running = $false; start_type = $null }
            continue
        }
        # Enums as text: Windows PowerShell would print them as numbers.
        $running = $s.Status.ToString() -eq 'Running'
        $type = $s.StartType.ToString()
        $services += [ordered]@{ name = $n; installed = $true; running = $running; start_type = $type }
        # In a sweep a manual service may rest, and a disabled one was disabled by somebody. Asked by name, both count.
        if (-not $running -and ($null -ne $name -or $type -eq 'Automatic')) {
            $stopped += $n
            $reasons += "service $n is $($s.Status.ToString()), start type $type"
        }
    }
    $status = if ($stopped.Count -gt 0) { 'drift' } else { 'compliant' }
    if ($null -ne $name -and -not $services[0].installed) {
        $status = 'unsupported'
        $reasons += "service $name is not installed"
    }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-SVC-001'; phase = 'detect'; status = $status
    observed = [ordered]@{ service = $name; service_running = $status -eq 'compliant'; services = $services; stopped = $stopped }
    reasons = $reasons; changed = $false; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
