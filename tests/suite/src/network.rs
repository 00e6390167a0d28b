//! A network of its own: a bridge in a network namespace, for machines to plug into, and a test that stands in it.

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

/// A network; the thread that entered it comes back, and it ends, with this value.
#[derive(Debug)]
pub struct Network {
    name: String,
    before: File,
}

impl Network {
    /// Moves the calling thread into the network of this name that `machine.sh network` has made, and gives the network
    /// these addresses. What the thread starts or connects to from now on is there: for a test this wants a runtime of
    /// one thread, which is what `#[tokio::test]` gives.
    ///
    /// # Errors
    /// When the network is not there.
    pub(crate) fn enter(name: String, addresses: &[&str]) -> anyhow::Result<Self> {
        let before = File::open("/proc/thread-self/ns/net").context("this thread's network")?;
        let there = Path::new("/run/netns").join(&name);
        // From here on the network ends with this value, whatever fails.
        let network = Self { name, before };
        network.move_to(&File::open(&there).with_context(|| there.display().to_string())?)?;
        for address in addresses {
            let added = Command::new("ip").args(["addr", "add", address, "dev", "br0"]).status();
            anyhow::ensure!(added.context("ip")?.success(), "{address} cannot be an address of the network");
        }
        Ok(network)
    }

    fn move_to(&self, namespace: &File) -> anyhow::Result<()> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).context("moving to a network")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A thread that cannot go back ends with its test.
        drop(self.move_to(&self.before));
        drop(Command::new("ip").args(["netns", "del", &self.name]).status());
    }
}
