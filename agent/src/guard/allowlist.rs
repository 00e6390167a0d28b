//! The site's own list of runbooks. What is not on it goes to a person: no waiting puts it there.

/// Against a runbook that the site does not allow; an empty list allows every runbook of this version.
pub fn objection(allowlist: &[String], runbook_id: &str) -> Option<String> {
    let allowed = allowlist.is_empty() || allowlist.iter().any(|id| id == runbook_id);
    (!allowed).then(|| format!("this site does not allow {runbook_id} (runbook_allowlist)"))
}
