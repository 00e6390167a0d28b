//! "Did you mean": the known name closest to one that was typed.
//!
//! Distance is optimal string alignment (insert, delete, replace, swap of neighbours), compared without
//! regard to case, and only a name within a third of the length is offered: a far guess misleads.

/// Names longer than this are not compared: they are no slip of the finger.
const LONGEST: usize = 64;

/// The known name that was probably meant, if one is near enough.
#[must_use]
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let typed: Vec<char> = typed.to_lowercase().chars().collect();
    if typed.is_empty() || typed.len() > LONGEST {
        return None;
    }
    let allowed = (typed.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (distance(&typed, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name.to_owned())
}

fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let replace = last[column] + usize::from(a != b);
            let mut best = replace.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *a == right[column - 1] && left[row - 1] == *b {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let known = ["eq", "ne", "regex", "not_regex", "contains"];
        assert_eq!(did_you_mean("notregex", known).as_deref(), Some("not_regex"));
        assert_eq!(did_you_mean("contians", known).as_deref(), Some("contains"));
        assert_eq!(did_you_mean("REGEX", known).as_deref(), Some("regex"));
        assert_eq!(did_you_mean("startswith", known), None);
        assert_eq!(did_you_mean("", known), None);
    }
}
