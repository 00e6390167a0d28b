//! `msp-winsim parse`: which scripts the interpreter takes, and where it stops reading the others.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Parses each file; prints `file:line:column: reason` for those that are not taken, and a count.
pub(crate) fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    let mut taken = 0usize;
    for file in files {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        match msp_winsim::check_script(&decode(&bytes)) {
            Ok(()) => taken += 1,
            Err(problem) => {
                let (line, column) = (problem.line, problem.column);
                let kind = if problem.outside_subset { "not in the subset" } else { "syntax error" };
                writeln!(stdout, "{}:{line}:{column}: {kind}: {}", file.display(), problem.message)?;
            }
        }
    }
    writeln!(stdout, "{taken} of {} scripts parse", files.len())?;
    Ok(ExitCode::from(u8::from(taken < files.len())))
}

/// The text of a script file: UTF-16 with its mark, else UTF-8, in which a wrong byte becomes a replacement character.
fn decode(bytes: &[u8]) -> String {
    let units = |pairs: &[u8], unit: fn([u8; 2]) -> u16| -> String {
        let units: Vec<u16> = pairs.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
