//! Who is calling, as the client's certificate says: nothing else is believed.

use crate::fleet::Appliance;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// A certificate of our authority that names no appliance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallerError {
    /// It does not parse.
    #[error("the client certificate cannot be read as X.509")]
    Unreadable,
    /// It has no URI of ours.
    #[error("the client certificate carries no URI urn:msp:<site>:<appliance>: issue one with `msp-central issue`")]
    NoUri,
    /// It has several.
    #[error("the client certificate names more than one appliance: issue one for each with `msp-central issue`")]
    Several,
}

/// The appliance that the verified client certificate names.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Result<Appliance, CallerError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| CallerError::Unreadable)?;
    let names = parsed.subject_alternative_name().map_err(|_| CallerError::Unreadable)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut ours = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Appliance::from_urn(uri),
        _ => None,
    });
    let first = ours.next().ok_or(CallerError::NoUri)?;
    if ours.next().is_some() { Err(CallerError::Several) } else { Ok(first) }
}
