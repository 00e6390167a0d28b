//! The nearest known name to one that was mistyped. msp-rules has its own: this program depends on nothing.

/// ` (did you mean "suite"?)`, or nothing when no known name is within two edits.
pub fn did_you_mean(typed: &str, known: &[impl AsRef<str>]) -> String {
    let nearest = known.iter().map(|name| (edits(typed, name.as_ref()), name.as_ref())).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!(" (did you mean \"{name}\"?)"),
        _ => String::new(),
    }
}

/// Levenshtein's distance, in characters.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, left) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, &right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_far_from_all_known_ones_gets_no_suggestion() {
        assert_eq!(did_you_mean("deploy", &["lab", "lint"]), "");
        assert_eq!(did_you_mean("lnit", &["lab", "lint"]), " (did you mean \"lint\"?)");
    }
}
