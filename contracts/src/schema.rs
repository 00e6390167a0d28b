//! The JSON Schema of every artifact, generated from the types.
//!
//! `schemas/` holds the result for those who do not read Rust; a test compares, and
//! `cargo run --ignore-rust-version -p msp-contracts --example schemas` writes it anew.

use crate::{api, dsse, evidence, finding, order, signed};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

/// The file name under `schemas/` and the schema, for every artifact, in the order of names.
#[must_use]
pub fn all() -> Vec<(&'static str, Schema)> {
    fn of<T: JsonSchema>() -> Schema {
        SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>()
    }
    vec![
        ("bundle.json", of::<evidence::Bundle>()),
        ("checkin-reply.json", of::<api::CheckinReply>()),
        ("checkin-request.json", of::<api::CheckinRequest>()),
        ("dsse-envelope.json", of::<dsse::Envelope>()),
        ("enroll-reply.json", of::<api::EnrollReply>()),
        ("enroll-request.json", of::<api::EnrollRequest>()),
        ("escalation.json", of::<api::Escalation>()),
        ("evidence-reply.json", of::<api::EvidenceReply>()),
        ("evidence-submission.json", of::<api::EvidenceSubmission>()),
        ("execution.json", of::<api::Execution>()),
        ("finding.json", of::<finding::Finding>()),
        ("freshness.json", of::<signed::Freshness>()),
        ("health.json", of::<api::Health>()),
        ("incident-resolution.json", of::<api::IncidentResolution>()),
        ("incident.json", of::<api::Incident>()),
        ("order-acknowledgement.json", of::<api::OrderAcknowledgement>()),
        ("order-completion.json", of::<api::OrderCompletion>()),
        ("order.json", of::<order::Order>()),
        ("pending-orders.json", of::<api::PendingOrders>()),
        ("problem.json", of::<api::Problem>()),
        ("receipt.json", of::<signed::Receipt>()),
        ("ruleset.json", of::<signed::RuleSet>()),
        ("rules-reply.json", of::<api::RulesReply>()),
        ("signed-head.json", of::<signed::SignedHead>()),
    ]
}
