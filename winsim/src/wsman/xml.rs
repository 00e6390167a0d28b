//! XML into a small tree with resolved namespaces, bounded in depth and in number of elements.
//!
//! The reader is quick-xml; document type declarations are refused, so no entity but the predefined ones exists.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// Deeper than any WS-Management message.
const DEEPEST: usize = 32;

/// More elements than any WS-Management message has.
const MOST: usize = 5_000;

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    /// All text directly inside, joined.
    pub(super) text: String,
}

/// Why text is not a document that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum XmlError {
    #[error("the XML is not well formed: {0}")]
    Malformed(String),
    #[error("the XML nests deeper than {DEEPEST} elements")]
    TooDeep,
    #[error("the XML has more than {MOST} elements")]
    TooMany,
    #[error("a document type declaration is not accepted")]
    Doctype,
}

impl Node {
    /// The first child of this namespace and name.
    pub(super) fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.namespace == namespace && c.name == name)
    }

    /// The value of an attribute, by its local name.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The document element.
pub(super) fn parse(text: &str) -> Result<Node, XmlError> {
    let malformed = |e: &dyn std::fmt::Display| XmlError::Malformed(e.to_string());
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Node> = Vec::new();
    let mut count = 0usize;
    let mut root = None;
    loop {
        match reader.read_event().map_err(|e| malformed(&e))? {
            Event::Start(start) => {
                if root.is_some() {
                    return Err(XmlError::Malformed("something follows the document element".to_owned()));
                }
                if open.len() >= DEEPEST {
                    return Err(XmlError::TooDeep);
                }
                count += 1;
                if count > MOST {
                    return Err(XmlError::TooMany);
                }
                open.push(element(&reader, &start)?);
            }
            Event::End(_) => {
                let Some(done) = open.pop() else {
                    return Err(XmlError::Malformed("an element ends that did not start".to_owned()));
                };
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => root = Some(done),
                }
            }
            Event::Text(piece) => {
                let piece = piece.decode().map_err(|e| malformed(&e))?;
                match open.last_mut() {
                    Some(node) => node.text.push_str(&piece),
                    None if piece.trim_matches(['\u{feff}', ' ', '\r', '\n', '\t']).is_empty() => {}
                    None => return Err(XmlError::Malformed("text outside the document element".to_owned())),
                }
            }
            Event::CData(piece) => {
                let piece = piece.decode().map_err(|e| malformed(&e))?;
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&piece);
                }
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().map_err(|e| malformed(&e))? {
                    Some(c) => c,
                    None => predefined(&reference.decode().map_err(|e| malformed(&e))?)?,
                };
                if let Some(node) = open.last_mut() {
                    node.text.push(character);
                }
            }
            Event::DocType(_) => return Err(XmlError::Doctype),
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::Empty(_) => {}
        }
    }
    if !open.is_empty() {
        return Err(XmlError::Malformed("the document ends inside an element".to_owned()));
    }
    root.ok_or_else(|| XmlError::Malformed("there is no element".to_owned()))
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Node, XmlError> {
    let malformed = |e: &dyn std::fmt::Display| XmlError::Malformed(e.to_string());
    let (namespace, local) = reader.resolver().resolve_element(start.name());
    let namespace = match namespace {
        ResolveResult::Bound(ns) => String::from_utf8_lossy(ns.as_ref()).into_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(prefix) => {
            let prefix = String::from_utf8_lossy(&prefix).into_owned();
            return Err(XmlError::Malformed(format!("the namespace prefix '{prefix}' is not declared")));
        }
    };
    let mut node = Node { namespace, name: String::from_utf8_lossy(local.as_ref()).into_owned(), ..Node::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| malformed(&e))?;
        let name = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let value =
            attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|e| malformed(&e))?.into_owned();
        node.attributes.push((name, value));
    }
    Ok(node)
}

fn predefined(name: &str) -> Result<char, XmlError> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(XmlError::Malformed(format!("the entity '&{name};' is not defined"))),
    }
}
