//! Judges a push: its sender, its size, its pace, and whether it names something. Who is not known here is told nothing of
//! why.

use super::hint::{Hint, Look, Looks, Nowhere, in_a_line};
use super::limits::Buckets;
use super::signature::{self, Signed, Unauthenticated};
use super::{Crowd, Peer, Places};
use crate::adapters::sensor_keys::SensorKey;
use crate::causes::chain;
use crate::clock::Clock;
use crate::sense::own::Notice;
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
/// The same, of a check that keeps a machine busy for minutes, and is made once an hour otherwise.
const OF_A_SLOW_CHECK: (u32, Duration) = (1, Duration::from_secs(15 * 60));
/// Lines of the log about pushes that were refused; the rest is only counted.
const OF_THE_LOG: (u32, Duration) = (30, Duration::from_secs(2));
/// Of these, lines about one peer: who is loud leaves room for the others.
const OF_A_PEERS_LOG: (u32, Duration) = (10, Duration::from_secs(10));

/// A door for sensors; all sockets lead to it.
pub struct Door {
    pub(super) places: Arc<Places>,
    /// None while nobody can be told from anybody.
    keys: Option<Vec<SensorKey>>,
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
    slow_checks: Buckets<Look>,
    /// Looks that were asked for and have to wait: from when on they may be made, in the time of the clock that never jumps.
    waiting: HashMap<Look, Duration>,
    log: Buckets<()>,
    logs_of_peers: Buckets<IpAddr>,
    /// The ids that came, by sensor.
    known: HashMap<(String, String), Known>,
    counts: Counts,
}

/// An id that a sensor has pushed under.
struct Known {
    /// Until when it is remembered: it is too old then to come again. Seconds since 1970.
    until: i64,
    was_taken: bool,
}

/// Why a push is not taken.
struct Refusal {
    status: StatusCode,
    cause: &'static str,
    /// What the sender is told.
    told: String,
    /// What the log says besides.
    log: String,
    /// Whose push it is, where that is known.
    sensor: Option<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, cause: &'static str, told: impl Into<String>) -> Self {
        Self { status, cause, told: told.into(), log: String::new(), sensor: None, retry_after: None }
    }

    fn too_often(whose: &str, wait: Duration) -> Self {
        let told = format!("too many pushes of {whose}");
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_often", told) }
    }
}

/// A push that is not refused.
enum Taken {
    /// How long the look has to wait.
    New(Duration),
    Before,
}

