# RB-WIN-PATCH-001: what its phases share. It stands before each of them when they run.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# What a phase comes to ($r), and what it saw ($observed).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$observed = [ordered]@{
    missing = $null; critical_missing = $null; awaiting_reboot = $null; optional_missing = $null; updates = @()
    reboot_pending = $false; file_renames_pending = $false; wsus_server = $null; searched_by = $null; last_install_result = $null
}

# Only SYSTEM, TrustedInstaller and Administrators may create anything in %SystemRoot%, and a folder there inherits that: no
# other account can put a result in its place. In ProgramData or Windows\Temp any user could have made the folder first.
$folder = Join-Path $env:SystemRoot 'msp-agent'
$searchTask = 'msp-agent RB-WIN-PATCH-001 search'
$searchFile = Join-Path $folder 'RB-WIN-PATCH-001.search.json'
$installTask = 'msp-agent RB-WIN-PATCH-001 install'
$installFile = Join-Path $folder 'RB-WIN-PATCH-001.install.json'

# What is offered. Runs in this session, or as SYSTEM in a scheduled task: it uses nothing from outside.
$search = {
    $session = New-Object -ComObject Microsoft.Update.Session
    $result = $session.CreateUpdateSearcher().Search("IsInstalled=0 and Type='Software' and IsHidden=0")
    $updates = @(foreach ($u in $result.Updates) {
        $kb = @(foreach ($id in $u.KBArticleIDs) { "KB$id" }) -join ','
        $severity = if ($u.MsrcSeverity) { $u.MsrcSeverity } else { $null }
        [ordered]@{
            title = $u.Title; kb = $kb; severity = $severity
            # optional: previews and the like, which Windows installs only when somebody asks for them.
            optional = [bool]$u.BrowseOnly
            # waiting: installed, but the reboot that finishes it has not come. A search goes on offering it.
            waiting = [bool]$u.RebootRequired
        }
    })
    [ordered]@{ code = [int]$result.ResultCode; updates = $updates }
}

# What a task does with $work: the answer, or its error, goes into $file. The task removes itself at the very end, so as long
# as it is registered its file is not complete.
$report = {
    try { $answer = & $work } catch { $answer = [ordered]@{ error = $_.Exception.Message } }
    $answer | ConvertTo-Json -Compress -Depth 5 | Set-Content -LiteralPath $file -Encoding UTF8
    Unregister-ScheduledTask -TaskName $task -Confirm:$false
}

function Test-AccessDenied($ErrorRecord) {
    # By its number, E_ACCESSDENIED: the text is in the language of Windows.
    for ($e = $ErrorRecord.Exception; $null -ne $e; $e = $e.InnerException) {
        if ($e.HResult -eq -2147024891) { return $true }
    }
    return $false
}

