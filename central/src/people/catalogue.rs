//! What rules and runbooks are called: the built-in ones, as every agent of this release has them.

use msp_rules::{Rule, RuleSet, Runbook, Sources};
use std::sync::LazyLock;

static RULES: LazyLock<Option<RuleSet>> = LazyLock::new(|| match RuleSet::load(&Sources::default()) {
    Ok(loaded) => Some(loaded.rules),
    Err(error) => {
        tracing::error!(%error, "the built-in rules cannot be read; pages show ids without names");
        None
    }
});

/// The built-in rules, in the order in which they win.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().flat_map(RuleSet::iter)
}

/// What a built-in rule is called.
pub(super) fn rule_name(id: &str) -> Option<&'static str> {
    rules().find(|rule| rule.id == id).map(|rule| rule.name.as_str())
}

/// A runbook that the agents ship.
pub(super) fn runbook(id: &str) -> Option<&'static Runbook> {
    RULES.as_ref()?.catalogue().get(id)
}

/// The runbooks that the agents ship.
pub(super) fn runbooks() -> impl Iterator<Item = &'static Runbook> {
    let catalogue = RULES.as_ref().map(RuleSet::catalogue);
    catalogue.into_iter().flat_map(|catalogue| catalogue.ids().filter_map(|id| catalogue.get(id)))
}
