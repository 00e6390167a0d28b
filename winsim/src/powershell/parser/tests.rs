//! The parser on hostile text: it always ends, with a tree or a positioned error.

use proptest::prelude::*;

use super::super::lexer::SyntaxError;
use super::parse;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_text_gives_a_tree_or_an_error_with_a_position(text in ".{0,300}") {
        if let Err(error) = parse(&text, 0) {
            prop_assert!(error.pos.line >= 1 && error.pos.column >= 1);
        }
    }

    #[test]
    fn arbitrary_pieces_of_the_language_never_hang_or_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "$", "{", "}", "(", ")", "@(", "@{", "[", "]", "'", "\"", "|", ";", "\n", "=", "+=", "if", "else", "foreach",
                "try", "catch", "function", "param", "-eq", "-not", ",", ".", "::", "..", "x", "$x", "1", "`", "#", "<#", "switch",
                "@'\n", "\n'@", "@\"\n", "\n\"@", "[A(", ")]", "begin", "process", "class A", "enum", "using x", "trap", "filter f",
                ":a ", "break a", "2>", ">", "&1", ". ", "$x\\y", "-regex", "-file", "-band", "-shl", ".where", "::", " ++", "[Flags()]",
            ]),
            0..60,
        ),
        blank in any::<bool>(),
    ) {
        let text = pieces.join(if blank { " " } else { "" });
        if let Err(error) = parse(&text, 0) {
            prop_assert!(!error.message.is_empty());
        }
    }
}

/// Runs a test on the stack that the interpreter's threads have.
fn on_a_script_thread(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(crate::powershell::STACK_BYTES);
    thread.spawn(test).unwrap().join().unwrap();
}

#[test]
fn nesting_beyond_the_limit_is_refused_instead_of_overflowing_the_stack() {
    on_a_script_thread(|| {
        for open in [
            "(",
            "@(",
            "{",
            "-not ",
            "$(",
            "if (1) {",
            "@{a=",
            "\"$(",
            "[int]",
            "[A()]",
            ":a ",
            "process {",
            "x$(",
            "@\"\n$(",
            "switch (1) { 1 {",
        ] {
            let error = parse(&open.repeat(20_000), 0).expect_err("too deep");
            assert_eq!(error.id, SyntaxError::NOT_IN_SUBSET, "{open}: {error}");
        }
    });
}

#[test]
fn a_long_chain_of_operators_or_members_is_refused() {
    assert!(parse(&format!("1{}", "+1".repeat(10_000)), 0).is_err());
    assert!(parse(&format!("$a{}", ".b".repeat(10_000)), 0).is_err());
    assert!(parse(&format!("$a{}", "|%{$_}".repeat(10_000)), 0).is_err());
}
