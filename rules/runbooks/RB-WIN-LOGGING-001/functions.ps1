# RB-WIN-LOGGING-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{
    service_running = $false; log_enabled = $null; log_max_bytes = $null; log_policy_max_bytes = $null
    legacy_policy_overrides = $false; audit = [ordered]@{}; audit_missing = @()
}

# What has to be audited: 1 success, 2 failure, 3 both. Only the identifiers are the same in every language of Windows;
# the names are ours. The list, like the size below, follows the CIS Benchmark for Windows Server (see runbook.yaml).
$required = @(
    @{ name = 'Logon'; guid = '{0CCE9215-69AE-11D9-BED3-505054503030}'; need = 3 },
    @{ name = 'Logoff'; guid = '{0CCE9216-69AE-11D9-BED3-505054503030}'; need = 1 },
    @{ name = 'Account Lockout'; guid = '{0CCE9217-69AE-11D9-BED3-505054503030}'; need = 2 },
    @{ name = 'Process Creation'; guid = '{0CCE922B-69AE-11D9-BED3-505054503030}'; need = 1 },
    @{ name = 'Audit Policy Change'; guid = '{0CCE922F-69AE-11D9-BED3-505054503030}'; need = 1 },
    @{ name = 'User Account Management'; guid = '{0CCE9235-69AE-11D9-BED3-505054503030}'; need = 3 },
    @{ name = 'Security Group Management'; guid = '{0CCE9237-69AE-11D9-BED3-505054503030}'; need = 1 }
)
$minimum = 201326592
# auditpol names the settings 0 to 3 in the language of Windows: English, German, French, Spanish, Italian, Dutch. Letters
# beyond ASCII may arrive garbled, hence the dots.
$languages = @(
    @('No Auditing', 'Success', 'Failure', 'Success and Failure'),
    @('Keine .{1,4}berwachung', 'Erfolg', 'Fehler', 'Erfolg und Fehler'),
    @('Pas d.{1,4}audit', 'Succ.{1,4}s', '.{1,4}chec', 'Succ.{1,4}s et .{1,4}chec'),
    @('Sin auditor.{1,4}a', 'Aciertos', 'Errores', 'Aciertos y errores'),
    @('Nessun controllo', 'Operazione riuscita', 'Errore', 'Esito positivo e negativo'),
    @('Geen controle', 'Geslaagd', 'Mislukt', 'Geslaagd en mislukt')
)

function ConvertTo-Setting([string]$text) {
    foreach ($words in $languages) {
        foreach ($n in 0..3) { if ($text -match "^$($words[$n])$") { return $n } }
    }
    throw "auditpol says '$text', which is not a setting in a language that this runbook reads"
}

function Invoke-Tool([string]$name, [string[]]$with) {
    # Under Stop, Windows PowerShell 5.1 would throw at the first line of a redirected standard error.
    $ErrorActionPreference = 'Continue'
    $lines = @(& "$env:SystemRoot\System32\$name.exe" $with 2>&1 | ForEach-Object { $_.ToString() })
    if ($LASTEXITCODE -ne 0) { throw "$name $($with -join ' '): exit code ${LASTEXITCODE}: $($lines -join ' ')" }
    $lines
}

function Read-State {
    $o.service_running = (Get-Service -Name EventLog).Status.ToString() -eq 'Running'
    # A report is CSV under a header and a blank line. Rows are told by their identifier, columns by their position.
    $rows = @(Invoke-Tool auditpol '/get', '/category:*', '/r' | Where-Object { $_ -match '\{0CCE92' } |
        ConvertFrom-Csv -Header machine, target, subcategory, guid, setting, exclusion)
    $o.audit_missing = @()
    foreach ($s in $required) {
        $row = @($rows | Where-Object { $_.guid -eq $s.guid })
        if ($row.Count -ne 1) { throw "auditpol has no subcategory $($s.guid) ($($s.name))" }
        $setting = ConvertTo-Setting $row[0].setting
        $o.audit[$s.name] = $setting
        if ($setting -ne 3 -and $setting -ne $s.need) { $o.audit_missing += $s.name }
    }
    # Group Policy may set the size, in KB; then it is the size, whatever is set here.
    $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\EventLog\Security'
    $policy = (Get-ItemProperty -Path $key -ErrorAction SilentlyContinue).MaxSize
    $o.log_policy_max_bytes = if ($null -ne $policy) { 1024 * [long]$policy } else { $null }
    # With 0, the nine old audit categories of Group Policy overwrite the subcategories. Not set counts as 1.
    $o.legacy_policy_overrides = (Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\Lsa').SCENoApplyLegacyAuditPolicy -eq 0
    $o.log_enabled = $null
    $o.log_max_bytes = $null
    if ($o.service_running) {
        foreach ($line in Invoke-Tool wevtutil 'gl', 'Security') {
            if ($line -match '^enabled:\s*(true|false)') { $o.log_enabled = $Matches[1] -eq 'true' }
            if ($line -match '^\s+maxSize:\s*(\d+)') { $o.log_max_bytes = [long]$Matches[1] }
        }
        if ($null -ne $o.log_max_bytes -and $null -ne $o.log_policy_max_bytes) { $o.log_max_bytes = $o.log_policy_max_bytes }
        if ($null -eq $o.log_enabled -or $null -eq $o.log_max_bytes) { throw 'wevtutil does not show the Security log as expected' }
    }
}

# The faults that are there, in words.
function Get-Fault {
    foreach ($s in $required) {
        if ($o.audit_missing -contains $s.name) {
            "$($s.name): $(('nothing', 'success', 'failure', 'both')[$o.audit[$s.name]]) audited, $(('', 'success', 'failure', 'both')[$s.need]) required"
        }
    }
    if (-not $o.service_running) { 'the service EventLog is not running' }
    elseif (-not $o.log_enabled) { 'the Security log is disabled' }
    if ($o.service_running -and $o.log_max_bytes -lt $minimum) {
        "the Security log holds $($o.log_max_bytes) bytes, at least $minimum required"
        if ($null -ne $o.log_policy_max_bytes) { 'its size is set by Group Policy, which has to be changed there' }
    }
    if ($o.legacy_policy_overrides) {
        'SCENoApplyLegacyAuditPolicy is 0: audit categories of Group Policy overwrite these settings at each refresh'
    }
}

function Test-State {
    $o.service_running -and $o.log_enabled -and $o.log_max_bytes -ge $minimum -and $o.audit_missing.Count -eq 0
}

# Judges what was read.
function Get-Verdict {
    $r.reasons += @(Get-Fault)
    if (Test-State) { return 'compliant' }
    return 'drift'
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-LOGGING-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 5
}
