# RB-WIN-SVC-001 detect: does the service in $MspParams.service run? Without it: do all of the list? Reads only.
try {
    if ($null -ne $asked) { Assert-Listed }
    $wanted = if ($null -ne $asked) { @($asked) } else { $allowed }
    foreach ($name in $wanted) {
        $s = Get-Service -Name $name -ErrorAction SilentlyContinue
        Add-Seen $name $s
        if ($null -eq $s) { continue }
        $state = $s.Status.ToString()
        $type = $s.StartType.ToString()
        # In a sweep a manual service may rest, and a disabled one was disabled by somebody. Asked by name, both count.
        if ($state -ne 'Running' -and ($null -ne $asked -or $type -eq 'Automatic')) {
            $o.stopped += $name
            $r.reasons += "service $name is $state, start type $type"
        }
    }
    $r.status = if ($o.stopped.Count -gt 0) { 'drift' } else { 'compliant' }
    if ($null -ne $asked -and -not $o.services[0].installed) { Set-NotInstalled }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'detect'
exit 0
