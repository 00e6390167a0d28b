# RB-WIN-SVC-001 verify: does the service in $MspParams.service run now? Reads only.
try {
    $s = Get-Asked
    Add-Seen $asked $s
    if ($null -eq $s) {
        Set-NotInstalled
    } else {
        $state = $s.Status.ToString()
        # A slow service may still be on its way up: that is neither healed nor failed yet.
        if ($state -eq 'Running') { $r.status = 'compliant' }
        elseif ($state -eq 'StartPending') { $r.status = 'pending' }
        else { $r.status = 'drift'; $o.stopped += $asked }
        if ($state -ne 'Running') { $r.reasons += "service $asked is $state, start type $($s.StartType.ToString())" }
    }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'verify'
exit 0
