//! The rules in the order in which they win, and an index by check type, so that a finding is held only against
//! the rules that could match it.

use std::collections::{BTreeSet, HashMap};

use crate::action::{self, ResolveError, ResolvedAction};
use crate::alias::Aliases;
use crate::condition::Condition;
use crate::model::{Rule, Source};
use crate::operator::Outcome;
use crate::runbook::Catalogue;
use crate::view::View;
use crate::vocabulary::Vocabulary;

/// Sound and enabled rules, ready to be matched.
#[derive(Debug, Clone)]
pub struct RuleSet {
    vocabulary: Vocabulary,
    /// Winners first.
    ranked: Vec<Rule>,
    /// Places in `ranked`, ascending, of the rules that name this check type.
    by_check: HashMap<String, Vec<usize>>,
    /// Those that any check type may match.
    any_check: Vec<usize>,
}

/// A rule that won, and what it outranked.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    /// The rule that decides.
    pub rule: &'a Rule,
    /// The others that matched, best first.
    pub others: Vec<&'a Rule>,
    vocabulary: &'a Vocabulary,
}

impl Match<'_> {
    /// The rule's action with its parameters read from the finding and held against the runbook's schema.
    ///
    /// # Errors
    /// [`ResolveError`] when the finding does not have what the action needs: the caller escalates with it.
    pub fn resolve(&self, view: &View) -> Result<ResolvedAction, ResolveError> {
        action::resolve(self.rule, view, self.vocabulary)
    }
}

impl RuleSet {
    pub(crate) fn new(mut rules: Vec<Rule>, vocabulary: Vocabulary) -> Self {
        rules.sort_by(|left, right| left.rank().cmp(&right.rank()));
        let mut by_check: HashMap<String, Vec<usize>> = HashMap::new();
        let mut any_check = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            match check_types(rule, &vocabulary.aliases) {
                None => any_check.push(place),
                Some(names) => {
                    for name in names {
                        by_check.entry(name).or_default().push(place);
                    }
                }
            }
        }
        Self { vocabulary, ranked: rules, by_check, any_check }
    }

    /// The rule that decides about a finding, if one matches. A comparison that was not possible is traced at
    /// debug level.
    #[must_use]
    pub fn find(&self, view: &View) -> Option<Match<'_>> {
        let mut matching = self.candidates(view).filter(|rule| self.failure(rule, view).is_none());
        let rule = matching.next()?;
        Some(Match { rule, others: matching.collect(), vocabulary: &self.vocabulary })
    }

    /// The first condition that does not hold.
    pub(crate) fn failure<'a>(&self, rule: &'a Rule, view: &View) -> Option<(&'a Condition, Outcome)> {
        for condition in &rule.conditions {
            let outcome = condition.evaluate(view, &self.vocabulary.aliases);
            if outcome == Outcome::Incomparable {
                tracing::debug!(
                    rule_id = %rule.id,
                    field = %condition.field,
                    operator = condition.operator.as_str(),
                    "the finding's value cannot be compared with the rule's"
                );
            }
            if outcome != Outcome::Holds {
                return Some((condition, outcome));
            }
        }
        None
    }

    /// The rules that could match, best first: two ascending lists merged.
    fn candidates(&self, view: &View) -> impl Iterator<Item = &Rule> {
        let name = view.text("check_type").map(|name| self.vocabulary.aliases.check_type(name));
        let named = name.and_then(|name| self.by_check.get(name)).map_or(&[][..], Vec::as_slice);
        let (mut named, mut any) = (named.iter().peekable(), self.any_check.iter().peekable());
        std::iter::from_fn(move || match (named.peek(), any.peek()) {
            (Some(left), Some(right)) if left < right => named.next(),
            (Some(_), None) => named.next(),
            _ => any.next(),
        })
        .filter_map(|place| self.ranked.get(*place))
    }

    /// All rules, winners first.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.ranked.iter()
    }

    /// The rule of this id in a source.
    #[must_use]
    pub fn get(&self, source: Source, id: &str) -> Option<&Rule> {
        self.ranked.iter().find(|rule| rule.source == source && rule.id == id)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranked.is_empty()
    }

    /// The runbooks that the rules were checked against.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.vocabulary.catalogue
    }

    /// The older names that the rules were checked against.
    #[must_use]
    pub fn aliases(&self) -> &Aliases {
        &self.vocabulary.aliases
    }
}

/// The check types, by today's names, that a rule can match; `None` when its conditions do not say.
fn check_types(rule: &Rule, aliases: &Aliases) -> Option<BTreeSet<String>> {
    let condition =
        rule.conditions.iter().find(|one| one.field.as_str() == "check_type" && one.admitted().is_some())?;
    Some(condition.admitted()?.into_iter().map(|name| aliases.check_type(name).to_owned()).collect())
}
