//! Judges a push: its sender, its size, its pace, and whether it names something. Who is not known here is told nothing of
//! why.

use super::Places;
use super::hint::{Hint, Look, Looks, Nowhere};
use super::limits::Buckets;
use super::signature::{self, Signed};
use crate::adapters::sensor_keys::SensorKey;
use crate::causes::chain;
use crate::clock::Clock;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where a push goes.
pub const PATH: &str = "/v1/drift";
/// The longest body that is read.
const MAX_BODY: usize = 4096;
/// So much more is thrown away, so that who sent too much gets to read why it was refused.
const MAX_WASTE: usize = 64 * 1024;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(5);
/// Of one peer, before anything else is known of it: so many at once, then one each.
const OF_A_PEER: (u32, Duration) = (30, Duration::from_secs(1));
/// Of one sensor.
const OF_A_SENSOR: (u32, Duration) = (10, Duration::from_secs(5));
/// Looks at the same check of the same machine, whoever asks.
const OF_A_CHECK: (u32, Duration) = (2, Duration::from_secs(30));
/// Lines of the log about pushes that were refused; the rest is only counted.
const OF_THE_LOG: (u32, Duration) = (30, Duration::from_secs(2));

/// A door for sensors; all sockets lead to it.
pub struct Door {
    pub(super) places: Arc<Places>,
    keys: Vec<SensorKey>,
    looks: Arc<dyn Looks>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// What happened at a door since the agent was started.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub taken: u64,
    /// By cause.
    pub refused: BTreeMap<String, u64>,
}

struct State {
    peers: Buckets<IpAddr>,
    sensors: Buckets<String>,
    checks: Buckets<Look>,
    log: Buckets<()>,
    /// The ids that were taken, by sensor, each until it is too old to come again.
    taken: HashMap<(String, String), i64>,
    counts: Counts,
}

/// Why a push is not taken.
struct Refusal {
    status: StatusCode,
    cause: &'static str,
    /// What the sender is told.
    told: String,
    /// What the log says besides.
    log: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, cause: &'static str, told: impl Into<String>) -> Self {
        Self { status, cause, told: told.into(), log: String::new(), retry_after: None }
    }

    fn too_often(whose: &str, wait: Duration) -> Self {
        let told = format!("too many pushes of {whose}");
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_often", told) }
    }
}

/// A push that is not refused.
enum Taken {
    New,
    Before,
}

