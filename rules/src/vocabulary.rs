//! Everything a rule may name: the runbooks, shipped or merely known, and the older names of things.

use std::collections::BTreeMap;

use crate::alias::{Aliases, KnownRunbook, OlderAction};
use crate::embedded;
use crate::lint_action::ACTIONS;
use crate::runbook::{Catalogue, DataError, Runbook};
use crate::suggest;

/// The runbooks and the names that rules are checked against.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The runbooks that can be run.
    pub catalogue: Catalogue,
    /// The older names.
    pub aliases: Aliases,
}

/// A runbook that a name led to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) id: &'a str,
    pub(crate) body: Body<'a>,
    /// Parameters that an older name implies.
    pub(crate) implied: Option<&'a BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    Shipped(&'a Runbook),
    Known(&'a KnownRunbook),
}

impl<'a> Body<'a> {
    pub(crate) fn platform(self) -> &'a str {
        match self {
            Self::Shipped(runbook) => &runbook.platform,
            Self::Known(known) => &known.platform,
        }
    }
}

impl Vocabulary {
    /// What the program ships.
    ///
    /// # Errors
    /// [`DataError`] when the program was built from unsound data.
    pub fn builtin() -> Result<Self, DataError> {
        let (file, text) = embedded::ALIASES;
        Self::new(Catalogue::builtin()?, Aliases::parse(file, text)?)
    }

    fn new(catalogue: Catalogue, aliases: Aliases) -> Result<Self, DataError> {
        let vocabulary = Self { catalogue, aliases };
        let older = vocabulary.aliases.runbooks.values().map(|older| &older.runbook_id);
        let suggested = vocabulary.aliases.actions.values().filter_map(|action| match action {
            OlderAction::Run(id) => Some(id),
            OlderAction::Escalate(escalation) => escalation.runbook_id.as_ref(),
            OlderAction::SameAs(_) => None,
        });
        for today in vocabulary.aliases.actions.values() {
            if let OlderAction::SameAs(today) = today
                && !ACTIONS.contains(&today.as_str())
            {
                return Err(DataError::invalid(embedded::ALIASES.0, format!("{today} is no action")));
            }
        }
        for id in older.chain(suggested) {
            if vocabulary.runbook(id).is_none() {
                let message = format!("{id} is neither a shipped nor a known runbook");
                return Err(DataError::invalid(embedded::ALIASES.0, message));
            }
        }
        Ok(vocabulary)
    }

    /// The runbook behind a name, through the table of older names.
    pub(crate) fn runbook<'a>(&'a self, name: &'a str) -> Option<Named<'a>> {
        if let Some(body) = self.body(name) {
            return Some(Named { id: name, body, implied: None });
        }
        let older = self.aliases.runbooks.get(name)?;
        let body = self.body(&older.runbook_id)?;
        Some(Named { id: &older.runbook_id, body, implied: Some(&older.parameters) })
    }

    pub(crate) fn body(&self, id: &str) -> Option<Body<'_>> {
        let shipped = self.catalogue.get(id).map(Body::Shipped);
        shipped.or_else(|| self.aliases.known_runbooks.get(id).map(Body::Known))
    }

    pub(crate) fn suggest_runbook(&self, typed: &str) -> Option<String> {
        suggest::did_you_mean(typed, self.runbook_names())
    }

    pub(crate) fn runbook_names(&self) -> impl Iterator<Item = &str> {
        let known = self.aliases.known_runbooks.keys().map(String::as_str);
        self.catalogue.ids().chain(known).chain(self.aliases.runbooks.keys().map(String::as_str))
    }
}
