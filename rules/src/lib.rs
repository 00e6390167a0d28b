//! Level 1 rules and runbooks: what a finding leads to, decided without a network and without a model.
//!
//! A text becomes a tree that knows its positions ([`lint_text`]), the tree becomes sound rules or quarantined
//! ones, sound rules become an index ([`RuleSet`]), and the index answers for a finding ([`View`]) with the rule
//! that decides ([`RuleSet::find`]), the reasons of all others ([`RuleSet::explain`]) and an action that names
//! nothing but runbooks of the [`Catalogue`] and values that their schemas list ([`Match::resolve`]).
//!
//! No I/O beyond reading rule files, no clock, no runtime. The data under `rules/` is built in.

mod action;
mod admit;
mod alias;
mod condition;
mod document;
mod embedded;
mod explain;
mod fields;
mod index;
mod lint;
mod lint_action;
mod lint_condition;
mod load;
mod model;
mod operator;
mod quarantine;
mod runbook;
mod suggest;
mod view;
mod vocabulary;

pub use action::{Action, ParameterValue, ResolveError, ResolvedAction};
pub use admit::AdmitError;
pub use alias::{Aliases, KnownRunbook};
pub use condition::{Condition, Origin};
pub use document::{MAX_FILE_BYTES, Position};
pub use embedded::DEFAULT_BASELINE;
pub use explain::{Considered, Explanation, Verdict};
pub use index::{Match, RuleSet};
pub use lint::{LintReport, SCHEMA_VERSION, SwitchedOff, lint_rule_value, lint_text};
pub use load::{Baseline, Loaded, Sources};
pub use model::{DEFAULT_COOLDOWN_SECONDS, Rule, Severity, Source};
pub use operator::{Operator, Outcome};
pub use quarantine::{Quarantined, Scope, Warning};
pub use runbook::{
    APPLIANCE, Catalogue, DataError, Disruption, Parameter, ParameterType, Phase, PhaseBounds, Reboot, Request, Runbook,
};
pub use suggest::did_you_mean;
pub use view::{Facts, FieldPath, NotAFinding, ROOTS, View};
