//! Plain data that the stages hand to each other: no I/O, no clock.

pub mod guardrail;
pub mod observation;
pub mod plan;
pub mod report;
pub mod status;

pub use guardrail::Guardrail;
pub use observation::{CheckKind, Observation};
pub use plan::{Asked, Decision, Escalation, Plan, Verdict};
pub use report::{Phase, PhaseReport};
