//! Configuration: `MSP_*` environment over the file (YAML or JSON) over defaults.
//!
//! [`schema`] says which keys there are, [`load`] brings the three sources together and names the line
//! of whatever is wrong, [`baseline`] is what checks hold the machines against, [`credentials`] and
//! [`sealed`] are how the agent logs on to Windows servers, [`window`] is when disruptive plans may be
//! carried out.

pub mod baseline;
pub mod credentials;
pub mod exposed;
pub mod load;
pub mod schema;
pub mod sealed;
pub mod window;
mod yaml;

pub use load::{Loaded, load};
pub use schema::Config;
