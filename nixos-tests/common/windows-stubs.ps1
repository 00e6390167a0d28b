# Runs a phase of RB-WIN-FIREWALL-001 with stand-ins for Windows' cmdlets. The state is a JSON file: profile -> Enabled.
param([Parameter(Mandatory)] [string] $Script, [Parameter(Mandatory)] [string] $StateFile)
$global:StateFile = $StateFile
function global:Read-State { Get-Content -Raw $global:StateFile | ConvertFrom-Json -AsHashtable }
function global:Get-Service { param($Name) [pscustomobject]@{ Name = $Name; Status = 'Running'; StartType = 'Automatic' } }
function global:Get-NetFirewallProfile {
    param($PolicyStore)
    # No Group Policy turns anything off.
    if ($PolicyStore -eq 'RSOP') { return }
    $state = Read-State
    foreach ($name in 'Domain', 'Private', 'Public') { [pscustomobject]@{ Name = $name; Enabled = $state[$name] } }
}
function global:Set-NetFirewallProfile {
    param($Profile, $Enabled)
    $state = Read-State
    foreach ($name in $Profile) { $state[$name] = "$Enabled" }
    $state | ConvertTo-Json | Set-Content $global:StateFile
}
function global:Get-NetFirewallPortFilter {
    param($PolicyStore, $Protocol)
    [pscustomobject]@{ InstanceID = 'WINRM-HTTP-In-TCP'; LocalPort = '5985' }
}
function global:Get-NetFirewallRule {
    param($PolicyStore, $Enabled, $Direction, $Action)
    [pscustomobject]@{ InstanceID = 'WINRM-HTTP-In-TCP' }
}
$MspParams = '{}' | ConvertFrom-Json
. ([ScriptBlock]::Create((Get-Content -Raw $Script)))
