# RB-WIN-SVC-001 remediate: start the service in $MspParams.service, unless it runs. Its start type stays as it is.
try {
    $s = Get-Asked
    if ($null -eq $s) {
        Set-NotInstalled
    } else {
        if ($s.Status.ToString() -eq 'Stopped' -and $s.StartType.ToString() -eq 'Disabled') {
            $r.status = 'unsupported'
            $r.reasons += "service $asked is disabled: enabling it is a decision for a person"
        } elseif ($s.Status.ToString() -eq 'Stopped') {
            # Windows starts the services it depends on as well.
            Start-Service -Name $asked
            $r.changed = $true
            $s = Get-Service -Name $asked
        }
        $state = $s.Status.ToString()
        if ($state -eq 'Running') { $r.status = 'compliant' }
        elseif ($state -match 'Pending$') { $r.status = 'pending' }
        elseif ($r.status -ne 'unsupported') { $r.status = 'drift' }
        if ($state -ne 'Running') { $o.stopped += $asked; $r.reasons += "service $asked is $state" }
    }
    Add-Seen $asked $s
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'remediate'
exit 0
