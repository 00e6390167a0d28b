//! Whether a runbook may be run with these parameters: asked by whoever chooses one without a rule (an order).

use crate::runbook::{Catalogue, Runbook};
use crate::suggest::did_you_mean;
use std::collections::BTreeMap;
use thiserror::Error;

/// A choice of a runbook that its schema does not admit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// No such runbook is shipped.
    #[error("runbook {runbook_id:?} is not shipped with this version{}", hint(suggestion))]
    Unknown {
        /// What was asked for.
        runbook_id: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The runbook has no such parameter.
    #[error("runbook {runbook_id} takes no parameter {parameter:?}{}", hint(suggestion))]
    UnknownParameter {
        /// The runbook.
        runbook_id: String,
        /// What was given.
        parameter: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A parameter that the runbook needs is missing.
    #[error("runbook {runbook_id} needs the parameter {parameter} (one of {})", allowed.join(", "))]
    Missing {
        /// The runbook.
        runbook_id: String,
        /// What is missing.
        parameter: String,
        /// What it may be.
        allowed: Vec<String>,
    },
    /// A value that is not on the runbook's list.
    #[error("runbook {runbook_id} does not admit {parameter} = {value:?} (one of {})", allowed.join(", "))]
    NotAllowed {
        /// The runbook.
        runbook_id: String,
        /// The parameter.
        parameter: String,
        /// What was given.
        value: String,
        /// What it may be.
        allowed: Vec<String>,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

impl Catalogue {
    /// The runbook, when it is shipped and its schema admits exactly these parameters.
    ///
    /// # Errors
    /// The first reason against it, see [`AdmitError`].
    pub fn admit(&self, runbook_id: &str, parameters: &BTreeMap<String, String>) -> Result<&Runbook, AdmitError> {
        let Some(runbook) = self.get(runbook_id) else {
            let suggestion = did_you_mean(runbook_id, self.ids());
            return Err(AdmitError::Unknown { runbook_id: runbook_id.to_owned(), suggestion });
        };
        for (name, value) in parameters {
            let Some(schema) = runbook.parameters.get(name) else {
                let known = runbook.parameters.keys().map(String::as_str);
                return Err(AdmitError::UnknownParameter {
                    runbook_id: runbook.id.clone(),
                    parameter: name.clone(),
                    suggestion: did_you_mean(name, known),
                });
            };
            if !schema.admits(value) {
                return Err(AdmitError::NotAllowed {
                    runbook_id: runbook.id.clone(),
                    parameter: name.clone(),
                    value: value.clone(),
                    allowed: schema.allowed.clone(),
                });
            }
        }
        let missing =
            runbook.parameters.iter().find(|(name, schema)| schema.required && !parameters.contains_key(*name));
        match missing {
            Some((name, schema)) => Err(AdmitError::Missing {
                runbook_id: runbook.id.clone(),
                parameter: name.clone(),
                allowed: schema.allowed.clone(),
            }),
            None => Ok(runbook),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_is_run_with_parameters_of_its_schema_and_no_others() {
        let catalogue = Catalogue::builtin().unwrap();
        let asked = |id: &str, given: &[(&str, &str)]| {
            let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            catalogue.admit(id, &given).map(|runbook| runbook.id.clone()).map_err(|error| error.to_string())
        };
        assert_eq!(asked("RB-WIN-SVC-001", &[("service", "DNS")]), Ok("RB-WIN-SVC-001".to_owned()));
        assert_eq!(asked("RB-WIN-FIREWALL-001", &[]), Ok("RB-WIN-FIREWALL-001".to_owned()));
        for (id, given, said) in [
            ("RB-WIN-SVC-001", &[][..], "needs the parameter service"),
            ("RB-WIN-SVC-001", &[("service", "DNS; Remove-Item C:\\")], "does not admit service"),
            ("RB-WIN-SVC-001", &[("service", "DNS"), ("servce", "DNS")], "did you mean \"service\"?"),
            ("RB-WIN-FIREWALL-001", &[("service", "DNS")], "takes no parameter"),
            ("RB-WIN-FIREWAL-001", &[], "did you mean \"RB-WIN-FIREWALL-001\"?"),
        ] {
            let error = asked(id, given).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
