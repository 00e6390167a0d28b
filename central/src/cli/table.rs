//! Tables for terminals. What agents report is shown without its control characters: a host name must
//! not be able to move the cursor or change the title of an operator's terminal.

use comfy_table::{ContentArrangement, Table, presets};
use std::io::Write;

/// `text` without its control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Prints a table, or a sentence when it would be empty.
pub(super) fn print(out: &mut dyn Write, heads: &[&str], rows: &[Vec<String>], nothing: &str) -> anyhow::Result<()> {
    if rows.is_empty() {
        writeln!(out, "{nothing}")?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heads.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    writeln!(out, "{table}")?;
    Ok(())
}
