//! Which modules a source refers to: in `use`, in the paths of expressions, types and patterns, and in what is
//! handed to macros and attributes, where `syn` sees tokens only.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One mention of something in this crate, or in one of the two libraries below it.
pub struct Reference {
    /// From the crate's root (`["act", "perform"]`), or starting with the library's name. Empty: the root itself.
    pub target: Vec<String>,
    pub line: usize,
}

/// The libraries of this workspace that the layering speaks of.
const LIBRARIES: [&str; 3] = ["msp_agent_act", "msp_contracts", "msp_rules"];

/// All references in `source`, which is the module `module` of its crate.
pub fn references(source: &str, module: Vec<String>) -> syn::Result<Vec<Reference>> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder { module, found: Vec::new() };
    finder.visit_file(&file);
    Ok(finder.found)
}

struct Finder {
    module: Vec<String>,
    found: Vec<Reference>,
}

impl Finder {
    fn add(&mut self, segments: &[String], line: usize) {
        let up = segments.iter().take_while(|segment| *segment == "super").count();
        let target = match segments[0].as_str() {
            "crate" => segments[1..].to_vec(),
            "self" => [&self.module[..], &segments[1..]].concat(),
            "super" => [&self.module[..self.module.len().saturating_sub(up)], &segments[up..]].concat(),
            library if LIBRARIES.contains(&library) => segments.to_vec(),
            _ => return,
        };
        self.found.push(Reference { target, line });
    }

    fn add_tree(&mut self, tree: &syn::UseTree, line: usize) {
        let mut paths = Vec::new();
        flatten(tree, &[], &mut paths);
        paths.iter().for_each(|path| self.add(path, line));
    }

    /// Runs of `name::name::{..}` among tokens, read as a `use` would be; and strings such as serde's
    /// `with = "crate::..."`.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            let line = trees[at].span().start().line;
            let mut end = at + 1;
            match &trees[at] {
                TokenTree::Ident(_) => {
                    while is_colon(&trees, end) && is_colon(&trees, end + 1) && continues_path(trees.get(end + 2)) {
                        end += 3;
                    }
                    let run: TokenStream = trees[at..end].iter().cloned().collect();
                    if let (true, Ok(tree)) = (end > at + 1, syn::parse2(run)) {
                        self.add_tree(&tree, line);
                    }
                }
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"')) {
                        self.add_path(&path, line);
                    }
                }
                TokenTree::Punct(_) => {}
            }
            at = end;
        }
    }

    fn add_path(&mut self, path: &syn::Path, line: usize) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // A lone `self` is a value.
        if segments.len() > 1 {
            self.add(&segments, line);
        }
    }
}

fn is_colon(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

fn continues_path(tree: Option<&TokenTree>) -> bool {
    match tree {
        Some(TokenTree::Ident(_)) => true,
        Some(TokenTree::Punct(punct)) => punct.as_char() == '*',
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        _ => false,
    }
}

fn flatten(tree: &syn::UseTree, before: &[String], paths: &mut Vec<Vec<String>>) {
    let with = |name: String| [before, &[name]].concat();
    let leaf = |name: String| if name == "self" && !before.is_empty() { before.to_vec() } else { with(name) };
    match tree {
        syn::UseTree::Path(path) => flatten(&path.tree, &with(path.ident.to_string()), paths),
        syn::UseTree::Name(name) => paths.push(leaf(name.ident.to_string())),
        syn::UseTree::Rename(rename) => paths.push(leaf(rename.ident.to_string())),
        syn::UseTree::Glob(_) => paths.push(with("*".to_owned())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| flatten(item, before, paths)),
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, item.use_token.span.start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.add_path(path, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    // `pub(in crate::act)` names who may see something and uses nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}
