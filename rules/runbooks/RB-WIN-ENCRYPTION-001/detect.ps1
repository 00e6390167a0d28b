# RB-WIN-ENCRYPTION-001 detect: is every fixed volume encrypted and protected by BitLocker? Reads only.
try {
    Read-Encryption
} catch {
    Set-Failure $_
}
Write-Result 'detect'
exit 0
