# RB-WIN-ENCRYPTION-001 remediate: keep a recovery password in the directory, then encrypt or protect the system volume.
try {
    Read-Encryption
    $volume = @($o.volumes | Where-Object { $_.volume_type -eq 'OperatingSystem' })
    if ($r.status -eq 'drift' -and -not $o.bitlocker_enabled -and $volume.Count -eq 1) {
        $drive = $volume[0].mount_point
        $was = $volume[0].volume_status
        if ($was -ne 'FullyDecrypted' -and $was -notlike 'FullyEncrypted*') {
            # Somebody paused an encryption or turned it back: that is a decision, and not ours.
            $r.reasons += "${drive}: $was is somebody's doing, and a person must end it"
        } else {
            # A recovery password first, and kept elsewhere, or a failing TPM costs the practice its data.
            $known = @()
            foreach ($p in (Get-BitLockerVolume -MountPoint $drive -ErrorAction Stop).KeyProtector) {
                if ($p.KeyProtectorType.ToString() -eq 'RecoveryPassword') { $known += $p.KeyProtectorId }
            }
            $added = @()
            $notes = @()
            try {
                if ($known.Count -eq 0) {
                    # It would say the password in a warning, and a warning reaches whoever called this script.
                    Add-BitLockerKeyProtector -MountPoint $drive -RecoveryPasswordProtector -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                    foreach ($p in (Get-BitLockerVolume -MountPoint $drive -ErrorAction Stop).KeyProtector) {
                        if ($p.KeyProtectorType.ToString() -eq 'RecoveryPassword') { $added += $p.KeyProtectorId }
                    }
                    if ($added.Count -eq 0) { throw 'no recovery password was added' }
                }
                foreach ($id in @($known + $added)) {
                    # To keep one twice does no harm, and nothing here can tell whether it is kept already.
                    try {
                        Backup-BitLockerKeyProtector -MountPoint $drive -KeyProtectorId $id -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                    } catch {
                        throw "the recovery password could not be kept in the directory, so nothing was encrypted or resumed: $($_.Exception.Message)"
                    }
                }
                if ($was -eq 'FullyDecrypted') {
                    # The hardware test needs a restart, which no runbook does; the key that it would try is kept by now.
                    Enable-BitLocker -MountPoint $drive -TpmProtector -SkipHardwareTest -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                } else {
                    # A device that came encrypted has no protector but ours until somebody activates it.
                    $others = @($volume[0].protectors | Where-Object { $_ -ne 'RecoveryPassword' })
                    if ($others.Count -eq 0) {
                        if (-not ($o.tpm_present -and $o.tpm_ready)) { throw 'there is no TPM that is ready, and no other key protector' }
                        Add-BitLockerKeyProtector -MountPoint $drive -TpmProtector -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                        $r.changed = $true
                    }
                    Resume-BitLocker -MountPoint $drive -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                }
                $r.changed = $true
            } catch {
                $notes += $_.Exception.Message
                # A recovery password that protects nothing is taken away again: the volume is as it was.
                foreach ($id in $added) {
                    if ($r.changed) { break }
                    try {
                        Remove-BitLockerKeyProtector -MountPoint $drive -KeyProtectorId $id -Confirm:$false -WarningAction SilentlyContinue -ErrorAction Stop | Out-Null
                    } catch {
                        $r.changed = $true
                        $notes += "the key protector $id was added and could not be removed: $($_.Exception.Message)"
                    }
                }
            }
            Read-Encryption
            $r.reasons += $notes
        }
    }
} catch {
    Set-Failure $_
}
Write-Result 'remediate'
exit 0
