//! The workspace's own sources, as files with the module each one is.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub struct Source {
    /// From the checkout's root: `agent/src/act/perform.rs`.
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// The module this file is, from its crate's root: `["act", "perform"]`; empty for main.rs and lib.rs.
    pub fn module(&self) -> Vec<String> {
        let inside: Vec<_> = self.path.iter().skip_while(|part| *part != "src").skip(1).collect();
        let mut names: Vec<String> = inside.iter().map(|name| name.to_string_lossy().replace(".rs", "")).collect();
        if names.last().is_some_and(|last| ["main", "lib", "mod"].contains(&last.as_str())) {
            names.pop();
        }
        names
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Every file in the `src` of `folder`, in order of its path.
pub fn of_crate(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder).join("src"), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source { path: path.strip_prefix(root()).unwrap().to_owned(), text }
    };
    paths.into_iter().map(read).collect()
}

/// The folders of the crates that are shipped or run; this one holds tests only.
pub fn crates() -> Vec<String> {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let crates =
        folders.filter(|folder| folder.path().join("Cargo.toml").is_file() && folder.path().join("src").is_dir());
    let names: Vec<String> = crates.map(|folder| folder.file_name().into_string().unwrap()).collect();
    assert!(names.len() >= 7, "crates were not found: {names:?}");
    names
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
