//! Wildcard patterns of `-like` and of name parameters: `*`, `?`, `[abc]`, `[a-z]`, a backtick before a literal.

/// Whether the whole of `text` matches. Takes time proportional to the product of the lengths, never more.
pub(crate) fn matches(pattern: &str, text: &str, respect_case: bool) -> bool {
    let fold = |s: &str| if respect_case { s.to_owned() } else { s.to_lowercase() };
    let tokens = tokens(&fold(pattern));
    let text: Vec<char> = fold(text).chars().collect();
    // Where matching goes on after the last star, and how much text that star has eaten.
    let mut star: Option<(usize, usize)> = None;
    let (mut t, mut p) = (0usize, 0usize);
    while t < text.len() {
        match tokens.get(p) {
            Some(Token::Star) => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(Token::One(set)) if text.get(t).is_some_and(|c| set.admits(*c)) => {
                t += 1;
                p += 1;
            }
            _ => match star {
                Some((after, eaten)) => {
                    star = Some((after, eaten + 1));
                    t = eaten + 1;
                    p = after;
                }
                None => return false,
            },
        }
    }
    tokens.get(p..).unwrap_or_default().iter().all(|t| matches!(t, Token::Star))
}

/// Whether a text has characters that make it a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

enum Token {
    Star,
    One(Set),
}

enum Set {
    Any,
    Char(char),
    Ranges(Vec<(char, char)>),
}

impl Set {
    fn admits(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Char(wanted) => *wanted == c,
            Self::Ranges(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)),
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        i += 1;
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::One(Set::Any),
            '`' => match chars.get(i) {
                Some(&next) => {
                    i += 1;
                    Token::One(Set::Char(next))
                }
                None => Token::One(Set::Char('`')),
            },
            '[' => match chars.get(i..).and_then(|rest| rest.iter().position(|c| *c == ']')) {
                Some(length) => {
                    let set = ranges(chars.get(i..i + length).unwrap_or_default());
                    i += length + 1;
                    Token::One(Set::Ranges(set))
                }
                None => Token::One(Set::Char('[')),
            },
            other => Token::One(Set::Char(other)),
        });
    }
    tokens
}

fn ranges(chars: &[char]) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut i = 0;
    while let Some(&low) = chars.get(i) {
        match (chars.get(i + 1), chars.get(i + 2)) {
            (Some('-'), Some(&high)) => {
                ranges.push((low, high));
                i += 3;
            }
            _ => {
                ranges.push((low, low));
                i += 1;
            }
        }
    }
    ranges
}
