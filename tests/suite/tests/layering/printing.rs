//! Finds `println!` and its kin outside tests. Clippy denies them too; here no `#[allow]` helps.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::sources::Source;

const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Where the sources of one crate print, as `path:line: macro`. Modules under `#[cfg(test)]` are left out, also
/// those in files of their own.
pub fn found(sources: &[Source]) -> Vec<String> {
    let mut finder = Finder::default();
    for source in sources {
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path.display()));
        finder.module = source.module();
        let before = finder.places.len();
        finder.visit_file(&file);
        for place in &mut finder.places[before..] {
            place.text = format!("{}:{}", source.path.display(), place.text);
        }
    }
    let Finder { places, test_modules, .. } = finder;
    let in_tests = |place: &Place| test_modules.iter().any(|tests| place.module.starts_with(tests));
    places.into_iter().filter(|place| !in_tests(place)).map(|place| place.text).collect()
}

struct Place {
    module: Vec<String>,
    text: String,
}

#[derive(Default)]
struct Finder {
    module: Vec<String>,
    places: Vec<Place>,
    test_modules: Vec<Vec<String>>,
}

impl Finder {
    fn add(&mut self, name: &syn::Ident) {
        if PRINTING.iter().any(|printing| name == printing) {
            let text = format!("{}: {name}!", name.span().start().line);
            self.places.push(Place { module: self.module.clone(), text });
        }
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, tree) in trees.iter().enumerate() {
            let called = matches!(trees.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '!');
            match tree {
                TokenTree::Ident(name) if called => self.add(name),
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                _ => {}
            }
        }
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    let is_test = |list: &syn::MetaList| list.path.is_ident("cfg") && list.tokens.to_string() == "test";
    attributes.iter().any(|attribute| matches!(&attribute.meta, syn::Meta::List(list) if is_test(list)))
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        if is_test_only(&item.attrs) {
            self.test_modules.push(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last() {
            self.add(&last.ident);
        }
        self.add_tokens(call.tokens.clone());
    }
}

#[test]
fn printing_is_found_outside_tests_only() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
    let sources = [
        source("agent/src/main.rs", "#[cfg(test)]\nmod fixture;\nfn main() {\n    std::println!(\"a\");\n}"),
        source("agent/src/fixture.rs", "fn a() { println!(\"a\"); }"),
        source("agent/src/act.rs", "fn a() { tokio::select! { _ = b => { eprintln!(\"a\") } } }"),
        source("agent/src/prove.rs", "#[cfg(test)] mod tests { fn a() { dbg!(1); } }"),
    ];
    assert_eq!(found(&sources), ["agent/src/main.rs:4: println!", "agent/src/act.rs:1: eprintln!"]);
}
