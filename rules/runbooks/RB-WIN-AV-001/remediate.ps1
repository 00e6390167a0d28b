# RB-WIN-AV-001 remediate: start Defender, turn real-time protection on, update old signatures.
try {
    Read-Defender
    $found = $r.status
    $notes = @()
    $blocked = $false
    if ($found -eq 'drift' -and -not $o.service_running) {
        if ((Get-Service -Name WinDefend).StartType.ToString() -eq 'Disabled') {
            $blocked = $true
            $notes += 'the service WinDefend is disabled: that is somebody''s decision, and is not undone here'
        } else {
            Start-Service -Name WinDefend -ErrorAction Stop
            $r.changed = $true
            # The service answers a little later than it runs.
            for ($i = 0; $i -lt 10; $i++) {
                try { Read-Defender; break } catch { Start-Sleep -Seconds 1 }
            }
            Read-Defender
        }
    }
    if ($r.status -eq 'drift' -and $o.service_running -and -not $o.real_time_protection) {
        $key = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows Defender\Real-Time Protection'
        if ((Get-ItemProperty -Path $key -ErrorAction SilentlyContinue).DisableRealtimeMonitoring -eq 1) {
            $blocked = $true
            $notes += 'Group Policy turns real-time protection off (DisableRealtimeMonitoring): it has the say'
        } else {
            # Policy and tamper protection undo this without an error, so only what is read afterwards counts.
            Set-MpPreference -DisableRealtimeMonitoring $false -ErrorAction Stop
            for ($i = 0; $i -lt 5; $i++) {
                Read-Defender
                if ($o.real_time_protection) { break }
                Start-Sleep -Seconds 1
            }
            if ($o.real_time_protection) {
                $r.changed = $true
            } else {
                $blocked = $true
                $why = if ($o.tamper_protected) { 'tamper protection is on' } else { 'Group Policy or a management service may set it' }
                $notes += "Set-MpPreference was accepted and changed nothing: $why"
            }
        }
    }
    if ($r.status -eq 'drift' -and $o.service_running -and $o.signature_age_days -gt $maxAge) {
        $age = $o.signature_age_days
        try {
            Update-MpSignature -ErrorAction Stop
            Read-Defender
            if ($o.signature_age_days -lt $age) { $r.changed = $true } else { $notes += 'Update-MpSignature found no newer signatures' }
        } catch {
            $notes += "the signatures could not be updated: $($_.Exception.Message)"
        }
    }
    # Nothing changed, and somebody else has the say.
    if ($r.status -eq 'drift' -and $blocked -and -not $r.changed) { $r.status = 'unsupported' }
    $r.reasons += $notes
} catch {
    Set-Failure $_
}
Write-Result 'remediate'
exit 0
