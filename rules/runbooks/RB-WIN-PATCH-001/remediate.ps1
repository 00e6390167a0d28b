# RB-WIN-PATCH-001 remediate: download and install what is missing, as SYSTEM in a scheduled task, because Windows refuses
# both to whoever is logged on over the network. Never reboots; a reboot that becomes due is reported.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$status = 'error'
$reasons = @()
$changed = $false
$observed = [ordered]@{
    missing = $null; critical_missing = $null; awaiting_reboot = $null; optional_missing = $null; updates = @()
    reboot_pending = $false; file_renames_pending = $false; wsus_server = $null; searched_by = $null; last_install_result = $null
}
# --- From here to the end of Get-Verdict the three scripts are the same; a test compares them. ---

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
# --- The end of what is the same. ---

# Runs as SYSTEM in the task: it uses nothing from outside.
$install = {
    $o = [ordered]@{ result = 'nothing'; installed = 0; skipped = @(); failed = @(); error = $null }
    $session = New-Object -ComObject Microsoft.Update.Session
    $found = $session.CreateUpdateSearcher().Search("IsInstalled=0 and Type='Software' and IsHidden=0")
    $wanted = New-Object -ComObject Microsoft.Update.UpdateColl
    foreach ($u in $found.Updates) {
        if ($u.BrowseOnly -or $u.RebootRequired) { continue }
        if ($u.InstallationBehavior.CanRequestUserInput) {
            $o.skipped += "$($u.Title): its installation asks questions"
            continue
        }
        # An unattended installation has to: without it the download is refused.
        if (-not $u.EulaAccepted) { $u.AcceptEula() }
        $wanted.Add($u) | Out-Null
    }
    if ($wanted.Count -eq 0) { return $o }

    $downloader = $session.CreateUpdateDownloader()
    $downloader.Updates = $wanted
    $result = $downloader.Download()
    $ready = New-Object -ComObject Microsoft.Update.UpdateColl
    for ($i = 0; $i -lt $wanted.Count; $i++) {
        $u = $wanted.Item($i)
        if ($u.IsDownloaded) { $ready.Add($u) | Out-Null; continue }
        $o.failed += '{0}: download failed with 0x{1:X8}' -f $u.Title, $result.GetUpdateResult($i).HResult
    }
    if ($ready.Count -gt 0) {
        $installer = $session.CreateUpdateInstaller()
        $installer.Updates = $ready
        if ($installer.IsBusy) { throw 'another installation is running' }
        $result = $installer.Install()
        for ($i = 0; $i -lt $ready.Count; $i++) {
            $one = $result.GetUpdateResult($i)
            # 2 succeeded, 3 succeeded with errors
            if (2, 3 -contains $one.ResultCode) { $o.installed++; continue }
            $o.failed += '{0}: installation failed with 0x{1:X8}' -f $ready.Item($i).Title, $one.HResult
        }
    }
    $o.result = if ($o.failed.Count -eq 0) { 'succeeded' } elseif ($o.installed -gt 0) { 'partly' } else { 'failed' }
    return $o
}

try {
    # How long to wait here for the installation. It goes on beyond that, and verify says pending until it has ended.
    $minutes = '40'
    if ($null -ne $MspParams.wait_minutes) { $minutes = $MspParams.wait_minutes }
    if ('0', '15', '40' -notcontains $minutes) { throw "parameter wait_minutes: '$minutes' is not 0, 15 or 40" }

    Read-Machine
    if ($observed.last_install_result -eq 'running') {
        # No second one beside it.
        $status = 'pending'
        $reasons += 'an installation that this runbook started is still running'
    } elseif ($observed.reboot_pending) {
        # What Windows has begun it must finish first; an installation on top of that fails or breaks something.
        $status = 'pending'
        $reasons += 'a reboot is due: nothing more is installed until the server has restarted'
    } else {
        $status = Get-Verdict (Find-Updates)
        if ($status -eq 'drift') {
            Start-AsSystem $installTask $install $installFile
            $changed = $true
            $state = Wait-Task $installTask ([int]$minutes * 60000)
            if ($state -eq 'running') {
                $status = 'pending'
                $observed.last_install_result = 'running'
                $reasons += "the installation was started and has not ended after $minutes minutes"
            } else {
                Read-Machine
                if ($state -eq 'stopped') {
                    Unregister-ScheduledTask -TaskName $installTask -Confirm:$false
                    throw 'the installation as SYSTEM ended without a result'
                }
                $last = Get-Content -LiteralPath $installFile -Raw -Encoding UTF8 | ConvertFrom-Json
                $changed = $last.installed -gt 0
                if ($null -ne $last.error) { throw $last.error }
                $reasons += @($last.failed) + @($last.skipped)
                $status = Get-Verdict (Find-Updates)
                if ($status -eq 'drift') { $reasons += "$($observed.missing) updates are still missing" }
                if ($observed.reboot_pending) {
                    $status = 'pending'
                    $reasons += "a reboot is due; $($observed.awaiting_reboot) updates wait for it"
                }
            }
        }
    }
} catch {
    $status = 'error'
    $reasons += $_.Exception.Message
    if ($null -ne $observed.wsus_server) { $reasons += "updates come from $($observed.wsus_server)" }
}
[ordered]@{
    schema = 1; runbook = 'RB-WIN-PATCH-001'; phase = 'remediate'; status = $status; observed = $observed
    reasons = $reasons; changed = $changed; reboot_required = $observed.reboot_pending
} | ConvertTo-Json -Compress -Depth 5
exit 0
