//! Where things lie, below a root that tests set.

use std::path::{Path, PathBuf};

/// The folder for records and declaration, which only root writes.
pub const STATE: &str = "/var/lib/msp-agent-switch";
/// The system's profile.
pub const PROFILE: &str = "/nix/var/nix/profiles/system";

/// The machine's places.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Those of this machine.
    #[must_use]
    pub fn own() -> Self {
        Self::below(Path::new("/"))
    }

    /// Those of a machine whose file system begins at `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A path of the machine, such as one in the store.
    #[must_use]
    pub fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }

    /// The system's profile: a link to the link of its generation.
    #[must_use]
    pub fn profile(&self) -> PathBuf {
        self.at(PROFILE)
    }

    /// The system that runs.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.at("/run/current-system")
    }

    /// The system that the machine was started with.
    #[must_use]
    pub fn booted(&self) -> PathBuf {
        self.at("/run/booted-system")
    }

    /// Where boot loader, kernels and initial RAM disks lie.
    #[must_use]
    pub fn boot(&self) -> PathBuf {
        self.at("/boot")
    }

    /// Held by whoever activates a system.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.at("/run/nixos/switch-to-configuration.lock")
    }

    /// A link that keeps a system from the garbage collector.
    #[must_use]
    pub fn gc_root(&self, of: &str) -> PathBuf {
        self.at("/nix/var/nix/gcroots").join(format!("msp-agent-switch-{of}"))
    }

    /// Records and declaration.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.at(STATE)
    }

    /// Where the executor leaves the agent's word on a switch.
    #[must_use]
    pub fn confirmation(&self, id: &str) -> PathBuf {
        self.at("/run/msp-agent-act").join(format!("confirmed-{id}"))
    }

    /// Which boot this is, in the kernel's words.
    #[must_use]
    pub fn boot_id(&self) -> String {
        // The kernel always says it; a record without it is taken to be of another boot, which is the safe side.
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }
}
