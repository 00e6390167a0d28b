//! Who is calling, as the client's certificate says: nothing else is believed.

use crate::fleet::Appliance;
use msp_contracts::canonical::hex;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// A certificate of our authority that names no appliance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallerError {
    /// It does not parse.
    #[error("the client certificate cannot be read as X.509")]
    Unreadable,
    /// It has no URI of ours.
    #[error(
        "the client certificate carries no URI urn:msp:<site>:<appliance>: enrol the appliance, or issue one with `msp-central issue`"
    )]
    NoUri,
    /// It has several.
    #[error("the client certificate names more than one appliance: issue one for each with `msp-central issue`")]
    Several,
}

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    /// The appliance that it names.
    pub(crate) who: Appliance,
    /// Its serial, in hexadecimal: under it the store knows it.
    pub(crate) serial: String,
}

/// The appliance that the verified client certificate names, and the certificate's serial.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Result<ClientIdentity, CallerError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| CallerError::Unreadable)?;
    let names = parsed.subject_alternative_name().map_err(|_| CallerError::Unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut ours = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Appliance::from_urn(uri),
        _ => None,
    });
    let who = ours.next().ok_or(CallerError::NoUri)?;
    if ours.next().is_some() {
        return Err(CallerError::Several);
    }
    Ok(ClientIdentity { who, serial: hex(parsed.raw_serial()) })
}
