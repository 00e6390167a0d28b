# RB-WIN-SVC-001 verify: does the service in $MspParams.service run now? Reads only.
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
    if ($null -eq $name) { throw 'parameter service is missing' }
    if ($allowed -notcontains $name) { throw "service '$name' is not on this runbook's list" }
    $s = Get-Service -Name $name -ErrorAction SilentlyContinue
    if ($null -eq $s) {
        $status = 'unsupported'
        $reasons += "service $name is not installed"
        $services += [ordered]@{ name = $name; installed = $false; running = $false; start_type = $null }
    } else {
        $state = $s.Status.ToString()
        $services += [ordered]@{ name = $name; installed = $true; running = $state -eq 'Running'; start_type = $s.StartType.ToString() }
        # A slow service may still be on its way up: that is neither healed nor failed yet.
        if ($state -eq 'Running') { $status = 'compliant' }
        elseif ($state -eq 'StartPending') { $status = 'pending' }
        else { $status = 'drift'; $stopped += $name }
        if ($state -ne 'Running') { $reasons += "service $name is $state, start type $($s.StartType.ToString())" }
    }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-SVC-001'; phase = 'verify'; status = $status
    observed = [ordered]@{ service = $name; service_running = $status -eq 'compliant'; services = $services; stopped = $stopped }
    reasons = $reasons; changed = $false; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
