# RB-WIN-ENCRYPTION-001 verify: did the remediation hold? The same reading as detect, once more.
try {
    Read-Encryption
} catch {
    Set-Failure $_
}
Write-Result 'verify'
exit 0
