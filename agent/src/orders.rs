//! Orders of Central Command: verified, judged, and accepted or refused. What comes of them goes through the same door
//! as everything else.
//!
//! An order counts only when a trusted key signed it, for this site, this appliance and the state it has now, in its
//! time, with a sequence above every one accepted before. Nothing here does anything on a machine.

pub mod judge;
pub mod received;
pub mod routing;
