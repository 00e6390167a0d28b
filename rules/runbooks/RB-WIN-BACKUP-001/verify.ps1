# RB-WIN-BACKUP-001 verify: is there a good backup now, or is one still being made? The same reading as detect.
try {
    # Detect saw no good backup of the last day: one that is there now is newer than the remediation.
    Read-Backup
} catch {
    Set-Failure $_
}
Write-Result 'verify'
exit 0
