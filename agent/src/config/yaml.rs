//! Where a YAML text is wrong, and why: for messages of the form `file:line:column: reason`.

/// Line, column (both from 1) and reason of a parser's error, without the excerpt of the text.
pub fn place(error: &serde_saphyr::Error) -> (u64, u64, String) {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let text = error.without_snippet().to_string();
    let reason = text.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&text);
    (line, column, reason.to_owned())
}
