//! The envelopes of successful answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::namespaces::{
    ADDRESSING, IDENTITY, MICROSOFT_WSMAN, RESOURCE_CMD, SHELL, SOAP, STATE_DONE, STATE_RUNNING, WSMAN,
};
use crate::process::Taken;

/// Text as XML content or attribute value. Control characters that XML cannot carry become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A new message identifier.
pub(super) fn message_id() -> String {
    format!("uuid:{}", Uuid::new_v4().to_string().to_uppercase())
}

fn envelope(action: &str, relates_to: Option<&str>, body: &str) -> String {
    let relates = match relates_to {
        Some(id) => format!("<a:RelatesTo>{}</a:RelatesTo>", escape(id)),
        None => String::new(),
    };
    format!(
        "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:w=\"{WSMAN}\" \
         xmlns:rsp=\"{SHELL}\" xmlns:p=\"{MICROSOFT_WSMAN}\" \
         xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/transfer\"><s:Header><a:Action>{action}</a:Action>\
         <a:MessageID>{}</a:MessageID><a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>\
         {relates}</s:Header><s:Body>{body}</s:Body></s:Envelope>",
        message_id()
    )
}

pub(super) fn identify(os_version: &str) -> String {
    format!(
        "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"{SOAP}\"><s:Header/><s:Body><wsmid:IdentifyResponse \
         xmlns:wsmid=\"{IDENTITY}\"><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\
         </wsmid:ProtocolVersion><wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>\
         <wsmid:ProductVersion>OS: {os_version} SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>\
         </s:Body></s:Envelope>"
    )
}

pub(super) fn shell_created(relates_to: Option<&str>, shell_id: &str, owner: &str, idle_seconds: u64) -> String {
    let owner = escape(owner);
    let body = format!(
        "<x:ResourceCreated><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>\
         <a:ReferenceParameters><w:ResourceURI>{RESOURCE_CMD}</w:ResourceURI><w:SelectorSet>\
         <w:Selector Name=\"ShellId\">{shell_id}</w:Selector></w:SelectorSet></a:ReferenceParameters>\
         </x:ResourceCreated><rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId><rsp:ResourceUri>{RESOURCE_CMD}\
         </rsp:ResourceUri><rsp:Owner>{owner}</rsp:Owner><rsp:IdleTimeOut>PT{idle_seconds}.000S</rsp:IdleTimeOut>\
         <rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"
    );
    envelope("http://schemas.xmlsoap.org/ws/2004/09/transfer/CreateResponse", relates_to, &body)
}

pub(super) fn command_started(relates_to: Option<&str>, command_id: &str) -> String {
    let body =
        format!("<rsp:CommandResponse><rsp:CommandId>{}</rsp:CommandId></rsp:CommandResponse>", escape(command_id));
    envelope(&format!("{SHELL}/CommandResponse"), relates_to, &body)
}

/// How many bytes of output fit into an envelope of this size.
pub(super) fn output_room(max_envelope: usize) -> usize {
    // Base64 takes four bytes for three; the frame of the answer is well below this.
    const FRAME: usize = 4_096;
    max_envelope.saturating_sub(FRAME) / 4 * 3
}

pub(super) fn received(relates_to: Option<&str>, command_id: &str, taken: &Taken) -> String {
    let id = escape(command_id);
    let mut body = String::from("<rsp:ReceiveResponse>");
    for (name, bytes) in [("stdout", &taken.stdout), ("stderr", &taken.stderr)] {
        if !bytes.is_empty() {
            let data = STANDARD.encode(bytes);
            body.push_str(&format!("<rsp:Stream Name=\"{name}\" CommandId=\"{id}\">{data}</rsp:Stream>"));
        }
    }
    match taken.exit_code {
        Some(code) => body.push_str(&format!(
            "<rsp:Stream Name=\"stdout\" CommandId=\"{id}\" End=\"true\"></rsp:Stream>\
             <rsp:Stream Name=\"stderr\" CommandId=\"{id}\" End=\"true\"></rsp:Stream>\
             <rsp:CommandState CommandId=\"{id}\" State=\"{STATE_DONE}\"><rsp:ExitCode>{code}</rsp:ExitCode>\
             </rsp:CommandState>"
        )),
        None => body.push_str(&format!("<rsp:CommandState CommandId=\"{id}\" State=\"{STATE_RUNNING}\"/>")),
    }
    body.push_str("</rsp:ReceiveResponse>");
    envelope(&format!("{SHELL}/ReceiveResponse"), relates_to, &body)
}

pub(super) fn sent(relates_to: Option<&str>) -> String {
    envelope(&format!("{SHELL}/SendResponse"), relates_to, "<rsp:SendResponse/>")
}

pub(super) fn signalled(relates_to: Option<&str>) -> String {
    envelope(&format!("{SHELL}/SignalResponse"), relates_to, "<rsp:SignalResponse/>")
}

pub(super) fn deleted(relates_to: Option<&str>) -> String {
    envelope("http://schemas.xmlsoap.org/ws/2004/09/transfer/DeleteResponse", relates_to, "")
}
