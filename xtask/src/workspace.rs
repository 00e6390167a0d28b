//! What this program must know of the workspace: its folders, and the benchmarks they declare. Read from the
//! manifests line by line: they are written by hand in one style, and a TOML parser would be a dependency.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stop::Stop;

/// The checkout's root.
pub fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = xtask.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map(Path::to_owned).unwrap_or_default()
}

/// The folders of the workspace's crates.
///
/// # Errors
/// When the root manifest cannot be read.
pub fn crates(root: &Path) -> Result<Vec<PathBuf>, Stop> {
    let members = members(&read(&root.join("Cargo.toml"))?);
    Ok(members.iter().map(|member| root.join(member)).collect())
}

/// The names of all `[[bench]]` targets, sorted.
///
/// # Errors
/// When a manifest cannot be read.
pub fn benches(root: &Path) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    for folder in crates(root)? {
        names.extend(bench_names(&read(&folder.join("Cargo.toml"))?));
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path).map_err(|source| Stop::io(format!("read {}", path.display()), source))
}

fn members(manifest: &str) -> Vec<String> {
    let list = manifest.split_once("\nmembers = [").and_then(|(_, rest)| rest.split_once(']'));
    let list = list.map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn bench_names(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let (true, Some((key, value))) = (section == "[[bench]]", line.split_once('='))
            && key.trim() == "name"
        {
            names.push(value.trim().trim_matches('"').to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_and_benchmark_of_this_workspace_is_found() {
        let crates = crates(&root()).unwrap();
        assert!(crates.contains(&root().join("xtask")) && crates.contains(&root().join("tests/suite")), "{crates:?}");
        assert!(crates.iter().all(|folder| folder.join("Cargo.toml").is_file()), "{crates:?}");
        assert!(benches(&root()).unwrap().contains(&"match_rules".to_owned()));
    }

    #[test]
    fn only_the_names_of_benches_are_taken() {
        let manifest = "[package]\nname = \"a\"\n[[bench]]\nname = \"b\"\nharness = false\n[[test]]\nname = \"c\"\n";
        assert_eq!(bench_names(manifest), ["b"]);
    }
}
