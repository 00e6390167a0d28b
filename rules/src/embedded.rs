//! The data under `rules/`, built into the program so that it works without a checkout.
//!
//! The lists are written out: what ships is a decision, and a test compares them with the folders.

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        &[$((concat!("rules/", $path), include_str!(concat!("../", $path)))),*]
    };
}

/// A file's name, as messages give it, and its text.
type File = (&'static str, &'static str);

pub(crate) const L1: &[File] = embed!["l1/host.yaml", "l1/windows.yaml"];

pub(crate) const RUNBOOKS: &[File] = embed![
    "runbooks/RB-HOST-DISK-001/runbook.yaml",
    "runbooks/RB-HOST-FIREWALL-001/runbook.yaml",
    "runbooks/RB-HOST-GENERATION-001/runbook.yaml",
    "runbooks/RB-HOST-SVC-001/runbook.yaml",
    "runbooks/RB-HOST-SWITCH-001/runbook.yaml",
    "runbooks/RB-HOST-TIME-001/runbook.yaml",
    "runbooks/RB-WIN-AV-001/runbook.yaml",
    "runbooks/RB-WIN-AV-001/functions.ps1",
    "runbooks/RB-WIN-AV-001/detect.ps1",
    "runbooks/RB-WIN-AV-001/remediate.ps1",
    "runbooks/RB-WIN-AV-001/verify.ps1",
    "runbooks/RB-WIN-BACKUP-001/runbook.yaml",
    "runbooks/RB-WIN-BACKUP-001/functions.ps1",
    "runbooks/RB-WIN-BACKUP-001/detect.ps1",
    "runbooks/RB-WIN-BACKUP-001/remediate.ps1",
    "runbooks/RB-WIN-BACKUP-001/verify.ps1",
    "runbooks/RB-WIN-ENCRYPTION-001/runbook.yaml",
    "runbooks/RB-WIN-ENCRYPTION-001/functions.ps1",
    "runbooks/RB-WIN-ENCRYPTION-001/detect.ps1",
    "runbooks/RB-WIN-ENCRYPTION-001/remediate.ps1",
    "runbooks/RB-WIN-ENCRYPTION-001/verify.ps1",
    "runbooks/RB-WIN-AD-001/runbook.yaml",
    "runbooks/RB-WIN-AD-001/functions.ps1",
    "runbooks/RB-WIN-AD-001/detect.ps1",
    "runbooks/RB-WIN-AD-001/remediate.ps1",
    "runbooks/RB-WIN-AD-001/verify.ps1",
    "runbooks/RB-WIN-FIREWALL-001/runbook.yaml",
    "runbooks/RB-WIN-FIREWALL-001/functions.ps1",
    "runbooks/RB-WIN-FIREWALL-001/detect.ps1",
    "runbooks/RB-WIN-FIREWALL-001/remediate.ps1",
    "runbooks/RB-WIN-FIREWALL-001/verify.ps1",
    "runbooks/RB-WIN-FIREWALL-001/undo.ps1",
    "runbooks/RB-WIN-PATCH-001/runbook.yaml",
    "runbooks/RB-WIN-PATCH-001/functions.ps1",
    "runbooks/RB-WIN-PATCH-001/detect.ps1",
    "runbooks/RB-WIN-PATCH-001/remediate.ps1",
    "runbooks/RB-WIN-PATCH-001/verify.ps1",
    "runbooks/RB-WIN-LOGGING-001/runbook.yaml",
    "runbooks/RB-WIN-LOGGING-001/functions.ps1",
    "runbooks/RB-WIN-LOGGING-001/detect.ps1",
    "runbooks/RB-WIN-LOGGING-001/remediate.ps1",
    "runbooks/RB-WIN-LOGGING-001/verify.ps1",
    "runbooks/RB-WIN-LOGGING-001/undo.ps1",
    "runbooks/RB-WIN-SVC-001/runbook.yaml",
    "runbooks/RB-WIN-SVC-001/functions.ps1",
    "runbooks/RB-WIN-SVC-001/detect.ps1",
    "runbooks/RB-WIN-SVC-001/remediate.ps1",
    "runbooks/RB-WIN-SVC-001/verify.ps1",
];

pub(crate) const ALIASES: File = ("rules/aliases.yaml", include_str!("../aliases.yaml"));

/// What `desired` is where a site says nothing else: the text of `rules/baselines/default.yaml`, with the two
/// mappings `appliance` and `windows`.
pub const DEFAULT_BASELINE: &str = include_str!("../baselines/default.yaml");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{ALIASES, L1, RUNBOOKS};

    fn files(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                found.insert(format!("rules/{}", path.strip_prefix(root).unwrap().display()));
            }
        }
    }

    #[test]
    fn every_data_file_in_the_folders_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        for folder in ["l1", "runbooks"] {
            files(&root.join(folder), &mut found);
        }
        let built_in: BTreeSet<String> = L1.iter().chain(RUNBOOKS).map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(built_in, found, "src/embedded.rs lists the files that ship");
        for (path, text) in L1.iter().chain(RUNBOOKS).chain([&ALIASES]) {
            let on_disk = std::fs::read_to_string(root.join(path.trim_start_matches("rules/"))).unwrap();
            assert_eq!(*text, on_disk, "{path}");
        }
    }
}
