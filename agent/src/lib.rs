//! msp-agent: senses, decides, acts, proves and reports, in this order, all day long.
//!
//! The modules below are the tree to read: a stage uses the ones above it in this list and never a later
//! stage; `app` alone knows all of them. The program is `main.rs`; what is public beside its entry is there for
//! benchmarks.

mod causes;
mod clock;
mod config;
mod model;
mod orders;
mod redact;
mod store;

mod adapters;
mod guard;

mod act;
mod decide;
mod prove;
mod report;
mod sense;

mod app;
mod cli;
pub mod measure;

pub use cli::main;
