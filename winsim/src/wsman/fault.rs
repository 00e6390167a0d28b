//! SOAP faults: one type, with the subcode of the standard and, where it is known, the code that Windows puts in
//! `f:WSManFault`.

use super::namespaces::{ADDRESSING, FAULT_ACTION, MICROSOFT_WSMAN, SOAP, WSMAN};
use super::reply::{escape, message_id};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("The WS-Management service cannot complete the operation within the time specified in OperationTimeout.")]
    TimedOut,
    #[error(
        "The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on the \
         server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. \
         Provide the correct ShellId or create a new shell and retry the operation."
    )]
    ShellNotFound { shell_id: String },
    #[error("The Windows Remote Shell has no command with CommandId {command_id}.")]
    CommandNotFound { command_id: String },
    #[error("The SOAP XML in the message does not match the corresponding XML schema definition: {reason}.")]
    Schema { reason: String },
    #[error("The action {action} is not supported by this service.")]
    ActionNotSupported { action: String },
    #[error("The resource URI {uri} is not known to this service, which has only the command shell.")]
    ResourceNotSupported { uri: String },
    #[error("The header {name} must be understood, and is not.")]
    NotUnderstood { name: String },
    #[error("The request is larger than the {limit} bytes that this service accepts.")]
    TooLarge { limit: usize },
    #[error("This user has the most {what} allowed ({limit}). Close one, or raise the quota.")]
    Quota { what: &'static str, limit: usize },
    #[error("The service could not start the command: {reason}.")]
    Internal { reason: String },
}

impl Fault {
    /// SOAP code, subcode, and Windows' own code.
    fn codes(&self) -> (&'static str, &'static str, Option<u32>) {
        match self {
            Self::TimedOut => ("s:Receiver", "w:TimedOut", Some(2_150_858_793)),
            Self::ShellNotFound { .. } | Self::CommandNotFound { .. } => {
                ("s:Sender", "w:InvalidSelectors", Some(2_150_858_843))
            }
            Self::Schema { .. } => ("s:Sender", "w:SchemaValidationError", Some(2_150_858_817)),
            Self::ActionNotSupported { .. } => ("s:Sender", "a:ActionNotSupported", None),
            Self::ResourceNotSupported { .. } => ("s:Sender", "a:DestinationUnreachable", None),
            Self::NotUnderstood { .. } => ("s:MustUnderstand", "", None),
            Self::TooLarge { .. } => ("s:Sender", "w:EncodingLimit", None),
            Self::Quota { .. } => ("s:Receiver", "w:QuotaLimit", None),
            Self::Internal { .. } => ("s:Receiver", "w:InternalError", None),
        }
    }

    /// The envelope.
    pub(super) fn envelope(&self, relates_to: Option<&str>, machine: &str) -> String {
        let (code, subcode, windows) = self.codes();
        let reason = escape(&self.to_string());
        let relates = match relates_to {
            Some(id) => format!("<a:RelatesTo>{}</a:RelatesTo>", escape(id)),
            None => String::new(),
        };
        let subcode = if subcode.is_empty() {
            String::new()
        } else {
            format!("<s:Subcode><s:Value>{subcode}</s:Value></s:Subcode>")
        };
        let detail = match windows {
            Some(number) => format!(
                "<s:Detail><f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" \
                 Code=\"{number}\" Machine=\"{}\"><f:Message>{reason}</f:Message></f:WSManFault></s:Detail>",
                escape(machine)
            ),
            None => String::new(),
        };
        format!(
            "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:w=\"{WSMAN}\" \
             xmlns:p=\"{MICROSOFT_WSMAN}\"><s:Header><a:Action>{FAULT_ACTION}</a:Action>\
             <a:MessageID>{}</a:MessageID><a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>\
             {relates}</s:Header><s:Body><s:Fault><s:Code><s:Value>{code}</s:Value>{subcode}</s:Code><s:Reason>\
             <s:Text xml:lang=\"en-US\">{reason}</s:Text></s:Reason>{detail}</s:Fault></s:Body></s:Envelope>",
            message_id()
        )
    }
}
