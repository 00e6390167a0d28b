//! What is in force: the rules, the runbooks and the baseline, with one hash that names them in evidence.

use crate::act::intent;
use crate::config::Config;
use crate::config::baseline::{self, Baseline};
use crate::model::status::RulesStatus;
use crate::report::sync;
use anyhow::Context;
use msp_contracts::canonical;
use msp_rules::{Catalogue, Quarantined, RuleSet, Runbook, Sources};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Rules, runbooks and baseline.
pub struct Policy {
    pub rules: RuleSet,
    pub catalogue: Arc<Catalogue>,
    /// The rules that did not load, and why.
    pub quarantined: Vec<Quarantined>,
    pub baseline: Baseline,
    /// SHA-256 of all of it, in hexadecimal: the bundle's `policy_version`.
    pub version: String,
}

/// The folders that rules are read from.
pub fn sources(rules_dir: &Path, state_dir: &Path) -> Sources {
    Sources {
        custom: Some(rules_dir.to_owned()),
        synced: Some(sync::folder(state_dir)),
        // Nothing fills the folder of promoted rules in this version, so nothing in it can be trusted.
        promoted: None,
        ..Sources::default()
    }
}

impl Policy {
    /// How long the slowest of the runbooks takes at most.
    pub fn longest_heal(&self) -> Duration {
        self.longest(|_| true)
    }

    /// The same for the appliance itself.
    pub fn longest_heal_here(&self) -> Duration {
        // What goes on by itself is not waited for.
        self.longest(|runbook| runbook.executor.is_some_and(|request| !request.goes_on()))
    }

    fn longest(&self, which: impl Fn(&Runbook) -> bool) -> Duration {
        let which = |id: &&str| self.catalogue.get(id).is_some_and(&which);
        let longest = self.catalogue.ids().filter(which).map(|id| intent::longest(&self.catalogue, id)).max();
        longest.and_then(|longest| Duration::try_from(longest).ok()).unwrap_or_default()
    }

    /// Reads all of it; a rule that does not load is quarantined, logged, and hurts no other.
    ///
    /// # Errors
    /// When the baseline cannot be used.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let sources = sources(&config.rules_dir, &config.state_dir);
        let loaded = RuleSet::load(&sources).context("the built-in rules")?;
        for quarantined in &loaded.quarantined {
            tracing::warn!("{quarantined}");
        }
        // Words of caution are for whoever writes rules: `msp-agent rules lint` says them.
        for warning in &loaded.warnings {
            tracing::debug!("{warning}");
        }
        tracing::info!(
            rules = loaded.rules.len(),
            quarantined = loaded.quarantined.len(),
            switched_off = loaded.switched_off.len(),
            "rules loaded"
        );
        let baseline = baseline(&config.baseline_path)?;
        let version = version(&config.baseline_path, &sources)?;
        Ok(Self {
            catalogue: Arc::new(loaded.rules.catalogue().clone()),
            rules: loaded.rules,
            quarantined: loaded.quarantined,
            baseline,
            version,
        })
    }
}

impl Policy {
    /// How many rules are in force and how many are not; nothing of where they came from.
    pub fn counts(&self) -> RulesStatus {
        RulesStatus {
            loaded: self.rules.len(),
            quarantined: self.quarantined.len(),
            healing_tier: None,
            version: None,
            synced_at: None,
        }
    }
}

/// The file that the configuration names; without one in the default place, the built-in baseline.
fn baseline(file: &Path) -> anyhow::Result<Baseline> {
    if file == Path::new(baseline::DEFAULT_PATH) && !file.exists() {
        return Ok(Baseline::built_in()?);
    }
    Ok(Baseline::load(file)?)
}

/// The hash changes when the agent's version (with its built-in rules), the baseline or a rule file does.
fn version(baseline: &Path, sources: &Sources) -> anyhow::Result<String> {
    let mut files = vec![(baseline.display().to_string(), hash(baseline))];
    for folder in [&sources.custom, &sources.synced].into_iter().flatten() {
        let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
        let mut paths: Vec<PathBuf> = entries.unwrap_or_default();
        paths.sort();
        files.extend(paths.iter().map(|path| (path.display().to_string(), hash(path))));
    }
    let all = json!({ "agent": env!("CARGO_PKG_VERSION"), "files": files });
    Ok(canonical::sha256_hex(&canonical::to_bytes("the policy in force", &all)?))
}

/// The hash of a file; of nothing when it is not there.
fn hash(file: &Path) -> Option<String> {
    std::fs::read(file).ok().map(|bytes| canonical::sha256_hex(&bytes))
}
