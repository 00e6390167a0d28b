//! The calls of the API: paths, requests and replies.
//!
//! Every call is JSON over HTTPS with mutual TLS. The server takes site and appliance from the client's
//! certificate; a body or path that names another is refused with 403.

mod checkin;
mod enroll;
mod escalation;
mod evidence;
mod execution;
mod health;
mod incident;
mod orders;
mod problem;
mod sync;

pub use checkin::{
    AgentReport, Authentication, CheckinReply, CheckinRequest, QuarantinedRule, Transport, WindowsTarget,
};
pub use enroll::{EnrollReply, EnrollRequest};
pub use escalation::{Escalation, EscalationReply};
pub use evidence::{EvidenceReply, EvidenceSubmission};
pub use execution::{Execution, ExecutionReply};
pub use health::{Health, HealthStatus};
pub use incident::{Incident, IncidentReply, IncidentResolution};
pub use orders::{OrderAcknowledgement, OrderCompletion, OrderReply, PendingOrder, PendingOrders};
pub use problem::Problem;
pub use sync::RulesReply;

/// `GET`: version, and a real read and write of the database.
pub const HEALTH: &str = "/health";
/// `POST`: an appliance says it is there and learns what it looks after.
pub const CHECKIN: &str = "/api/appliances/checkin";
/// `GET ?site_id=`: the site's level 1 rules, signed.
pub const RULES: &str = "/agent/sync";
/// `POST`: an evidence bundle; `{site}` is the site's id.
pub const EVIDENCE: &str = "/api/evidence/sites/{site}/submit";
/// `POST`: the older path of [`EVIDENCE`].
pub const EVIDENCE_ALIAS: &str = "/evidence";
/// `POST`: an incident was opened.
pub const INCIDENTS: &str = "/incidents";
/// `POST`: an incident was resolved; `{id}` is the incident's id.
pub const INCIDENT_RESOLVE: &str = "/incidents/{id}/resolve";
/// `POST`: what was carried out, and how long it took.
pub const EXECUTIONS: &str = "/api/agent/executions";
/// `POST`: a person is needed.
pub const ESCALATIONS: &str = "/api/escalations";
/// `GET`: the orders that wait for an appliance; `{site}` and `{id}` are its names.
pub const ORDERS_PENDING: &str = "/api/sites/{site}/appliances/{id}/orders/pending";
/// `POST`: an order was accepted; `{id}` is the order's id.
pub const ORDER_ACKNOWLEDGE: &str = "/api/orders/{id}/acknowledge";
/// `POST`: an order is over; `{id}` is the order's id.
pub const ORDER_COMPLETE: &str = "/api/orders/{id}/complete";
/// `POST`: a certificate by a one-time token, or a new one under mutual TLS.
pub const ENROLL: &str = "/api/enroll";
/// `GET`: the fleet's own authority in PEM, for an appliance that knows only its fingerprint.
pub const ENROLL_CA: &str = "/api/enroll/ca";
