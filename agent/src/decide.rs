//! Decide: from a finding to a plan, or to a person.

pub mod ladder;
