# RB-WIN-AD-001 remediate: start the directory's services, set the clock, and replicate now. functions.ps1 says what is looked at.
$failed = $false
$disabled = $false
try {
    $o.domain_controller = Test-DomainController
    if ($o.domain_controller) {
        Read-State
        $started = @()
        foreach ($name in $required) {
            if ($o.stopped -notcontains $name -or $o.services[$name] -eq 'NotInstalled') { continue }
            if ((Get-Service -Name $name).StartType.ToString() -eq 'Disabled') {
                $r.reasons += "service $name is disabled: enabling it is a decision for a person"
                $disabled = $true
                continue
            }
            # One that does not start must not keep the others from starting.
            try {
                Start-Service -Name $name
                $r.changed = $true
                $started += $name
            } catch {
                $r.reasons += $_.Exception.Message
                $failed = $true
            }
        }
        if ($started.Count -gt 0) { Read-State }
        $failures = $o.replication_failures
        # Kerberos refuses a partner whose clock is five minutes off, so the clock comes first.
        if ($o.services.W32Time -eq 'Running' -and ($failures -gt 0 -or $started -contains 'W32Time')) {
            $lines = @(Invoke-Tool w32tm '/resync')
            if ($LASTEXITCODE -ne 0) { $r.reasons += "w32tm /resync: exit code ${LASTEXITCODE}: $($lines -join ' ')" }
        }
        if ($failures -gt 0) {
            # Pulls every naming context from the partners of this controller; nothing is pushed to others.
            $lines = @(Invoke-Tool repadmin '/syncall', 'localhost', '/A')
            if ($LASTEXITCODE -ne 0) { $r.reasons += "repadmin /syncall: exit code $LASTEXITCODE" }
            Read-State
            # To ask for replication changes nothing when it fails again.
            if ($o.replication_failures -lt $failures) { $r.changed = $true }
        }
        # Services that have just started need a moment before the tests see them; where one is still down, none helps.
        for ($i = 0; $i -lt 6 -and $started.Count -gt 0 -and $o.stopped.Count -eq 0 -and $o.dcdiag_failed.Count -gt 0; $i++) {
            Start-Sleep -Seconds 5
            Read-State
        }
        $r.reasons += @(Get-Fault)
        if (Test-State) { $r.status = 'compliant' }
        elseif ($failed) { $r.status = 'error' }
        elseif ($disabled -and -not $r.changed) { $r.status = 'unsupported' }
        else { $r.status = 'drift' }
    } else {
        $r.reasons += 'not a domain controller'
        $r.status = 'unsupported'
    }
} catch {
    $r.reasons += $_.Exception.Message
}
Write-Result 'remediate'
exit 0