impl Door {
    /// A door for those who have a key; without `keys` it is closed, and everybody is told so.
    pub fn new(keys: Option<Vec<SensorKey>>, looks: Arc<dyn Looks>, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            peers: Buckets::new(OF_A_PEER.0, OF_A_PEER.1),
            sensors: Buckets::new(OF_A_SENSOR.0, OF_A_SENSOR.1),
            checks: Buckets::new(OF_A_CHECK.0, OF_A_CHECK.1),
            slow_checks: Buckets::new(OF_A_SLOW_CHECK.0, OF_A_SLOW_CHECK.1),
            waiting: HashMap::new(),
            log: Buckets::new(OF_THE_LOG.0, OF_THE_LOG.1),
            logs_of_peers: Buckets::new(OF_A_PEERS_LOG.0, OF_A_PEERS_LOG.1),
            known: HashMap::new(),
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
        self.keys.as_ref().map_or(0, Vec::len)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts and times are whole whoever panicked while holding them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that found no place.
    pub(super) fn crowded(&self, peer: Peer, crowd: Crowd) {
        let reason = match crowd {
            Crowd::OfPeer => "it has too many connections open",
            Crowd::Everywhere => {
                self.looks.notice(peer.address, Notice::FullHouse);
                "all together have too many connections open"
            }
        };
        self.refused(peer, None, "too_many_connections", reason);
    }

    /// A connection that ended otherwise than with an answer.
    pub(super) fn broken(&self, peer: Peer, error: &hyper::Error) {
        let cause = if error.is_timeout() { "too_slow" } else { "not_http" };
        self.refused(peer, None, cause, &chain(error));
    }

    /// A connection that was not done in time.
    pub(super) fn slow(&self, peer: Peer) {
        self.refused(peer, None, "too_slow", "the connection was not done in time");
    }

    fn refused(&self, peer: Peer, sensor: Option<&str>, cause: &'static str, reason: &str) {
        let told = {
            let (mut state, now) = (self.lock(), self.clock.monotonic());
            *state.counts.refused.entry(cause.to_owned()).or_default() += 1;
            state.logs_of_peers.take(peer.counted, now).is_ok() && state.log.take((), now).is_ok()
        };
        if told {
            let (address, reason) = (peer.address, in_a_line(reason));
            // In the message as well: that is all that a plain look at the journal shows.
            let whose = sensor.map_or_else(String::new, |sensor| format!(" (sensor {sensor})"));
            tracing::warn!(
                sensor, sensor_peer = %address, cause, reason,
                "a sensor's push is refused: {cause}, from {address}{whose}: {reason}"
            );
        }
    }

    /// Answers one request.
    pub(super) async fn answer<B: Body<Data = Bytes> + Unpin>(
        &self,
        peer: Peer,
        request: Request<B>,
    ) -> Response<Full<Bytes>> {
        match self.judge(peer, request).await {
            Ok(Taken::New(Duration::ZERO)) => respond(StatusCode::ACCEPTED, json!({ "status": "taken" })),
            Ok(Taken::New(wait)) => {
                let seconds = wait.as_secs().saturating_add(1);
                respond(StatusCode::ACCEPTED, json!({ "status": "taken", "in_seconds": seconds }))
            }
            // Whoever did not hear the first answer asks again with the same id, and has what it wants already.
            Ok(Taken::Before) => respond(StatusCode::OK, json!({ "status": "taken before" })),
            Err(refusal) => {
                let reason = if refusal.log.is_empty() { &refusal.told } else { &refusal.log };
                self.refused(peer, refusal.sensor.as_deref(), refusal.cause, reason);
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

    async fn judge<B: Body<Data = Bytes> + Unpin>(&self, peer: Peer, request: Request<B>) -> Result<Taken, Refusal> {
        let often = self.lock().peers.take(peer.counted, self.clock.monotonic());
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
        let Some(keys) = &self.keys else {
            let told = "the sensor listener is closed: it has no keys that it can use";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "closed", told));
        };
        let now = self.clock.now().as_second();
        let signed = signature::signed(keys, &head.headers, &body, now).map_err(|reason| self.unknown(peer, reason))?;
        let sensor = signed.sensor.clone();
        self.take(peer, signed, &body, now).map_err(|refusal| Refusal { sensor: Some(sensor), ..refusal })
    }

    /// A push that is nobody's, or not of now: the log and a person are told more than who pushed.
    fn unknown(&self, peer: Peer, reason: Unauthenticated) -> Refusal {
        let log = reason.to_string();
        let (cause, sensor, notice) = match reason {
            Unauthenticated::Stale { sensor, off } => {
                ("wrong_clock", Some(sensor.clone()), Notice::WrongClock { sensor, off })
            }
            _ => ("unauthenticated", None, Notice::Stranger),
        };
        self.looks.notice(peer.address, notice);
        Refusal { log, sensor, ..Refusal::new(StatusCode::UNAUTHORIZED, cause, "not authenticated") }
    }

    /// Takes what a sensor pushed.
    fn take(&self, peer: Peer, signed: Signed, body: &[u8], now: i64) -> Result<Taken, Refusal> {
        let Signed { sensor, id, fresh_until } = signed;
        let monotonic = self.clock.monotonic();
        let push = (sensor.clone(), id.clone());
        {
            let mut state = self.lock();
            state.known.retain(|_, known| known.until >= now);
            match state.known.get(&push) {
                Some(known) if known.was_taken => return Ok(Taken::Before),
                // Counted when it came first: who sends a sensor's own words once more cannot use its allowance up.
                Some(_) => {}
                None => {
                    let often = state.sensors.take(sensor.clone(), monotonic);
                    often.map_err(|wait| Refusal::too_often("this sensor", wait))?;
                    state.known.insert(push.clone(), Known { until: fresh_until, was_taken: false });
                }
            }
        }
        let hint = Hint::read(body).map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, "malformed", reason))?;
        let look = self.looks.find(&hint.host, &hint.check_type)?;
        let from = {
            let mut state = self.lock();
            let from = state.may_look(&look, monotonic);
            let from = from.map_err(|wait| Refusal::too_often("this check of this machine", wait))?;
            state.known.insert(push, Known { until: fresh_until, was_taken: true });
            state.counts.taken += 1;
            from
        };
        let (address, reason) = (peer.address, hint.reason_in_words());
        let wait = from.saturating_sub(monotonic);
        let when = if wait.is_zero() { "now".to_owned() } else { format!("in {} s", wait.as_secs().saturating_add(1)) };
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        tracing::info!(
            sensor = %sensor, sensor_peer = %address, webhook_id = %id, host_id = %look.host_id, check = %look.check, reason,
            "a sensor's push is taken: {sensor} asks for {} of {}{why}, which is made {when}", look.check, look.host_id
        );
        self.looks.look(&look, from);
        Ok(Taken::New(wait))
    }
}

impl State {
    /// From when on a look that is asked for `now` may be made.
    ///
    /// # Errors
    /// How long to wait, when there is no room to remember one more.
    fn may_look(&mut self, look: &Look, now: Duration) -> Result<Duration, Duration> {
        self.waiting.retain(|_, from| *from > now);
        // It is made after this push as well as after the one that it waits for.
        if let Some(from) = self.waiting.get(look) {
            return Ok(*from);
        }
        let buckets = if look.check.is_slow() { &mut self.slow_checks } else { &mut self.checks };
        let from = now.saturating_add(buckets.reserve(look.clone(), now)?);
        if from > now {
            self.waiting.insert(look.clone(), from);
        }
        Ok(from)
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
