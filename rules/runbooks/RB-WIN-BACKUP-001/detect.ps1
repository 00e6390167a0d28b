# RB-WIN-BACKUP-001 detect: is there a good backup of Windows Server Backup from the last day? Reads only.
try {
    Read-Backup
} catch {
    Set-Failure $_
}
Write-Result 'detect'
exit 0
