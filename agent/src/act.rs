//! Act: carry out what the guard allowed, and let the verify phase decide how it ended.

pub mod appliance;
pub mod intent;
pub mod perform;
