# RB-WIN-AD-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{
    domain_controller = $false; services = [ordered]@{}; stopped = @()
    replication = @(); replication_failures = $null; dcdiag_failed = @()
}

# NTDS first: the others depend on what it serves. A domain controller need not be a DNS server.
$required = 'NTDS', 'DNS', 'Netlogon', 'Kdc', 'W32Time'
# The names of dcdiag's tests are the same in every language.
$tests = 'Connectivity', 'Advertising', 'SysVolCheck', 'KnowsOfRoleHolders', 'MachineAccount', 'NCSecDesc', 'NetLogons',
    'ObjectsReplicated', 'RidManager', 'Services', 'VerifyReferences', 'CheckSDRefDom', 'CrossRefValidation', 'LocatorCheck', 'Intersite'
# What repadmin could not find out, in its words.
$queryErrors = @{ list = @() }

function Invoke-Tool([string]$name, [string[]]$with) {
    # Under Stop, Windows PowerShell 5.1 would throw at the first line of a redirected standard error.
    $ErrorActionPreference = 'Continue'
    & "$env:SystemRoot\System32\$name.exe" $with 2>&1 | ForEach-Object { $_.ToString() }
}

function Read-Replication {
    # Without partners, in a domain of one controller, there is only the line of the columns.
    $lines = @(Invoke-Tool repadmin '/showrepl', 'localhost', '/csv')
    if (@($lines | Where-Object { $_ -match 'showrepl_COLUMNS' }).Count -eq 0) {
        throw "repadmin /showrepl: exit code ${LASTEXITCODE}: $($lines -join ' ')"
    }
    # showrepl_INFO is a naming context from a partner; showrepl_ERROR has a message where the context would be.
    $rows = @($lines | Where-Object { $_ -match '^"?showrepl_(INFO|ERROR)' } | ConvertFrom-Csv -Header kind, site, dsa,
        context, source_site, source, transport, failures, last_failure, last_success, last_status)
    $o.replication = @()
    $o.replication_failures = 0
    $queryErrors.list = @()
    foreach ($row in $rows) {
        if ($row.kind -eq 'showrepl_ERROR') {
            $queryErrors.list += $row.context
            $failures = 1
            $link = [ordered]@{ partner = $null; naming_context = $null; failures = 1; last_success = $null }
        } else {
            $failures = [int]$row.failures
            # As repadmin prints it: the server's own time, without a zone; 0 or a word when there was none.
            $success = if ($row.last_success -match '^\d{4}-\d\d-\d\d ') { $row.last_success } else { $null }
            $link = [ordered]@{ partner = $row.source; naming_context = $row.context; failures = $failures; last_success = $success }
        }
        $o.replication += $link
        $o.replication_failures += $failures
    }
}

function Read-Diagnosis {
    # /q prints failures only, in the language of Windows. A verdict is a line that starts with a row of dots, and names its
    # test; it may be broken before the name. Left out are four tests that fail for a day (or an hour) after any event of
    # their kind, whatever has been repaired since, and Replications, which asks the partners: the agent's logon does not
    # reach beyond this server, and repadmin has said it already.
    $lines = @(Invoke-Tool dcdiag '/q', '/skip:SystemLog', '/skip:DFSREvent', '/skip:FrsEvent', '/skip:KccEvent', '/skip:Replications')
    $o.dcdiag_failed = @()
    for ($i = 0; $i -lt $lines.Count; $i++) {
        if ($lines[$i] -notmatch '^\s*\.{10,}') { continue }
        $name = @($tests | Where-Object { $lines[$i] -match "\b$_\b" })
        if ($name.Count -eq 0 -and $i + 1 -lt $lines.Count -and $lines[$i + 1] -notmatch '^\s*\.{10,}') {
            $name = @($tests | Where-Object { $lines[$i + 1] -match "\b$_\b" })
        }
        $name = if ($name.Count -gt 0) { $name[0] } else { $lines[$i] -replace '^[\s.]+', '' }
        if ($o.dcdiag_failed -notcontains $name) { $o.dcdiag_failed += $name }
    }
}

function Read-Services {
    $o.stopped = @()
    foreach ($name in $required) {
        $s = Get-Service -Name $name -ErrorAction SilentlyContinue
        $o.services[$name] = if ($null -eq $s) { 'NotInstalled' } else { $s.Status.ToString() }
        if ($o.services[$name] -ne 'Running' -and ($null -ne $s -or $name -ne 'DNS')) { $o.stopped += $name }
    }
}

function Read-State {
    Read-Services
    $o.replication = @()
    $o.replication_failures = $null
    $o.dcdiag_failed = @()
    # Without its directory a domain controller has nothing to say.
    if ($o.services.NTDS -eq 'Running') {
        Read-Replication
        Read-Diagnosis
        # Both take their time: a service that has stopped meanwhile is why a test fails.
        Read-Services
    }
}

# The faults that are there, in words.
function Get-Fault {
    foreach ($name in $o.stopped) { "service $name is $($o.services[$name])" }
    foreach ($link in $o.replication) {
        if ($link.failures -gt 0 -and $null -ne $link.partner) {
            "replication of $($link.naming_context) from $($link.partner): $($link.failures) failures, last success $($link.last_success)"
        }
    }
    foreach ($text in $queryErrors.list) { "repadmin cannot tell: $text" }
    foreach ($name in $o.dcdiag_failed) { "dcdiag: test $name fails" }
}

function Test-State {
    $o.stopped.Count -eq 0 -and $o.replication_failures -eq 0 -and $o.dcdiag_failed.Count -eq 0
}

# DomainRole 4 and 5 are domain controllers. To ask for one in the domain would succeed on any member.
function Test-DomainController {
    (Get-CimInstance -ClassName Win32_ComputerSystem).DomainRole -ge 4
}

# Looks and judges: all that detect and verify do.
function Get-Verdict {
    $o.domain_controller = Test-DomainController
    if (-not $o.domain_controller) {
        $r.reasons += 'not a domain controller'
        return 'unsupported'
    }
    Read-State
    $r.reasons += @(Get-Fault)
    if (Test-State) { return 'compliant' }
    return 'drift'
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-AD-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 5
}
