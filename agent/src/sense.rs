//! Sense: observe the appliance and the practice's servers, change nothing.

pub mod check;
pub mod host;
pub mod listener;
pub mod own;
pub mod windows;
