//! The messages of a command shell, carried out ([MS-WSMV] 3.1.4).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fault::Fault;
use super::request::{self, Request};
use super::xml::Node;
use super::{Service, namespaces as ns, reply};
use crate::process::{InputRefused, MOST_INPUT};

impl Service {
    /// Carries a request out; the envelope of its answer.
    pub(super) async fn carry_out(&self, request: &Request) -> Result<String, Fault> {
        let action = request.action.as_deref().unwrap_or_default();
        let relates = request.message_id.as_deref();
        let shell = request.shell_id.as_deref();
        let user = self.account.user.as_str();
        let known = [
            ns::ACTION_CREATE,
            ns::ACTION_COMMAND,
            ns::ACTION_RECEIVE,
            ns::ACTION_SEND,
            ns::ACTION_SIGNAL,
            ns::ACTION_DELETE,
        ];
        if !known.contains(&action) {
            return Err(Fault::ActionNotSupported { action: action.to_owned() });
        }
        if request.resource != ns::RESOURCE_CMD {
            return Err(Fault::ResourceNotSupported { uri: request.resource.clone() });
        }
        match action {
            ns::ACTION_CREATE => self.create(request),
            ns::ACTION_COMMAND => {
                let line = body_child(request, "CommandLine")?;
                let text = command_line(line)?;
                let id = self.shells.start(user, shell, line.attribute("CommandId"), text)?;
                tracing::debug!(command = %id, options = ?request.options.keys(), "command started");
                Ok(reply::command_started(relates, &id))
            }
            ns::ACTION_RECEIVE => self.receive(request).await,
            ns::ACTION_SEND => {
                let stream =
                    body_child(request, "Send")?.child(ns::SHELL, "Stream").ok_or_else(|| missing("Stream"))?;
                let id = stream.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
                let data: String = stream.text.split_whitespace().collect();
                let bytes = STANDARD
                    .decode(data)
                    .map_err(|e| Fault::Schema { reason: format!("the stream is not base64: {e}") })?;
                let end = stream.attribute("End").is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("true"));
                self.shells.command(user, shell, id)?.feed(&bytes, end).map_err(|refused| match refused {
                    InputRefused::Ended => Fault::Schema { reason: "standard input was ended before".to_owned() },
                    InputRefused::TooMuch => Fault::Quota { what: "bytes of unread input", limit: MOST_INPUT },
                })?;
                Ok(reply::sent(relates))
            }
            ns::ACTION_SIGNAL => {
                let signal = body_child(request, "Signal")?;
                let id = signal.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
                let code = signal.child(ns::SHELL, "Code").map_or("", |c| c.text.trim());
                if ns::SIGNAL_TERMINATE.contains(&code) {
                    self.shells.stop(user, shell, id, true)?;
                } else if code == ns::SIGNAL_CTRL_C {
                    self.shells.stop(user, shell, id, false)?;
                } else {
                    return Err(Fault::Schema { reason: format!("the signal '{code}' is not known") });
                }
                Ok(reply::signalled(relates))
            }
            _ => {
                self.shells.delete(user, shell)?;
                Ok(reply::deleted(relates))
            }
        }
    }

    fn create(&self, request: &Request) -> Result<String, Fault> {
        let shell = body_child(request, "Shell")?;
        let idle = match shell.child(ns::SHELL, "IdleTimeOut").or_else(|| shell.child(ns::SHELL, "IdleTimeout")) {
            None => None,
            Some(node) => Some(request::duration(node.text.trim()).ok_or_else(|| Fault::Schema {
                reason: format!("IdleTimeOut '{}' is not a duration", node.text.trim()),
            })?),
        };
        let environment: HashMap<String, String> = shell
            .child(ns::SHELL, "Environment")
            .into_iter()
            .flat_map(|e| &e.children)
            .filter_map(|v| Some((v.attribute("Name")?.to_owned(), v.text.clone())))
            .collect();
        let user = &self.account.user;
        let created = self.shells.create(user, environment, idle)?;
        Ok(reply::shell_created(request.message_id.as_deref(), &created.id, user, created.idle.as_secs()))
    }

    async fn receive(&self, request: &Request) -> Result<String, Fault> {
        let stream = body_child(request, "Receive")?
            .child(ns::SHELL, "DesiredStream")
            .ok_or_else(|| missing("DesiredStream"))?;
        let id = stream.attribute("CommandId").ok_or_else(|| missing("CommandId"))?;
        let command = self.shells.command(&self.account.user, request.shell_id.as_deref(), id)?;
        let split = self.machine.read(|s| s.winrm.split_errors);
        let room = reply::output_room(request.max_envelope);
        let taken =
            tokio::time::timeout(request.timeout, command.take(room, split)).await.map_err(|_| Fault::TimedOut)?;
        Ok(reply::received(request.message_id.as_deref(), id, &taken))
    }
}

fn missing(name: &str) -> Fault {
    Fault::Schema { reason: format!("{name} is missing") }
}

fn body_child<'a>(request: &'a Request, name: &str) -> Result<&'a Node, Fault> {
    request.body.child(ns::SHELL, name).ok_or_else(|| missing(name))
}

/// The command and its arguments, as one line.
fn command_line(line: &Node) -> Result<String, Fault> {
    let command = line.child(ns::SHELL, "Command").ok_or_else(|| missing("Command"))?;
    let mut text = command.text.clone();
    for argument in line.children.iter().filter(|c| c.namespace == ns::SHELL && c.name == "Arguments") {
        text.push(' ');
        text.push_str(&argument.text);
    }
    Ok(text)
}
