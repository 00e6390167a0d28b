//! Actual against desired: two JSON values side by side, a line for each leaf, those that differ first.

use super::frame::{Kind, icon};
use maud::{Markup, html};
use serde_json::Value;

/// How many lines are shown.
const LINES: usize = 40;
/// How deep values are taken apart.
const DEPTH: usize = 6;

/// One line of the comparison.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    actual: Option<String>,
    desired: Option<String>,
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(leaf).collect::<Vec<_>>().join(", ")
        }
        Value::Null => "not told".to_owned(),
        other => other.to_string(),
    }
}

/// A name as people read it: `signature_age_hours` is one, a path of a file system stays as it is.
fn readable(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { name.replace('_', " ") }
}

fn leaves(value: &Value, name: &str, depth: usize, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if depth < DEPTH && !fields.is_empty() => {
            for (key, value) in fields {
                let name = if name.is_empty() { readable(key) } else { format!("{name}, {}", readable(key)) };
                leaves(value, &name, depth + 1, into);
            }
        }
        Value::Null if name.is_empty() => {}
        other => into.push((if name.is_empty() { "value".to_owned() } else { name.to_owned() }, leaf(other))),
    }
}

fn compare(actual: &Value, desired: &Value) -> Vec<Line> {
    let (mut of_actual, mut of_desired) = (Vec::new(), Vec::new());
    leaves(actual, "", 0, &mut of_actual);
    leaves(desired, "", 0, &mut of_desired);
    let mut lines: Vec<Line> = Vec::new();
    for (name, desired) in of_desired {
        let place = of_actual.iter().position(|(other, _)| *other == name);
        let actual = place.map(|place| of_actual.remove(place).1);
        lines.push(Line { name, actual, desired: Some(desired) });
    }
    lines.extend(of_actual.into_iter().map(|(name, actual)| Line { name, actual: Some(actual), desired: None }));
    // Stable: what differs, what is as desired, what was only seen.
    lines.sort_by_key(|line| match &line.desired {
        Some(desired) if line.actual.as_ref() == Some(desired) => 1,
        Some(_) => 0,
        None => 2,
    });
    lines
}

/// The comparison as a small table; nothing when there is nothing to compare.
pub(super) fn comparison(caption: &str, actual: &Value, desired: &Value) -> Markup {
    let lines = compare(actual, desired);
    html! { @if !lines.is_empty() {
        div.scroll { table.compare {
            caption { (caption) }
            thead { tr { th scope="col" { "What" } th scope="col" { "Seen" } th scope="col" { "Wanted" } } }
            tbody { @for line in lines.iter().take(LINES) {
                @let differs = line.desired.is_some() && line.actual != line.desired;
                tr class=[differs.then_some("differs")] {
                    th scope="row" data-label="What" { (line.name) }
                    td data-label="Seen" {
                        @if differs { span.status.bad { (icon(Kind::Bad)) span.visually-hidden { "differs: " } } }
                        code { (line.actual.as_deref().unwrap_or("not told")) }
                    }
                    td data-label="Wanted" { @match &line.desired { Some(desired) => code { (desired) }, None => span.faint { "not asked for" } } }
                }
            } }
        } }
        @if lines.len() > LINES { p.faint { (lines.len() - LINES) " more values are in the evidence." } }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_stands_first_and_a_missing_value_is_not_told() {
        let actual = json!({ "profiles": { "Domain": "True", "Public": "False" }, "service_running": true });
        let desired = json!({ "profiles": { "Domain": "True", "Public": "True" }, "max_age": 72 });
        let lines = compare(&actual, &desired);
        let first: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.actual.as_deref())).collect();
        assert_eq!(
            first,
            [
                ("max age", None),
                ("profiles, Public", Some("False")),
                ("profiles, Domain", Some("True")),
                ("service running", Some("true")),
            ]
        );
    }

    #[test]
    fn nothing_seen_and_nothing_wanted_is_no_line_and_deep_values_end() {
        assert_eq!(compare(&Value::Null, &Value::Null), []);
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert_eq!(compare(&deep, &Value::Null).len(), 1);
    }
}
