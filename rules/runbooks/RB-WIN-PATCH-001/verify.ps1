# RB-WIN-PATCH-001 verify: search again. As long as an installation runs or a reboot is due, nobody can tell whether the
# updates took: that is pending, also when the search finds nothing more.
try {
    $r.status = Get-State
    if ($observed.reboot_pending) { $r.status = 'pending' }
} catch {
    Set-Failure $_
}
Write-Result 'verify'
exit 0
