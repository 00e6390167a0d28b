//! The characters of a script, read as tokens.
//!
//! PowerShell's tokens depend on where they stand (`5-3` is arithmetic, `a-b` a command name), so there is no list of
//! tokens made in advance: the parser asks this cursor for the kind of token it can use next. Positions count characters.

use super::ast::Pos;

/// A syntax error: what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", pos.line, pos.column)]
pub(crate) struct SyntaxError {
    pub(crate) pos: Pos,
    pub(crate) message: String,
    /// PowerShell's own identifier of the error, or the simulator's when the syntax is real but not in the subset.
    pub(crate) id: &'static str,
}

impl SyntaxError {
    /// The identifier of errors that real PowerShell would not have made.
    pub(crate) const NOT_IN_SUBSET: &'static str = "NotInSimulatedSubset";

    pub(crate) fn unsupported(pos: Pos, what: &str) -> Self {
        Self {
            pos,
            message: format!(
                "{what} is not in the subset of PowerShell that this simulated server runs (see winsim/SUBSET.md)."
            ),
            id: Self::NOT_IN_SUBSET,
        }
    }
}

/// Characters that PowerShell reads as a single quote.
pub(crate) fn is_single_quote(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}')
}

/// Characters that PowerShell reads as a double quote.
pub(crate) fn is_double_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201C}' | '\u{201D}' | '\u{201E}')
}

/// Characters that PowerShell reads as a dash.
pub(crate) fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2013}' | '\u{2014}' | '\u{2015}')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A cursor over the script.
#[derive(Debug)]
pub(crate) struct Lexer {
    chars: Vec<char>,
    pos: Pos,
}

impl Lexer {
    /// `number` is what positions will name the text by.
    pub(crate) fn new(source: &str, number: usize) -> Self {
        Self { chars: source.chars().collect(), pos: Pos { source: number, line: 1, column: 1, offset: 0 } }
    }

    pub(crate) fn pos(&self) -> Pos {
        self.pos
    }

    /// Goes back to an earlier position.
    pub(crate) fn rewind(&mut self, to: Pos) {
        self.pos = to;
    }

