//! Whether any library of the workspace has an example in its documentation that would run: nextest runs none, and
//! `cargo test --doc` costs a rustdoc run for each library even when it finds nothing.

use std::fs;
use std::path::Path;

use crate::stop::Stop;
use crate::workspace;

/// # Errors
/// When a source cannot be read.
pub fn exist(root: &Path) -> Result<bool, Stop> {
    for folder in workspace::crates(root)? {
        let sources = folder.join("src");
        if sources.join("lib.rs").is_file() && folder_has_one(&sources)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn folder_has_one(folder: &Path) -> Result<bool, Stop> {
    let failed = |source| Stop::io(format!("look for examples in {}", folder.display()), source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let found = if path.is_dir() {
            folder_has_one(&path)?
        } else {
            path.extension().is_some_and(|it| it == "rs") && has_one(&fs::read_to_string(&path).map_err(failed)?)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A fence in a documentation comment that opens Rust: no language at all, or a word that rustdoc knows.
fn has_one(source: &str) -> bool {
    let mut inside = false;
    for line in source.lines().map(str::trim_start) {
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            continue;
        };
        let Some(language) = text.trim_start().strip_prefix("```") else { continue };
        inside = !inside;
        let first = language.split([',', ' ']).next().unwrap_or("").trim();
        if inside && ["", "rust", "should_panic", "no_run", "compile_fail"].contains(&first) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_examples_in_rust_count() {
        assert!(has_one("/// Adds.\n///\n/// ```\n/// add(1, 2);\n/// ```\n"));
        assert!(has_one("//! ```no_run\n//! serve();\n//! ```\n"));
        assert!(!has_one("/// ```json\n/// {}\n/// ```\nfn a() {}\nlet b = \"```\";\n"));
    }
}
