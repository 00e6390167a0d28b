# RB-WIN-ENCRYPTION-001: what its phases share. It stands before each of them when they run. Only reads.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# What a phase comes to ($r), and what it saw ($o).
$r = [ordered]@{ status = 'error'; reasons = @(); changed = $false }
$o = [ordered]@{ tpm_present = $false; tpm_ready = $false; bitlocker_enabled = $false; volumes = @(); unprotected = @() }

# Reads the world into $o, and judges it in $r. BitLocker's cmdlets are functions of a module, which need not see this
# script's $ErrorActionPreference: each call says -ErrorAction itself, or a failed escrow would go unnoticed.
function Read-Encryption {
    $r.status = 'drift'
    $r.reasons = @()
    $all = @(Get-BitLockerVolume -ErrorAction Stop)
    $tpm = Get-Tpm -ErrorAction Stop
    $o.tpm_present = [bool]$tpm.TpmPresent
    $o.tpm_ready = [bool]$tpm.TpmReady
    # What can be pulled out is listed and not judged, and so is what has no drive letter.
    $fixed = @(Get-CimInstance -ClassName Win32_LogicalDisk -ErrorAction Stop |
        Where-Object { $_.DriveType -eq 3 } | ForEach-Object { $_.DeviceID })
    $list = @()
    $open = @()
    $busy = @()
    $os = ''
    foreach ($volume in $all) {
        $name = $volume.MountPoint
        $type = $volume.VolumeType.ToString()
        $status = $null    # a volume that is locked has none
        if ($null -ne $volume.VolumeStatus) { $status = $volume.VolumeStatus.ToString() }
        $protection = $volume.ProtectionStatus.ToString()
        # Of a key protector only its type is taken. The object also holds the recovery password.
        $types = @()
        foreach ($protector in $volume.KeyProtector) { $types += $protector.KeyProtectorType.ToString() }
        $list += [ordered]@{
            mount_point = $name; volume_type = $type; volume_status = $status; protection_status = $protection
            encryption_percentage = $volume.EncryptionPercentage; protectors = $types
        }
        if ($type -eq 'OperatingSystem') { $os = $status } elseif ($fixed -notcontains $name) { continue }
        if ($volume.LockStatus.ToString() -eq 'Locked') { continue }
        # Encrypted is not protected: while protection is suspended, the key lies open on the disk.
        if ($protection -eq 'On' -and $status -like 'FullyEncrypted*') { continue }
        $open += $name
        if ($status -eq 'EncryptionInProgress') { $busy += $name }
        $what = "volume ${name} VolumeStatus is $status, ProtectionStatus is $protection"
        if ($type -eq 'Data') { $what += ' (a data volume: only a person turns encryption on there)' }
        $r.reasons += $what
    }
    $o.volumes = $list
    $o.unprotected = $open
    $system = @($list | Where-Object { $_.volume_type -eq 'OperatingSystem' } | ForEach-Object { $_.mount_point })
    $o.bitlocker_enabled = $system.Count -gt 0 -and $open -notcontains $system[0]
    if ($open.Count -eq 0) {
        $r.status = 'compliant'
    } elseif ($os -eq 'EncryptionInProgress' -or $busy.Count -eq $open.Count) {
        $r.status = 'pending'
    } elseif (-not $o.bitlocker_enabled -and $os -eq 'FullyDecrypted' -and -not ($o.tpm_present -and $o.tpm_ready)) {
        $r.status = 'unsupported'
        $r.reasons += if ($o.tpm_present) { 'the TPM is not ready' } else { 'there is no TPM' }
    }
}

# Why a phase could not finish. Without the feature there are no such cmdlets.
function Set-Failure($ErrorRecord) {
    if ($ErrorRecord.Exception -is [System.Management.Automation.CommandNotFoundException]) {
        $r.status = 'unsupported'
        $r.reasons += "BitLocker is not installed: $($ErrorRecord.Exception.Message)"
    } else {
        $r.status = 'error'
        $r.reasons += $ErrorRecord.Exception.Message
    }
}

# The one line that a phase prints.
function Write-Result([string]$phase) {
    [ordered]@{
        schema = 1; runbook = 'RB-WIN-ENCRYPTION-001'; phase = $phase; status = $r.status; observed = $o
        reasons = @($r.reasons); changed = $r.changed; reboot_required = $false
    } | ConvertTo-Json -Compress -Depth 6
}
