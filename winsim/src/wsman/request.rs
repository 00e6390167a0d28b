//! A SOAP envelope read into a request: headers that are used, and the body.

use std::collections::HashMap;
use std::time::Duration;

use super::fault::Fault;
use super::namespaces::{ADDRESSING, IDENTITY, MICROSOFT_WSMAN, SOAP, WSMAN};
use super::xml::{self, Node};

/// How long an operation may take when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The smallest answer a client may ask for, and the largest this server sends ([MS-WSMV] 3.1.4.1.5).
const ENVELOPE_RANGE: std::ops::RangeInclusive<usize> = 8_192..=512_000;

/// The headers that are understood, so that `mustUnderstand` on another one can be answered.
const UNDERSTOOD: [(&str, &str); 13] = [
    (ADDRESSING, "To"),
    (ADDRESSING, "ReplyTo"),
    (ADDRESSING, "Action"),
    (ADDRESSING, "MessageID"),
    (ADDRESSING, "FaultTo"),
    (WSMAN, "ResourceURI"),
    (WSMAN, "MaxEnvelopeSize"),
    (WSMAN, "Locale"),
    (WSMAN, "OperationTimeout"),
    (WSMAN, "SelectorSet"),
    (WSMAN, "OptionSet"),
    (MICROSOFT_WSMAN, "DataLocale"),
    (MICROSOFT_WSMAN, "SessionId"),
];

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    /// None for Identify, which has no headers.
    pub(super) action: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) resource: String,
    pub(super) shell_id: Option<String>,
    pub(super) timeout: Duration,
    /// The largest answer the client takes, in bytes.
    pub(super) max_envelope: usize,
    pub(super) options: HashMap<String, String>,
    pub(super) body: Node,
}

impl Request {
    /// Whether this is an Identify.
    pub(super) fn is_identify(&self) -> bool {
        self.action.is_none() && self.body.child(IDENTITY, "Identify").is_some()
    }
}

/// A fault, and the message that it answers when that much could be read.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) fault: Fault,
    pub(super) message_id: Option<String>,
}

/// Reads an envelope.
pub(super) fn parse(text: &str) -> Result<Request, Rejected> {
    let reject = |reason: String, message_id: Option<String>| Rejected { fault: Fault::Schema { reason }, message_id };
    let mut envelope = xml::parse(text).map_err(|e| reject(e.to_string(), None))?;
    if envelope.namespace != SOAP || envelope.name != "Envelope" {
        return Err(reject("the document is not a SOAP 1.2 envelope".to_owned(), None));
    }
    let Some(body_at) = envelope.children.iter().position(|c| c.namespace == SOAP && c.name == "Body") else {
        return Err(reject("the envelope has no body".to_owned(), None));
    };
    let body = envelope.children.swap_remove(body_at);
    let empty = Node::default();
    let header = envelope.child(SOAP, "Header").unwrap_or(&empty);
    let text_of = |namespace: &str, name: &str| {
        header.child(namespace, name).map(|n| n.text.trim().to_owned()).filter(|t| !t.is_empty())
    };
    let message_id = text_of(ADDRESSING, "MessageID");
    if let Some(unknown) = header.children.iter().find(|n| !understood(n)) {
        return Err(Rejected { fault: Fault::NotUnderstood { name: unknown.name.clone() }, message_id });
    }
    let action = text_of(ADDRESSING, "Action");
    if action.is_some() && message_id.is_none() {
        return Err(reject("the header MessageID is missing".to_owned(), None));
    }
    let timeout = match text_of(WSMAN, "OperationTimeout") {
        None => DEFAULT_TIMEOUT,
        Some(text) => duration(&text)
            .ok_or_else(|| reject(format!("OperationTimeout '{text}' is not a duration"), message_id.clone()))?,
    };
    let max_envelope = match text_of(WSMAN, "MaxEnvelopeSize") {
        None => super::MAX_ENVELOPE,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|n| *n >= *ENVELOPE_RANGE.start())
            .ok_or_else(|| reject(format!("MaxEnvelopeSize '{text}' is not a number from 8192"), message_id.clone()))?
            .min(*ENVELOPE_RANGE.end()),
    };
    Ok(Request {
        action,
        message_id,
        resource: text_of(WSMAN, "ResourceURI").unwrap_or_default(),
        shell_id: header.child(WSMAN, "SelectorSet").and_then(|set| {
            set.children.iter().find(|s| s.attribute("Name") == Some("ShellId")).map(|s| s.text.trim().to_owned())
        }),
        timeout: timeout.min(DEFAULT_TIMEOUT),
        max_envelope,
        options: options(header, &envelope),
        body,
    })
}

fn understood(header: &Node) -> bool {
    let must = header.attribute("mustUnderstand").is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true"));
    !must || UNDERSTOOD.iter().any(|(ns, name)| header.namespace == *ns && header.name == *name)
}

/// Options belong into the header; one client (winrm-rs 2.0.1) writes them beside it.
fn options(header: &Node, envelope: &Node) -> HashMap<String, String> {
    let set = header.child(WSMAN, "OptionSet").or_else(|| envelope.child(WSMAN, "OptionSet"));
    set.into_iter()
        .flat_map(|set| &set.children)
        .filter_map(|o| Some((o.attribute("Name")?.to_owned(), o.text.trim().to_owned())))
        .collect()
}

/// The part of xs:duration that clients use: `PT20S`, `PT1M30.5S`, `PT2H`, `P0DT0H1M0S`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut seconds = 0.0;
    let mut found = false;
    for (part, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)][..])] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            let (_, factor) = units.iter().find(|(unit, _)| *unit == c)?;
            seconds += number.parse::<f64>().ok()? * factor;
            number.clear();
            found = true;
        }
        if !number.is_empty() {
            return None;
        }
    }
    if !found {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}
