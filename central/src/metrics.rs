//! What monitoring reads: how the calls go, how long writes take, and how the fleet stands.
//!
//! The text is OpenMetrics 1.0, which every Prometheus since 2.5 asks for. It is served on a listener of its own
//! (`--metrics`), on loopback, never on the agents' door. `docs/metrics.md` has each metric with its meaning; a
//! test holds that table against what is served.

mod fleet;

use crate::clock;
use crate::people::is_loopback_name;
use crate::store::{Store, StoreError};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

/// The first part of every name.
const PREFIX: &str = "msp_central";
/// The bounds of the measured times of calls, in seconds.
const CALL_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: &'static str,
}

/// What is counted and measured while the server runs.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<CallLabel, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Nothing counted yet; the store's own measurement is taken in.
    pub(crate) fn new(store: &Store) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let calls = Family::default();
        registry.register("requests", "Calls of agents that were answered", calls.clone());
        let call_seconds = Family::new_with_constructor((|| Histogram::new(CALL_BUCKETS)) as fn() -> Histogram);
        let help = "How long calls of agents took, from the head of the request to the answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, call_seconds.clone());
        let help = "How long a transaction that may write held the database";
        registry.register_with_unit("database_write_duration", help, Unit::Seconds, store.write_seconds());
        Self { registry, calls, call_seconds }
    }

    /// An agent's call was answered.
    pub(crate) fn call(&self, call: &'static str, status: StatusCode, took: Duration) {
        self.calls.get_or_create(&CallLabels { call, status: status.as_u16() }).inc();
        self.call_seconds.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
    }

    /// Everything, as text.
    async fn text(&self, store: &Store) -> Result<String, MetricsError> {
        let now = clock::now();
        let fleet = fleet::registry(&store.figures(now).await?, now);
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &fleet)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The metrics cannot be told.
#[derive(Debug, thiserror::Error)]
enum MetricsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the metrics cannot be written as text")]
    Text(#[from] std::fmt::Error),
}

/// The listener's one path.
pub(crate) fn router(store: Store, metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(serve)).with_state((store, metrics))
}

async fn serve(headers: HeaderMap, State((store, metrics)): State<(Store, Arc<Metrics>)>) -> Response {
    // A page on the web could have its own name resolve to this machine and read along in a browser.
    if !is_loopback_name(&headers) {
        let text = "The metrics are only for this machine: ask for http://127.0.0.1 with the port.\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    match metrics.text(&store).await {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the metrics cannot be told");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}
