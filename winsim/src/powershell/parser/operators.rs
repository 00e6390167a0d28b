//! Binary operators by precedence, from `-and` down to `..`.

use super::super::ast::{BinaryOp, CaseRule, Comparison, Expr, ExprKind};
use super::super::lexer::{SyntaxError, is_dash};
use super::{LONGEST_CHAIN, Parsed, Parser};

/// Finds an operator of one level at the cursor: which, and how many characters it takes. Consumes nothing.
type OperatorAt = fn(&mut Parser) -> Option<(BinaryOp, usize)>;

/// The levels of precedence, loosest first.
const LEVELS: [OperatorAt; 6] = [
    Parser::logical_operator,
    Parser::comparison_operator,
    Parser::additive_operator,
    Parser::multiplicative_operator,
    Parser::format_operator,
    Parser::range_operator,
];

impl Parser {
    /// An expression, with every operator.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|p| p.level(0))
    }

    fn level(&mut self, level: usize) -> Parsed<Expr> {
        let Some(operator) = LEVELS.get(level) else {
            return self.list();
        };
        let mut left = self.level(level + 1)?;
        let mut chain = 0;
        loop {
            let before = self.lexer.pos();
            self.skip()?;
            let pos = self.lexer.pos();
            let Some((op, width)) = operator(self) else {
                if level == 0 {
                    self.refuse_unknown_operator()?;
                }
                self.lexer.rewind(before);
                return Ok(left);
            };
            chain += 1;
            if chain > LONGEST_CHAIN {
                return Err(SyntaxError::unsupported(pos, "A chain of operators this long"));
            }
            self.lexer.advance(width);
            self.skip_lines()?;
            let right = self.level(level + 1)?;
            left = Expr { pos, kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) } };
        }
    }

    /// After a complete expression a dash and letters can only be an operator that the subset lacks.
    fn refuse_unknown_operator(&mut self) -> Parsed<()> {
        match self.lexer.peek_operator() {
            Some(word) => Err(SyntaxError::unsupported(self.lexer.pos(), &format!("The operator '-{word}'"))),
            None => Ok(()),
        }
    }

    fn logical_operator(&mut self) -> Option<(BinaryOp, usize)> {
        let word = self.lexer.peek_operator()?;
        let op = match word.as_str() {
            "and" => BinaryOp::And,
            "or" => BinaryOp::Or,
            "xor" => BinaryOp::Xor,
            _ => return None,
        };
        Some((op, word.len() + 1))
    }

    fn comparison_operator(&mut self) -> Option<(BinaryOp, usize)> {
        let word = self.lexer.peek_operator()?;
        let width = word.len() + 1;
        let op = match word.as_str() {
            "join" => BinaryOp::Join,
            "is" => BinaryOp::Is,
            "isnot" => BinaryOp::IsNot,
            "as" => BinaryOp::As,
            "band" => BinaryOp::BitAnd,
            "bor" => BinaryOp::BitOr,
            "bxor" => BinaryOp::BitXor,
            "shl" => BinaryOp::ShiftLeft,
            "shr" => BinaryOp::ShiftRight,
            _ => {
                // -ceq respects case, -ieq and -eq do not. `contains` starts with a c of its own.
                match cased(&word, CaseRule::Ignore) {
                    Some(op) => op,
                    None if word.starts_with('c') => cased(&word[1..], CaseRule::Respect)?,
                    None if word.starts_with('i') => cased(&word[1..], CaseRule::Ignore)?,
                    None => return None,
                }
            }
        };
        Some((op, width))
    }

    fn additive_operator(&mut self) -> Option<(BinaryOp, usize)> {
        let next = self.lexer.peek_at(1);
        match self.lexer.peek()? {
            '+' if next != Some('=') && next != Some('+') => Some((BinaryOp::Add, 1)),
            c if is_dash(c) && next != Some('=') && !next.is_some_and(|n| is_dash(n) || n.is_alphabetic()) => {
                Some((BinaryOp::Subtract, 1))
            }
            _ => None,
        }
    }

    fn multiplicative_operator(&mut self) -> Option<(BinaryOp, usize)> {
        if self.lexer.peek_at(1) == Some('=') {
            return None;
        }
        match self.lexer.peek()? {
            '*' => Some((BinaryOp::Multiply, 1)),
            '/' => Some((BinaryOp::Divide, 1)),
            '%' => Some((BinaryOp::Modulo, 1)),
            _ => None,
        }
    }

    fn format_operator(&mut self) -> Option<(BinaryOp, usize)> {
        (self.lexer.peek_operator()? == "f").then_some((BinaryOp::Format, 2))
    }

    fn range_operator(&mut self) -> Option<(BinaryOp, usize)> {
        (self.lexer.peek() == Some('.') && self.lexer.peek_at(1) == Some('.')).then_some((BinaryOp::Range, 2))
    }

    /// `a, b, c`, where commas make lists.
    fn list(&mut self) -> Parsed<Expr> {
        let first = self.unary()?;
        if !self.list_allowed {
            return Ok(first);
        }
        let pos = first.pos;
        let mut items = vec![first];
        loop {
            let before = self.lexer.pos();
            self.skip()?;
            if !self.lexer.eat(',') {
                self.lexer.rewind(before);
                break;
            }
            self.skip_lines()?;
            items.push(self.unary()?);
        }
        Ok(match items.len() {
            1 => items.swap_remove(0),
            _ => Expr { pos, kind: ExprKind::List(items) },
        })
    }
}

fn cased(word: &str, case: CaseRule) -> Option<BinaryOp> {
    use Comparison::{Contains, Eq, Ge, Gt, In, Le, Like, Lt, Match, Ne, NotContains, NotIn, NotLike, NotMatch};
    let comparison = match word {
        "eq" => Eq,
        "ne" => Ne,
        "gt" => Gt,
        "ge" => Ge,
        "lt" => Lt,
        "le" => Le,
        "like" => Like,
        "notlike" => NotLike,
        "match" => Match,
        "notmatch" => NotMatch,
        "contains" => Contains,
        "notcontains" => NotContains,
        "in" => In,
        "notin" => NotIn,
        "replace" => return Some(BinaryOp::Replace(case)),
        "split" => return Some(BinaryOp::Split(case)),
        _ => return None,
    };
    Some(BinaryOp::Compare(comparison, case))
}
