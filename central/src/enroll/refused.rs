//! Why an appliance gets no certificate: a word for programs, and a sentence with the cure for whoever stands at it.

use crate::causes::chain;
use crate::pki::RequestError;
use crate::store::{NotEnrolled, StoreError};
use msp_contracts::token::TokenError;

/// No certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "the fleet's authority (ca-key.pem) is kept elsewhere, so nothing is certified now: put it back and start msp-central anew"
    )]
    Offline,
    #[error("an enrolment needs a token: make one with `msp-central enroll-token`")]
    NoToken,
    #[error("a renewal carries no token: the present certificate says who asks")]
    TokenAtRenewal,
    #[error(transparent)]
    Token {
        #[from]
        source: TokenError,
    },
    #[error("the token is of another fleet: use the Central Command that made it")]
    OtherFleet,
    #[error("appliance is {named:?}, but the certificate is of {certified:?}: an appliance renews only its own")]
    OtherAppliance { named: String, certified: String },
    #[error("{field}: {reason}")]
    Field { field: &'static str, reason: String },
    #[error("csr: {}", chain(source))]
    Request {
        #[source]
        source: RequestError,
    },
    #[error(transparent)]
    Store { source: StoreError },
    #[error("{source}{}", cure(source))]
    NotEnrolled {
        #[source]
        source: NotEnrolled,
    },
}

impl From<NotEnrolled> for Refused {
    fn from(source: NotEnrolled) -> Self {
        match source {
            NotEnrolled::Store(source) => Self::Store { source },
            source => Self::NotEnrolled { source },
        }
    }
}

/// What to do about it, after the sentence that says what is wrong.
fn cure(reason: &NotEnrolled) -> String {
    match reason {
        NotEnrolled::UnknownToken => {
            ", or it was made by another msp-central: make a new one with `msp-central enroll-token`".to_owned()
        }
        NotEnrolled::ExpiredToken { .. } => {
            ": make a new one with `msp-central enroll-token`, if need be with a longer --valid".to_owned()
        }
        NotEnrolled::UsedToken { by, .. } => format!(
            ": make a new one with `msp-central enroll-token`. If nobody knows who {by} is, revoke it: `msp-central appliance revoke`"
        ),
        NotEnrolled::OtherName { of } => format!(": enrol with --appliance {of}, or without --appliance"),
        NotEnrolled::NameNeeded => ": enrol with --appliance NAME".to_owned(),
        NotEnrolled::NameTaken { who, .. } => format!(
            ": choose another name, or take the old appliance out first with `msp-central appliance revoke --dir DIR {} {} --reason TEXT`",
            who.site, who.appliance
        ),
        NotEnrolled::NameKnown { who } => format!(
            ": choose another name, or let it take over the old one's by `msp-central enroll-token --dir DIR {} --appliance {}`",
            who.site, who.appliance
        ),
        NotEnrolled::OtherKey { .. } => {
            ": a renewal keeps the appliance's keys. If it was set up anew, revoke it and enrol it by a token"
                .to_owned()
        }
        NotEnrolled::SameKey => ": a renewal is for a new key".to_owned(),
        NotEnrolled::Revoked => ": enrol the appliance by a token".to_owned(),
        NotEnrolled::Name(_) | NotEnrolled::Store(_) | NotEnrolled::Pki(_) => String::new(),
    }
}
