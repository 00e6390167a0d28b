# RB-WIN-PATCH-001 remediate: download and install what is missing, as SYSTEM in a scheduled task, because Windows refuses
# both to whoever is logged on over the network. Never reboots; a reboot that becomes due is reported.

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
        $r.status = 'pending'
        $r.reasons += $installing
    } elseif ($observed.reboot_pending) {
        # What Windows has begun it must finish first; an installation on top of that fails or breaks something.
        $r.status = 'pending'
        $r.reasons += 'a reboot is due: nothing more is installed until the server has restarted'
    } else {
        $r.status = Get-Verdict (Find-Updates)
        if ($r.status -eq 'drift') {
            Start-AsSystem $installTask $install $installFile
            $r.changed = $true
            $state = Wait-Task $installTask ([int]$minutes * 60000)
            if ($state -eq 'running') {
                $r.status = 'pending'
                $observed.last_install_result = 'running'
                $r.reasons += "the installation was started and has not ended after $minutes minutes"
            } else {
                Read-Machine
                if ($state -eq 'stopped') {
                    Unregister-ScheduledTask -TaskName $installTask -Confirm:$false
                    throw 'the installation as SYSTEM ended without a result'
                }
                $last = Get-Content -LiteralPath $installFile -Raw -Encoding UTF8 | ConvertFrom-Json
                $r.changed = $last.installed -gt 0
                if ($null -ne $last.error) { throw $last.error }
                $r.reasons += @($last.failed) + @($last.skipped)
                $r.status = Get-Verdict (Find-Updates)
                if ($r.status -eq 'drift') { $r.reasons += "$($observed.missing) updates are still missing" }
                if ($observed.reboot_pending) {
                    $r.status = 'pending'
                    $r.reasons += Get-RebootText
                }
            }
        }
    }
} catch {
    Set-Failure $_
}
Write-Result 'remediate'
exit 0
