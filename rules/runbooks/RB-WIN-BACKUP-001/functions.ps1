# RB-WIN-BACKUP-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$maxAge = 24    # hours since the last good backup; as long a job may be at work before it counts as stuck

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{
    backup_age_hours = $null; last_success = $null; last_result_hr = $null
    policy_configured = $false; job_running = $false
}

# Reads the world into $o, and judges it in $r: by the age of the last good backup, and by whether a job is at work.
# Nothing else says whether a backup that was started has succeeded, and nothing else is needed.
function Read-Backup {
    $r.status = 'drift'
    $r.reasons = @()
    $summary = Get-WBSummary -ErrorAction Stop
    $o.policy_configured = @(Get-WBPolicy -ErrorAction Stop).Count -gt 0
    # Without a job at work this gives nothing, or an error on some versions. The names of the states are not documented:
    # a job is at work as long as it has no end, which is missing or in the year 1.
    $jobs = @(Get-WBJob -ErrorAction SilentlyContinue | Where-Object {
        $_.JobState.ToString() -ne 'Completed' -and ($null -eq $_.EndTime -or $_.EndTime.Year -lt 2000)
    })
    $o.job_running = $jobs.Count -gt 0
    $o.last_result_hr = [long]$summary.LastBackupResultHR
    $now = (Get-Date).ToUniversalTime()
    # Where no backup was ever made the date is missing, or is in the year 1.
    $last = $summary.LastSuccessfulBackupTime
    if ($null -ne $last -and $last.Year -gt 2000) {
        $last = $last.ToUniversalTime()
        $hours = (New-TimeSpan -Start $last -End $now).TotalHours
        if ($hours -lt -1) { throw "the last backup lies in the future ($($last.ToString('o'))): check the clock of this machine" }
        $o.last_success = $last.ToString('o')
        $o.backup_age_hours = [Math]::Round([Math]::Max($hours, 0.0), 1)
    }
    $failed = $o.last_result_hr -ne 0
    if ($failed) { $r.reasons += 'the last backup ended with 0x{0:X8}' -f $o.last_result_hr }
    if ($null -ne $o.backup_age_hours -and $o.backup_age_hours -le $maxAge) {
        $r.status = 'compliant'
        return
    }
    if ($null -eq $o.last_success) { $r.reasons += 'there never was a successful backup' }
    else { $r.reasons += "the last successful backup is $($o.backup_age_hours) hours old, $maxAge are allowed" }
    if ($o.job_running) {
        $age = (New-TimeSpan -Start $jobs[0].StartTime.ToUniversalTime() -End $now).TotalHours
        if ($age -gt $maxAge) {
            $r.reasons += "a backup or recovery has been at work for $([Math]::Round($age)) hours: a person must look at it"
        } else {
            $r.status = 'pending'
            $r.reasons += 'a backup or recovery is at work'
        }
    }
    if (-not $o.policy_configured) { $r.reasons += 'no backup policy: a person must say what is backed up, where to and when' }
}

# Why a phase could not finish. Without the feature there are no such cmdlets.
function Set-Failure($ErrorRecord) {
    if ($ErrorRecord.Exception -is [System.Management.Automation.CommandNotFoundException]) {
        $r.status = 'unsupported'
        $r.reasons += 'Windows Server Backup is not installed'
    } else {
        $r.status = 'error'
        $r.reasons += $ErrorRecord.Exception.Message
    }
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-BACKUP-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 6
}
