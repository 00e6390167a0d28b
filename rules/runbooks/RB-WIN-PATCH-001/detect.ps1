# RB-WIN-PATCH-001 detect: does Windows Update, or the WSUS server that policy names, offer this server an update that it
# lacks, and is a reboot due? Reads only, except that where Windows refuses the search to a remote session, a scheduled
# task searches as SYSTEM, and is gone with its file when this script ends.
try {
    $r.status = Get-State
    # Missing updates are drift all the same; that none is missing can be said only after the restart.
    if ($r.status -eq 'compliant' -and $observed.reboot_pending) { $r.status = 'pending' }
} catch {
    Set-Failure $_
}
Write-Result 'detect'
exit 0
