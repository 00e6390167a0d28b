//! The syntax tree of the PowerShell subset, with the position of every node that can fail.

use std::rc::Rc;

/// A place in a script: line and column from 1, and the offset in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pos {
    /// Which text: 0 is the script that was started, the others are those it made script blocks of.
    pub(crate) source: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) offset: usize,
}

/// `{ ... }`: statements, with the parameters of a function or of a `param()` block.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) params: Vec<Param>,
    pub(crate) statements: Vec<Statement>,
    /// `begin`, `process` and `end`, in the order in which they run; the statements are empty then.
    pub(crate) named: Vec<Rc<Block>>,
    /// What stands between the braces of a script block, which is its text.
    pub(crate) text: Option<Rc<str>>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) type_name: Option<TypeName>,
    /// Attributes that say something about its values.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) default: Option<Expr>,
}

/// `[Name(...)]`. What stands in its parentheses is not kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) pos: Pos,
    /// `[Parameter(Mandatory)]`
    pub(crate) mandatory: bool,
    /// Whether to leave it out makes no difference here.
    pub(crate) harmless: bool,
}

/// A type literal as written between brackets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TypeName {
    pub(crate) name: String,
    pub(crate) pos: Pos,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Statement {
    pub(crate) pos: Pos,
    pub(crate) kind: StatementKind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum StatementKind {
    Pipeline(Pipeline),
    Assign {
        target: Expr,
        op: AssignOp,
        value: Box<Statement>,
    },
    If {
        arms: Vec<(Statement, Rc<Block>)>,
        otherwise: Option<Rc<Block>>,
    },
    ForEach {
        variable: String,
        items: Box<Statement>,
        body: Rc<Block>,
    },
    While {
        condition: Box<Statement>,
        body: Rc<Block>,
        /// `do { } while`: the body runs before the first test.
        body_first: bool,
        /// `do { } until`: runs on while the condition is false.
        negate: bool,
    },
    For {
        init: Option<Box<Statement>>,
        condition: Option<Box<Statement>>,
        step: Option<Box<Statement>>,
        body: Rc<Block>,
    },
    Switch {
        mode: SwitchMode,
        subject: Box<Statement>,
        arms: Vec<(Expr, Rc<Block>)>,
        default: Option<Rc<Block>>,
    },
    Try {
        body: Rc<Block>,
        catch: Vec<Catch>,
        finally: Option<Rc<Block>>,
    },
    Function {
        name: String,
        body: Rc<Block>,
    },
    /// Read, and outside the subset when it is reached.
    Refused(String),
    Throw(Option<Box<Statement>>),
    Return(Option<Box<Statement>>),
    Exit(Option<Box<Statement>>),
    Break,
    Continue,
}

/// How `switch` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwitchMode {
    pub(crate) comparison: Comparison,
    pub(crate) case: CaseRule,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Catch {
    /// Empty: catches everything.
    pub(crate) types: Vec<TypeName>,
    pub(crate) body: Rc<Block>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AssignOp {
    Set,
    With(BinaryOp),
}

/// Elements joined by `|`.
#[derive(Debug, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) elements: Vec<Element>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Element {
    Expr(Expr),
    Command(Command),
}

/// A command call: a name (or `& expression`) and its arguments.
#[derive(Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) pos: Pos,
    pub(crate) name: CommandName,
    pub(crate) args: Vec<Arg>,
    pub(crate) redirections: Vec<Redirection>,
}

/// `2>&1`, `2>$null`, `>$null`, `*>$null`: where a stream goes instead.
#[derive(Debug, PartialEq)]
pub(crate) struct Redirection {
    pub(crate) pos: Pos,
    pub(crate) from: Stream,
    /// Into the output; otherwise nowhere.
    pub(crate) to_output: bool,
    /// Why it is outside the subset, if it is.
    pub(crate) refused: Option<&'static str>,
}

/// A stream that can be redirected. Of the other ones the subset has warnings only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Errors,
    Other,
    All,
}

#[derive(Debug, PartialEq)]
pub(crate) enum CommandName {
    Name(String),
    /// `& $block`
    Invoke(Expr),
    /// Outside the subset when it is reached.
    Refused(&'static str),
    /// `. $block`: in the scope of the caller.
    Dot(Expr),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Arg {
    /// `-Name`, or `-Name:value`.
    Parameter {
        name: String,
        value: Option<Expr>,
    },
    Value(Expr),
    /// `@name`
    Splat(Expr),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) pos: Pos,
    pub(crate) kind: ExprKind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ExprKind {
    Int(i64),
    Double(f64),
    Str(String),
    /// A double-quoted string.
    Interpolated(Vec<Part>),
    Variable(Variable),
    /// `a, b`
    List(Vec<Expr>),
    /// `@( ... )`
    ArrayOf(Block),
    /// `$( ... )`
    SubExpression(Block),
    /// `( ... )`
    Paren(Box<Statement>),
    /// `@{ ... }`
    Table(Vec<(Expr, Statement)>),
    ScriptBlock(Rc<Block>),
    /// Read, and outside the subset when it is reached.
    Refused(String),
    Type(TypeName),
    /// `[ordered]@{}` and `[PSCustomObject]@{}` are casts too.
    Cast {
        to: TypeName,
        value: Box<Expr>,
    },
    Member {
        target: Box<Expr>,
        name: Box<Expr>,
        is_static: bool,
    },
    Call {
        target: Box<Expr>,
        name: String,
        args: Vec<Expr>,
        is_static: bool,
    },
    Index {
        target: Box<Expr>,
        index: Box<Expr>,
    },
    Unary {
        op: UnaryOp,
        value: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `$x++` and the like.
    Step {
        target: Box<Expr>,
        by: i64,
        prefix: bool,
    },
}

#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Expr(Expr),
}

/// `$name`, `$script:name`, `$env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) scope: Option<String>,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Not,
    BitNot,
    Minus,
    Plus,
    Join,
    Split,
    /// `,x`: an array of one.
    Comma,
}

/// Comparison operators carry whether they look at case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Range,
    Format,
    And,
    Or,
    Xor,
    Compare(Comparison, CaseRule),
    Replace(CaseRule),
    Split(CaseRule),
    Join,
    Is,
    IsNot,
    As,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseRule {
    Ignore,
    Respect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Like,
    NotLike,
    Match,
    NotMatch,
    Contains,
    NotContains,
    In,
    NotIn,
}
