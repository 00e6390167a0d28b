# Every script below a folder, as PowerShell's own parser reads it.
param([Parameter(Mandatory)] [string] $Folder)
$bad = 0
$files = @(Get-ChildItem -Path $Folder -Filter *.ps1 -Recurse)
foreach ($file in $files) {
    $tokens = $errors = $null
    [void][System.Management.Automation.Language.Parser]::ParseFile($file.FullName, [ref] $tokens, [ref] $errors)
    foreach ($one in $errors) { "$($file.FullName): $one"; $bad++ }
}
if ($files.Count -eq 0) { 'there is no script'; exit 1 }
exit $bad
