//! How the fleet stands, made anew at each scrape from what is stored.

use super::PREFIX;
use crate::store::{Figures, OrderState};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Words of `Severity`, so that a series is there before its first incident.
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    site: String,
    appliance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySeverity {
    site: String,
    severity: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    site: String,
    state: String,
}

/// One registry for one scrape: what is not there any more leaves no series behind.
pub(super) fn registry(figures: &Figures, now: Timestamp) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    appliances(&mut registry, figures, now);
    let incidents = Family::<BySeverity, Gauge>::default();
    let orders = Family::<ByState, Gauge>::default();
    for site in &figures.sites {
        for severity in SEVERITIES {
            incidents.get_or_create(&BySeverity { site: site.clone(), severity: severity.to_owned() }).set(0);
        }
        for state in OrderState::ALL {
            orders.get_or_create(&ByState { site: site.clone(), state: state.to_string() }).set(0);
        }
    }
    for row in &figures.open_incidents {
        let labels = BySeverity { site: row.site_id.clone(), severity: row.word.clone() };
        incidents.get_or_create(&labels).set(row.count);
    }
    for row in &figures.orders {
        orders.get_or_create(&ByState { site: row.site_id.clone(), state: row.word.clone() }).set(row.count);
    }
    registry.register("open_incidents", "Incidents that are not over", incidents);
    registry.register("orders", "Orders by what became of them", orders);
    registry
}

fn appliances(registry: &mut Registry, figures: &Figures, now: Timestamp) {
    let contact = Family::<Of, Gauge<f64, AtomicU64>>::default();
    let engaged = Family::<Of, Gauge>::default();
    let stopped = Family::<Of, Gauge>::default();
    let pending = Family::<Of, Gauge>::default();
    let rejected = Family::<Of, Gauge>::default();
    let missing = Family::<Of, Gauge>::default();
    let suspicious = Family::<Of, Gauge>::default();
    for row in &figures.appliances {
        let of = Of { site: row.site_id.clone(), appliance: row.appliance.clone() };
        if let Ok(seen) = row.seen.parse::<Timestamp>() {
            contact.get_or_create(&of).set(now.duration_since(seen).as_secs_f64());
        }
        engaged.get_or_create(&of).set(i64::from(row.kill_switch));
        stopped.get_or_create(&of).set(i64::from(row.stopped));
        if let Some(reports) = row.outbox_pending {
            pending.get_or_create(&of).set(reports);
        }
        if let Some(reports) = row.outbox_rejected {
            rejected.get_or_create(&of).set(reports);
        }
        missing.get_or_create(&of).set(row.missing_bundles);
        suspicious.get_or_create(&of).set(row.suspicious_bundles);
    }
    let help = "Time since an appliance's last check-in, or since it was registered when there was none";
    registry.register_with_unit("appliance_contact_age", help, Unit::Seconds, contact);
    registry.register("kill_switch_engaged", "Whether an appliance is told to stop every change", engaged);
    registry.register("appliance_stopped", "Whether an appliance reports that its kill switch is engaged", stopped);
    let reports = || Unit::Other("reports".to_owned());
    let help = "Reports that wait at an appliance, as it says itself";
    registry.register_with_unit("outbox_pending", help, reports(), pending);
    let help = "Reports of an appliance that were refused for good, as it says itself";
    registry.register_with_unit("outbox_rejected", help, reports(), rejected);
    let bundles = || Unit::Other("bundles".to_owned());
    let help = "Bundles of evidence that are missing in an appliance's chains";
    registry.register_with_unit("evidence_missing", help, bundles(), missing);
    let help = "Bundles of evidence that contradict an appliance's chain and were set aside";
    registry.register_with_unit("evidence_suspicious", help, bundles(), suspicious);
}
