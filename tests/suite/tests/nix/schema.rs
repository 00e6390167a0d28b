//! The agent's configuration as its own source tells it: `agent/src/config/schema.rs`.

use super::root;
use std::collections::BTreeMap;
use syn::{Expr, ExprLit, Fields, Item, Lit, Stmt};

/// A key of the configuration.
pub struct Key {
    /// Its type's own name, without `Option<...>`: `PathBuf`, `u64`, `Vec`.
    pub kind: String,
    pub optional: bool,
    /// As JSON; none where the source computes it.
    pub default: Option<String>,
}

/// The schema.
pub struct Schema {
    pub keys: BTreeMap<String, Key>,
    /// Checked, but nothing acts on them.
    pub idle: Vec<String>,
}

pub fn read() -> Schema {
    let text = std::fs::read_to_string(root().join("agent/src/config/schema.rs")).unwrap();
    let file = syn::parse_file(&text).unwrap();
    let functions: BTreeMap<String, Option<String>> = file.items.iter().filter_map(function).collect();
    let list = |name: &str| {
        let item = file.items.iter().find_map(|item| match item {
            Item::Const(item) if item.ident == name => Some(strings(&item.expr)),
            _ => None,
        });
        item.unwrap_or_else(|| panic!("schema.rs has no {name}"))
    };
    let config = file.items.iter().find_map(|item| match item {
        Item::Struct(item) if item.ident == "Config" => Some(&item.fields),
        _ => None,
    });
    let Some(Fields::Named(fields)) = config else { panic!("schema.rs has no Config with fields") };
    let known = list("KEYS");
    let mut keys = BTreeMap::new();
    for field in &fields.named {
        let name = field.ident.as_ref().unwrap().to_string();
        if !known.contains(&name) {
            continue;
        }
        let (outer, inner) = type_name(&field.ty);
        let optional = outer == "Option";
        let kind = if optional { inner.unwrap() } else { outer };
        keys.insert(name, Key { default: default(field, &kind, &functions), kind, optional });
    }
    assert_eq!(keys.len(), known.len(), "KEYS and Config differ");
    Schema { keys, idle: list("NOT_IN_THIS_VERSION") }
}

/// What `#[serde(default...)]` comes to; `null` without one.
fn default(field: &syn::Field, kind: &str, functions: &BTreeMap<String, Option<String>>) -> Option<String> {
    let mut found = Some("null".to_owned());
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                found = match meta.value().and_then(|value| value.parse::<syn::LitStr>()) {
                    Ok(name) => functions.get(&name.value()).cloned().flatten(),
                    Err(_) => match kind {
                        "bool" => Some("false".to_owned()),
                        "Vec" => Some("[]".to_owned()),
                        // An enum's own default is its attribute's matter; the programs are asked (options.rs).
                        _ => None,
                    },
                };
            }
            Ok(())
        });
    }
    found
}

/// A function that gives a literal, and what it gives.
fn function(item: &Item) -> Option<(String, Option<String>)> {
    let Item::Fn(function) = item else { return None };
    let value = match function.block.stmts.as_slice() {
        [Stmt::Expr(value, None)] => literal(value),
        _ => None,
    };
    Some((function.sig.ident.to_string(), value))
}

fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Bool(bool), .. }) => Some(bool.value.to_string()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(format!("{:?}", text.value())),
        Expr::MethodCall(call) => literal(&call.receiver),
        // A value of an enum, as serde writes it.
        Expr::Path(path) if path.path.segments.len() == 2 => {
            Some(format!("{:?}", path.path.segments[1].ident.to_string().to_lowercase()))
        }
        _ => None,
    }
}

fn strings(value: &Expr) -> Vec<String> {
    let Expr::Reference(list) = value else { panic!("no list of strings") };
    let Expr::Array(list) = &*list.expr else { panic!("no list of strings") };
    list.elems.iter().map(|one| literal(one).unwrap().trim_matches('"').to_owned()).collect()
}

/// The last name of a type, and that of its first argument.
fn type_name(of: &syn::Type) -> (String, Option<String>) {
    let syn::Type::Path(path) = of else { panic!("a type that is no name") };
    let last = path.path.segments.last().unwrap();
    let inner = match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|one| match one {
            syn::GenericArgument::Type(inner) => Some(type_name(inner).0),
            _ => None,
        }),
        _ => None,
    };
    (last.ident.to_string(), inner)
}
