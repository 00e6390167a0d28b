# RB-WIN-AV-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$maxAge = 3    # days that signatures may be old

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{
    service_running = $false; real_time_protection = $false; signature_age_days = $null
    running_mode = $null; tamper_protected = $null; third_party = $null
}

# Reads the world into $o, and judges it in $r. Defender's cmdlets are functions of a module, which need not see this
# script's $ErrorActionPreference: each call says -ErrorAction itself.
function Read-Defender {
    $r.status = 'drift'
    $r.reasons = @()
    $o.service_running = $false
    $o.real_time_protection = $false
    $o.third_party = $null
    # On a workstation the Security Center knows who is in charge. A server has no such namespace: that is no error.
    try {
        foreach ($product in Get-CimInstance -Namespace 'root/SecurityCenter2' -ClassName AntiVirusProduct -ErrorAction Stop) {
            # The middle one of the three bytes of productState is 10 or 11 while the product is on.
            $on = ('{0:X6}' -f $product.productState).Substring(2, 1) -eq '1'
            if ($on -and $product.displayName -notmatch '^(Windows|Microsoft) Defender') { $o.third_party = [string]$product.displayName }
        }
    } catch {
        $o.third_party = $null
    }
    $service = @(Get-Service -Name WinDefend -ErrorAction SilentlyContinue)
    if ($service.Count -gt 0) { $o.service_running = $service[0].Status.ToString() -eq 'Running' }
    $mp = $null
    try {
        # While the service is stopped this fails, which is said below. Without the feature there is no such cmdlet.
        $mp = Get-MpComputerStatus -ErrorAction Stop
    } catch [System.Management.Automation.CommandNotFoundException] {
        $service = @()
    } catch {
        if ($o.service_running) { throw }
    }
    if ($null -ne $mp) {
        $o.running_mode = $mp.AMRunningMode
        $o.real_time_protection = [bool]$mp.RealTimeProtectionEnabled
        $o.signature_age_days = [int]$mp.AntivirusSignatureAge
        $o.tamper_protected = [bool]$mp.IsTamperProtected
    }
    if ($null -ne $o.third_party) {
        $r.status = 'unsupported'
        $r.reasons += "another antivirus is in charge: $($o.third_party)"
    } elseif ($service.Count -eq 0) {
        $r.status = 'unsupported'
        $r.reasons += 'Microsoft Defender is not installed'
    } elseif ([string]$o.running_mode -match 'Passive|EDR Block') {
        # A server does not say whose product made Defender passive.
        $r.status = 'unsupported'
        $r.reasons += "Defender is not in charge: AMRunningMode is $($o.running_mode)"
    } elseif (-not $o.service_running) {
        $r.reasons += 'the service WinDefend is not running'
    } else {
        if (-not $o.real_time_protection) { $r.reasons += 'real-time protection is off' }
        if ($o.signature_age_days -gt $maxAge) {
            $r.reasons += "the signatures are $($o.signature_age_days) days old, $maxAge are allowed"
        }
        if ($r.reasons.Count -eq 0) { $r.status = 'compliant' }
    }
}

# Why a phase could not finish.
function Set-Failure($ErrorRecord) {
    $r.status = 'error'
    $r.reasons += $ErrorRecord.Exception.Message
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-AV-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 6
}