    /// The text from a position to the cursor, without its last `less` characters.
    pub(crate) fn text_since(&self, start: Pos, less: usize) -> std::rc::Rc<str> {
        let end = self.pos.offset.saturating_sub(less);
        let text: String = self.chars.get(start.offset..end).unwrap_or_default().iter().collect();
        text.into()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.pos.offset.checked_add(ahead)?).copied()
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos.offset += 1;
        if c == '\n' {
            self.pos.line += 1;
            self.pos.column = 1;
        } else {
            self.pos.column += 1;
        }
        Some(c)
    }

    /// Consumes `c` if it comes next.
    pub(crate) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.bump();
        }
        found
    }

    pub(crate) fn error(&self, message: impl Into<String>, id: &'static str) -> SyntaxError {
        SyntaxError { pos: self.pos, message: message.into(), id }
    }

    /// Skips blanks, comments and continued lines, and with `newlines` line ends too.
    pub(crate) fn skip_blank(&mut self, newlines: bool) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some('\n') if !newlines => return Ok(()),
                Some(c) if c.is_whitespace() || c == '\u{feff}' => {
                    self.bump();
                }
                Some('`') if self.continues_line() => {
                    self.bump();
                    self.eat('\r');
                    self.bump();
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                Some('<') if self.peek_at(1) == Some('#') => self.skip_block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn continues_line(&self) -> bool {
        match self.peek_at(1) {
            Some('\n') => true,
            Some('\r') => self.peek_at(2) == Some('\n'),
            _ => false,
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.pos;
        self.bump();
        self.bump();
        loop {
            match self.bump() {
                Some('#') if self.eat('>') => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(SyntaxError {
                        pos: start,
                        message: "The terminator '#>' is missing from the multiline comment.".to_owned(),
                        id: "MissingTerminatorMultiLineComment",
                    });
                }
            }
        }
    }

    /// The word that comes next (letters, digits, underscores), without consuming it.
    pub(crate) fn peek_word(&self) -> String {
        self.chars.get(self.pos.offset..).unwrap_or_default().iter().take_while(|c| is_word(**c)).collect()
    }

    pub(crate) fn read_word(&mut self) -> String {
        let word = self.peek_word();
        self.advance(word.chars().count());
        word
    }

    pub(crate) fn advance(&mut self, count: usize) {
        for _ in 0..count {
            self.bump();
        }
    }

    /// Consumes a keyword if it comes next as a whole word, whatever its case.
    pub(crate) fn eat_keyword(&mut self, keyword: &str) -> bool {
        let word = self.peek_word();
        // `while-x` is a command name, not a keyword.
        let next = self.peek_at(word.chars().count());
        let found = word.eq_ignore_ascii_case(keyword) && !next.is_some_and(|c| is_dash(c) || c == '.' || c == '\\');
        if found {
            self.advance(keyword.len());
        }
        found
    }

    /// The dash operator that comes next (`-eq`), in lower case and without its dash; consumes nothing.
    pub(crate) fn peek_operator(&self) -> Option<String> {
        if !self.peek().is_some_and(is_dash) {
            return None;
        }
        let word: String = self
            .chars
            .get(self.pos.offset.checked_add(1)?..)?
            .iter()
            .take_while(|c| c.is_ascii_alphabetic())
            .map(char::to_ascii_lowercase)
            .collect();
        (!word.is_empty()).then_some(word)
    }

    /// A number at the cursor: an integer (decimal or 0x) or a decimal fraction, with the suffixes kb, mb, gb.
    pub(crate) fn read_number(&mut self) -> Result<Number, SyntaxError> {
        let start = self.pos;
        if self.peek() == Some('0') && matches!(self.peek_at(1), Some('x' | 'X')) {
            self.advance(2);
            let digits = self.read_word();
            return i64::from_str_radix(&digits, 16)
                .map(Number::Int)
                .map_err(|_| bad_number(start, &format!("0x{digits}")));
        }
        let mut text = String::new();
        let mut fraction = false;
        while let Some(c) = self.peek() {
            match c {
                '0'..='9' => text.push(c),
                '.' if !fraction && self.peek_at(1).is_some_and(|d| d.is_ascii_digit()) => {
                    fraction = true;
                    text.push(c);
                }
                _ => break,
            }
            self.bump();
        }
        if let Some(exponent) = self.read_exponent() {
            let value: f64 = format!("{text}{exponent}").parse().map_err(|_| bad_number(start, &text))?;
            return Ok(Number::Double(value));
        }
        let suffix = self.peek_word().to_ascii_lowercase();
        let factor: i64 = match suffix.as_str() {
            "" => 1,
            "kb" => 1 << 10,
            "mb" => 1 << 20,
            "gb" => 1 << 30,
            "tb" => 1 << 40,
            "pb" => 1 << 50,
            // A number of 64 bits, as all are here.
            "l" if !fraction => 1,
            _ => return Err(bad_number(start, &format!("{text}{suffix}"))),
        };
        self.advance(suffix.len());
        if fraction {
            let value: f64 = text.parse().map_err(|_| bad_number(start, &text))?;
            #[allow(clippy::cast_precision_loss)] // a power of two below 2^53: exact
            return Ok(Number::Double(value * factor as f64));
        }
        text.parse::<i64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .map(Number::Int)
            .ok_or_else(|| bad_number(start, &text))
    }

    /// `e` with digits, which may have a sign, if that comes next.
    fn read_exponent(&mut self) -> Option<String> {
        if !matches!(self.peek(), Some('e' | 'E')) {
            return None;
        }
        let signed = matches!(self.peek_at(1), Some('+' | '-'));
        if !self.peek_at(1 + usize::from(signed)).is_some_and(|c| c.is_ascii_digit()) {
            return None;
        }
        let mut text = String::new();
        text.extend(self.bump());
        if signed {
            text.extend(self.bump());
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            text.extend(self.bump());
        }
        Some(text)
    }

    /// The text of a single-quoted string; the opening quote is already consumed.
    pub(crate) fn read_verbatim(&mut self, start: Pos) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.bump() {
                Some(c) if is_single_quote(c) => match self.peek() {
                    Some(next) if is_single_quote(next) => {
                        self.bump();
                        text.push(next);
                    }
                    _ => return Ok(text),
                },
                Some(c) => text.push(c),
                None => {
                    return Err(SyntaxError {
                        pos: start,
                        message: "The string is missing the terminator: '.".to_owned(),
                        id: "TerminatorExpectedAtEndOfString",
                    });
                }
            }
        }
    }

    /// What a backtick and the character after it stand for; the backtick is already consumed.
    pub(crate) fn read_escape(&mut self) -> String {
        match self.bump() {
            Some('n') => "\n".to_owned(),
            Some('r') => "\r".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('0') => "\0".to_owned(),
            Some('a') => "\u{7}".to_owned(),
            Some('b') => "\u{8}".to_owned(),
            Some('f') => "\u{c}".to_owned(),
            Some('v') => "\u{b}".to_owned(),
            Some(c) => c.to_string(),
            None => String::new(),
        }
    }
}

/// A number literal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

fn bad_number(pos: Pos, text: &str) -> SyntaxError {
    SyntaxError { pos, message: format!("The numeric constant {text} is not valid."), id: "BadNumericConstant" }
}
