# RB-WIN-BACKUP-001 remediate: start the configured backup, unless one is at work.
try {
    Read-Backup
    if ($r.status -eq 'drift' -and $o.policy_configured -and -not $o.job_running) {
        # It runs on in the backup service after this script and its connection have ended.
        Start-WBBackup -Policy (Get-WBPolicy -ErrorAction Stop) -Async -Force -ErrorAction Stop | Out-Null
        $r.changed = $true
        Read-Backup
        if ($r.status -eq 'drift') { $r.status = 'pending' }
        $r.reasons += 'a backup was started'
    }
} catch {
    Set-Failure $_
}
Write-Result 'remediate'
exit 0
