# RB-WIN-SVC-001 remediate: start the service in $MspParams.service, unless it runs. Its start type stays as it is.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
# Also in runbook.yaml: nothing outside this list is started, whoever asks.
$allowed = 'DNS', 'NTDS', 'Netlogon', 'Kdc', 'W32Time', 'EventLog', 'WinDefend', 'LanmanServer',
    'LanmanWorkstation', 'Dnscache', 'Schedule', 'Spooler'
$status = 'error'
$reasons = @()
$services = @()
$stopped = @()
$changed = $false
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
        $type = $s.StartType.ToString()
        $state = $s.Status.ToString()
        if ($state -eq 'Stopped' -and $type -eq 'Disabled') {
            $status = 'unsupported'
            $reasons += "service $name is disabled: enabling it is a decision for a person"
        } elseif ($state -eq 'Stopped') {
            # Windows starts the services it depends on as well.
            Start-Service -Name $name
            $changed = $true
            $state = (Get-Service -Name $name).Status.ToString()
        }
        if ($state -eq 'Running') { $status = 'compliant' }
        elseif ($state -match 'Pending$') { $status = 'pending' }
        elseif ($status -ne 'unsupported') { $status = 'drift' }
        if ($state -ne 'Running') { $stopped += $name; $reasons += "service $name is $state" }
        $services += [ordered]@{ name = $name; installed = $true; running = $state -eq 'Running'; start_type = $type }
    }
} catch {
    $reasons += $_.Exception.Message
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-SVC-001'; phase = 'remediate'; status = $status
    observed = [ordered]@{ service = $name; service_running = $status -eq 'compliant'; services = $services; stopped = $stopped }
    reasons = $reasons; changed = $changed; reboot_required = $false
} | ConvertTo-Json -Compress -Depth 5
exit 0