function Start-AsSystem($Name, $Block, $File) {
    if (-not (Test-Path -LiteralPath $folder)) { New-Item -ItemType Directory -Path $folder | Out-Null }
    if (Test-Path -LiteralPath $File) { Remove-Item -LiteralPath $File -Force }
    $text = "`$ErrorActionPreference = 'Stop'; `$ProgressPreference = 'SilentlyContinue'`n" +
        "`$task = '$Name'; `$file = '$File'`n`$work = {$Block}`n& {$report}"
    # On the command line, not in a script file: nobody can change it between here and there.
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
    $program = Join-Path $env:SystemRoot 'System32\WindowsPowerShell\v1.0\powershell.exe'
    $action = New-ScheduledTaskAction -Execute $program `
        -Argument "-NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand $encoded"
    # SYSTEM by its SID: its name is in the language of Windows.
    $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
        -MultipleInstances IgnoreNew -ExecutionTimeLimit '04:00:00'
    Register-ScheduledTask -TaskName $Name -Action $action -Principal $principal -Settings $settings -Force | Out-Null
    Start-ScheduledTask -TaskName $Name
}

# none, running, or stopped: registered, but it does not run, so it ended (or was ended) without reporting.
function Get-TaskState($Name) {
    $t = Get-ScheduledTask -TaskName $Name -ErrorAction SilentlyContinue
    if ($null -eq $t) { return 'none' }
    if ('Running', 'Queued' -contains $t.State.ToString()) { return 'running' }
    $last = (Get-ScheduledTaskInfo -TaskName $Name -ErrorAction SilentlyContinue).LastTaskResult
    # 0x41303, not started yet. No answer: it went between the two questions, and the next look finds it gone.
    if ($null -eq $last -or $last -eq 267011) { return 'running' }
    return 'stopped'
}

function Wait-Task($Name, $Milliseconds) {
    $waited = 0
    $step = 250
    while ($true) {
        $state = Get-TaskState $Name
        if ($state -ne 'running' -or $waited -ge $Milliseconds) { return $state }
        Start-Sleep -Milliseconds $step
        $waited += $step
        if ($step -lt 4000) { $step *= 2 }
    }
}

function Find-Updates {
    try {
        $answer = & $search
        $observed.searched_by = 'com'
        return $answer
    } catch {
        if (-not (Test-AccessDenied $_)) { throw }
    }
    # Server 2025 (and Windows 11 24H2) refuse the searcher to whoever is logged on over the network.
    try {
        Start-AsSystem $searchTask $search $searchFile
        $state = Wait-Task $searchTask 480000
        if ($state -eq 'running') { throw 'the search as SYSTEM has not ended after 8 minutes' }
        if ($state -eq 'stopped') { throw 'the search as SYSTEM ended without an answer' }
        $answer = Get-Content -LiteralPath $searchFile -Raw -Encoding UTF8 | ConvertFrom-Json
    } finally {
        # Nothing is left behind.
        Stop-ScheduledTask -TaskName $searchTask -ErrorAction SilentlyContinue
        Unregister-ScheduledTask -TaskName $searchTask -Confirm:$false -ErrorAction SilentlyContinue
        if (Test-Path -LiteralPath $searchFile) { Remove-Item -LiteralPath $searchFile -Force }
        if ((Test-Path -LiteralPath $folder) -and @(Get-ChildItem -LiteralPath $folder -Force).Count -eq 0) {
            Remove-Item -LiteralPath $folder -Force
        }
    }
    if ($null -ne $answer.error) { throw $answer.error }
    $observed.searched_by = 'task'
    return $answer
}

# Policy, reboot marks and what the last installation of this runbook came to.
function Read-Machine {
    $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate'
    $policy = Get-ItemProperty -Path $key -ErrorAction SilentlyContinue
    $au = Get-ItemProperty -Path "$key\AU" -ErrorAction SilentlyContinue
    if ($null -ne $policy.WUServer -and $au.UseWUServer -eq 1) { $observed.wsus_server = $policy.WUServer }
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    $observed.reboot_pending = (Test-Path -Path "$key\Component Based Servicing\RebootPending") -or
        (Test-Path -Path "$key\WindowsUpdate\Auto Update\RebootRequired")
    # Installers of all kinds leave this one, and keep it for months: reported, and never the reason for a status.
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
    $manager = Get-ItemProperty -Path $key -ErrorAction SilentlyContinue
    $observed.file_renames_pending = $null -ne $manager.PendingFileRenameOperations
    $state = Get-TaskState $installTask
    if ($state -eq 'running') { $observed.last_install_result = 'running' }
    elseif ($state -eq 'stopped') { $observed.last_install_result = 'interrupted' }
    elseif (Test-Path -LiteralPath $installFile) {
        $last = Get-Content -LiteralPath $installFile -Raw -Encoding UTF8 | ConvertFrom-Json
        $observed.last_install_result = if ($null -ne $last.error) { 'error' } else { $last.result }
    }
}

# Puts what a search answered into $observed. The status is compliant or drift; a reboot is the caller's affair.
function Get-Verdict($Answer) {
    # 2 is success. 3, "succeeded with errors", lists less than there is: no reason to be content.
    if ($Answer.code -ne 2) { throw "the search ended with result code $($Answer.code): what it lists is not all" }
    $required = @($Answer.updates | Where-Object { -not $_.optional })
    $missing = @($required | Where-Object { -not $_.waiting })
    $critical = @($missing | Where-Object { $_.severity -eq 'Critical' })
    $sorted = $critical + @($missing | Where-Object { $_.severity -ne 'Critical' })
    $observed.missing = $missing.Count
    $observed.critical_missing = $critical.Count
    $observed.awaiting_reboot = $required.Count - $missing.Count
    $observed.optional_missing = @($Answer.updates).Count - $required.Count
    $observed.updates = @($sorted | Select-Object -First 20 |
        ForEach-Object { [ordered]@{ title = $_.title; kb = $_.kb; severity = $_.severity } })
    if ($missing.Count -gt 0) { return 'drift' }
    return 'compliant'
}

# The texts that more than one phase says.
$installing = 'an installation that this runbook started is still running'

function Get-RebootText { "a reboot is due; $($observed.awaiting_reboot) updates wait for it" }

# Looks, for detect and verify. Where a reboot is due, each of them judges by itself.
function Get-State {
    Read-Machine
    if ($observed.last_install_result -eq 'running') {
        # A search now would wait for it, and would see it half done.
        $r.reasons += $installing
        return 'pending'
    }
    $status = Get-Verdict (Find-Updates)
    if ($status -eq 'drift') {
        $r.reasons += "$($observed.missing) updates are missing, $($observed.critical_missing) of them critical"
    }
    if ($observed.reboot_pending) { $r.reasons += Get-RebootText }
    return $status
}

# Why a phase could not finish. An update server that cannot be reached lands here: not knowing is never compliant.
function Set-Failure($ErrorRecord) {
    $r.status = 'error'
    $r.reasons += $ErrorRecord.Exception.Message
    if ($null -ne $observed.wsus_server) { $r.reasons += "updates come from $($observed.wsus_server)" }
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-PATCH-001'; phase = $phase; status = $r.status; observed = $observed
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $observed.reboot_pending
    } | ConvertTo-Json -Compress -Depth 5
}
