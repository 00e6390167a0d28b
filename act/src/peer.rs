//! Who asks: the kernel's word (SO_PEERCRED, unix(7)), never the request's.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The user that connected.
pub(crate) fn uid(stream: &UnixStream) -> std::io::Result<u32> {
    let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())?;
    Ok(peer.uid.as_raw())
}

/// A user's number in the text of passwd(5). Name services are not asked: the daemon's user is a local one, and a
/// library that speaks with a network has no place in this program.
pub(crate) fn uid_of(passwd: &str, user: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1).and_then(|uid| uid.parse().ok())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_names_the_peer_and_passwd_the_user() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(uid(&ours).unwrap(), rustix::process::getuid().as_raw());
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmsp-agent2:x:7:7::/:/x\nmsp-agent:x:990:990::/:/x\nbad:x\n";
        assert_eq!(uid_of(passwd, "msp-agent"), Some(990));
        assert_eq!(uid_of(passwd, "bad"), None);
        assert_eq!(uid_of(passwd, "nobody"), None);
    }
}
