//! The read-only reader: a socket whose every connection is answered with `nft -j list ruleset`.
//!
//! Listing the packet filter needs CAP_NET_ADMIN, which can also change it. So the daemon does not have it: a unit that
//! takes no input does, and all that can be asked of it is the listing.

use std::io;
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Where the reader listens.
pub const SOCKET: &str = "/run/msp-agent/nft.sock";

const LONGEST: u64 = 8 * 1024 * 1024;

/// The listing.
///
/// # Errors
/// When nobody answers, or answers without end. An answer that is cut off is no JSON, which the parser says.
pub async fn read(socket: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(socket).await?;
    let mut bytes = Vec::new();
    stream.take(LONGEST + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("a listing longer than {LONGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
