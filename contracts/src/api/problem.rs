//! What every refused call answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a call was refused. A malformed body is a 4xx that names the field, never a 500.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A word for programs, for example `malformed_body` or `chain_fork`.
    pub error: String,
    /// The field that is wrong, as a path, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A sentence for people: what is wrong and what to do.
    pub message: String,
}
