//! How an answer reaches its client, or does not: held back, in chunks, cut in awkward places, or lost with its connection.
//!
//! All of it is a behaviour that a test asked for (`windows::winrm`); without one, an answer goes out at once and whole.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::{Answer, Service, namespaces as ns};
use crate::windows::Machine;
use crate::windows::winrm::{Message, Moment};

/// The length of a chunk, in bytes: odd, so that chunks end nowhere in particular.
const CHUNK: usize = 997;

/// The connection is broken off instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped, as a test asked for")]
pub(crate) struct Dropped;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pieces: VecDeque<Bytes>,
    /// What is left, where the client is told the length in advance.
    length: Option<u64>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let piece = self.pieces.pop_front();
        if let (Some(left), Some(piece)) = (self.length.as_mut(), &piece) {
            *left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    /// Known with the last piece, so that it is sent in one go with the end: a client that sees the one before the other may
    /// take the connection for busy, and open a new one, on which nobody has logged on.
    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Service {
    /// Sends an answer the way the service behaves now.
    pub(super) async fn deliver(&self, answer: Answer) -> Response<Reply> {
        let winrm = self.machine.read(|s| s.winrm.clone());
        if winrm.delay_milliseconds > 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(winrm.delay_milliseconds))).await;
        }
        let (head, body) = answer.into_parts();
        let bytes = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let reply = if winrm.chunked && !bytes.is_empty() {
            let pieces = bytes.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
            Reply { pieces, length: None }
        } else {
            let length = u64::try_from(bytes.len()).ok();
            let pieces = std::iter::once(bytes).filter(|bytes| !bytes.is_empty()).collect();
            Reply { pieces, length }
        };
        Response::from_parts(head, reply)
    }

    /// Whether the connection breaks at a request for this action.
    pub(super) fn breaks_at(&self, action: Option<&str>) -> Option<Moment> {
        let message = match action? {
            ns::ACTION_CREATE => Message::Create,
            ns::ACTION_COMMAND => Message::Command,
            ns::ACTION_RECEIVE => Message::Receive,
            ns::ACTION_SEND => Message::Send,
            ns::ACTION_SIGNAL => Message::Signal,
            ns::ACTION_DELETE => Message::Delete,
            _ => return None,
        };
        self.machine.read(|s| s.winrm.drops)?;
        // Not a change to the machine: the test that asked for it is in the ledger.
        let (_, moment) =
            self.machine.edit(&crate::windows::ledger::Actor::drift(), |s| (Vec::new(), s.winrm.take_drop(message)));
        moment
    }
}

/// Waits while the service hangs.
pub(crate) async fn while_it_hangs(machine: &Machine) {
    while machine.read(|s| s.winrm.hangs) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
