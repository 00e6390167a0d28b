//! `/live`: tells an open page that something has changed, so that it looks again. It carries no data.
//!
//! A stream ends with the server, with its session, and after a while by itself: browsers come back.

use super::People;
use super::session::Session;
use crate::clock;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often it is asked whether the session still holds.
const LOOK: Duration = Duration::from_secs(20);
/// At most one word in this time, however much happens.
const REST: Duration = Duration::from_millis(700);

pub(super) async fn stream(
    session: Session,
    State(people): State<Arc<People>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = people.changes.clone();
    changes.mark_unchanged();
    let hash = session.secret.hash();
    let begin = (people, changes, hash, true);
    let words = stream::unfold(begin, |(people, mut changes, hash, first)| async move {
        if first {
            let event = Event::default().event("open").retry(Duration::from_secs(2)).data("");
            return Some((Ok(event), (people, changes, hash, false)));
        }
        loop {
            tokio::select! {
                () = people.stop.cancelled() => return None,
                changed = changes.changed() => {
                    changed.ok()?;
                    tokio::time::sleep(REST).await;
                    let count = *changes.borrow_and_update();
                    let event = Event::default().event("changed").data(count.to_string());
                    return Some((Ok(event), (people, changes, hash, false)));
                }
                () = tokio::time::sleep(LOOK) => {
                    let holds = people.store.session(&hash, clock::now(), false).await;
                    if !matches!(holds, Ok(Some(_))) {
                        return None;
                    }
                }
            }
        }
    });
    Sse::new(words).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