impl Door {
    pub fn new(keys: Vec<SensorKey>, looks: Arc<dyn Looks>, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            peers: Buckets::new(OF_A_PEER.0, OF_A_PEER.1),
            sensors: Buckets::new(OF_A_SENSOR.0, OF_A_SENSOR.1),
            checks: Buckets::new(OF_A_CHECK.0, OF_A_CHECK.1),
            log: Buckets::new(OF_THE_LOG.0, OF_THE_LOG.1),
            taken: HashMap::new(),
            counts: Counts::default(),
        };
        Self { places: Arc::default(), keys, looks, clock, state: Mutex::new(state) }
    }

    /// What happened here since the agent was started.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// How many sensors are known.
    pub fn sensors(&self) -> usize {
        self.keys.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts and times are whole whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that found no place.
    pub(super) fn crowded(&self, peer: IpAddr) {
        self.refused(peer, "too_many_connections", "it has, or all have, too many connections open");
    }

    /// A connection that ended otherwise than with an answer.
    pub(super) fn broken(&self, peer: IpAddr, error: &hyper::Error) {
        let cause = if error.is_timeout() { "too_slow" } else { "not_http" };
        self.refused(peer, cause, &chain(error));
    }

    /// A connection that was not done in time.
    pub(super) fn slow(&self, peer: IpAddr) {
        self.refused(peer, "too_slow", "the connection was not done in time");
    }

    fn refused(&self, peer: IpAddr, cause: &'static str, reason: &str) {
        let told = {
            let mut state = self.lock();
            *state.counts.refused.entry(cause.to_owned()).or_default() += 1;
            state.log.take((), self.clock.monotonic()).is_ok()
        };
        if told {
            tracing::warn!(sensor_peer = %peer, cause, reason, "a sensor's push is refused");
        }
    }

    /// Answers one request.
    pub(super) async fn answer<B: Body<Data = Bytes> + Unpin>(
        &self,
        peer: IpAddr,
        request: Request<B>,
    ) -> Response<Full<Bytes>> {
        match self.judge(peer, request).await {
            Ok(Taken::New) => respond(StatusCode::ACCEPTED, json!({ "status": "taken" })),
            // Whoever did not hear the first answer asks again with the same id, and has what it wants already.
            Ok(Taken::Before) => respond(StatusCode::OK, json!({ "status": "taken before" })),
            Err(refusal) => {
                let reason = if refusal.log.is_empty() { &refusal.told } else { &refusal.log };
                self.refused(peer, refusal.cause, reason);
                let mut response = respond(refusal.status, json!({ "error": refusal.told }));
                let headers = response.headers_mut();
                if let Some(wait) = refusal.retry_after {
                    headers.insert(RETRY_AFTER, wait.as_secs().saturating_add(1).into());
                }
                if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
                    headers.insert(ALLOW, hyper::header::HeaderValue::from_static("POST"));
                }
                response
            }
        }
    }

    async fn judge<B: Body<Data = Bytes> + Unpin>(&self, peer: IpAddr, request: Request<B>) -> Result<Taken, Refusal> {
        let often = self.lock().peers.take(peer, self.clock.monotonic());
        let (head, body) = request.into_parts();
        // Read first, whatever comes of it: who is still sending does not hear an answer.
        let body = tokio::time::timeout(BODY, read(body)).await;
        often.map_err(|wait| Refusal::too_often("this address", wait))?;
        if head.uri.path() != PATH {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "wrong_address",
                format!("there is {PATH} and nothing else"),
            ));
        }
        if head.method != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_address", "a push is a POST"));
        }
        let body = match body {
            Ok(Ok(body)) => body,
            Ok(Err(refusal)) => return Err(refusal),
            Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body came too slowly")),
        };
        let now = self.clock.now().as_second();
        let signed = signature::signed(&self.keys, &head.headers, &body, now).map_err(|reason| {
            self.looks.stranger(peer);
            let told = "not authenticated";
            Refusal { log: reason.to_string(), ..Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", told) }
        })?;
        self.take(peer, signed, &body, now)
            .map_err(|(sensor, refusal)| Refusal { log: format!("{sensor}: {}", refusal.told), ..refusal })
    }

    /// Takes what a sensor pushed.
    fn take(&self, peer: IpAddr, signed: Signed, body: &[u8], now: i64) -> Result<Taken, (String, Refusal)> {
        let Signed { sensor, id, fresh_until } = signed;
        let refuse = |refusal| (sensor.clone(), refusal);
        let monotonic = self.clock.monotonic();
        let push = (sensor.clone(), id.clone());
        {
            let mut state = self.lock();
            let often = state.sensors.take(sensor.clone(), monotonic);
            often.map_err(|wait| refuse(Refusal::too_often("this sensor", wait)))?;
            state.taken.retain(|_, until| *until >= now);
            if state.taken.contains_key(&push) {
                return Ok(Taken::Before);
            }
        }
        let hint =
            Hint::read(body).map_err(|reason| refuse(Refusal::new(StatusCode::BAD_REQUEST, "malformed", reason)))?;
        let look = self.looks.find(&hint.host, &hint.check_type).map_err(|nowhere| refuse(nowhere.into()))?;
        {
            let mut state = self.lock();
            let often = state.checks.take(look.clone(), monotonic);
            often.map_err(|wait| refuse(Refusal::too_often("this check of this machine", wait)))?;
            state.taken.insert(push, fresh_until);
            state.counts.taken += 1;
        }
        tracing::info!(
            sensor = %sensor, sensor_peer = %peer, webhook_id = %id, host_id = %look.host_id, check = %look.check,
            reason = hint.reason_in_words(), "a sensor's push is taken: that check is made now"
        );
        self.looks.look(&look);
        Ok(Taken::New)
    }
}

impl From<Nowhere> for Refusal {
    fn from(nowhere: Nowhere) -> Self {
        match nowhere {
            Nowhere::NoHost => Self::new(StatusCode::NOT_FOUND, "unknown_host", "host: no machine here is called so"),
            Nowhere::SeveralHosts => {
                Self::new(StatusCode::NOT_FOUND, "unknown_host", "host: it could be more than one: name the address")
            }
            Nowhere::NoCheck => {
                Self::new(StatusCode::BAD_REQUEST, "unknown_check", "check_type: there is no check of this name")
            }
            Nowhere::NotOfThisHost => {
                Self::new(StatusCode::NOT_FOUND, "unknown_check", "check_type: that check is not made of that machine")
            }
        }
    }
}

fn respond(status: StatusCode, said: serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(said.to_string() + "\n"));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Reads a body that is short enough.
async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Vec<u8>, Refusal> {
    let (mut kept, mut length) = (Vec::new(), 0usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "malformed", "the body ended early"))?;
        let Some(data) = frame.data_ref() else { continue };
        length = length.saturating_add(data.len());
        if length <= MAX_BODY {
            kept.extend_from_slice(data);
        } else if length > MAX_WASTE {
            break;
        }
    }
    if length > MAX_BODY {
        let told = format!("a push has at most {MAX_BODY} bytes");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", told));
    }
    Ok(kept)
}
