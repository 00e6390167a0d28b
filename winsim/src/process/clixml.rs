//! CLIXML, the form in which `powershell.exe` writes its error stream when it is not a console ([MS-PSRP] 2.2.5).

/// Opens the document; written before the first record only.
pub(super) const HEADER: &str =
    "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">";

/// Closes the document.
pub(super) const FOOTER: &str = "</Objs>";

/// A line of an error.
pub(super) fn error_line(line: &str) -> String {
    record("Error", &format!("{line}\r\n"))
}

/// A warning, all of it.
pub(super) fn warning(text: &str) -> String {
    record("warning", text)
}

fn record(stream: &str, line: &str) -> String {
    let mut text = format!("<S S=\"{stream}\">");
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // An underscore that would read as the start of an escape is escaped itself.
            '_' if rest.peek().is_some_and(|n| *n == 'x' || *n == 'X') => text.push_str("_x005F_"),
            c if c.is_control() => text.push_str(&format!("_x{:04X}_", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push_str("</S>");
    text
}
