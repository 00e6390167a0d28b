//! Encryption: the file systems of the baseline's directories are encrypted at rest.
//!
//! Follows each from the mount table down to the disks: device mapper and md through their `slaves` in sysfs, loop
//! devices through their file, btrfs through its list of devices, ZFS through its own tools. A file system
//! is encrypted when every path down to a disk passes dm-crypt (its uuid begins with CRYPT-) or the dataset is
//! encrypted. What a disk or the machine below a virtual one encrypts by itself cannot be seen from here.

use super::mounts::{Mount, Mounts};
use super::{Machine, and_unclear};
use crate::config::baseline;
use crate::model::{CheckKind, Observation};
use crate::sense::check::{Check, Observing};
use msp_contracts::finding::Severity;
use serde_json::{Map, Value, json};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// Deeper than any sane stack of block devices.
const MAX_DEPTH: usize = 16;

/// The check.
pub struct Encryption {
    pub machine: Arc<Machine>,
    pub desired: baseline::Encryption,
}

/// What is known of a file system or device.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AtRest {
    /// Through what.
    Encrypted(String),
    /// What it lies on in the clear.
    Clear(String),
    /// Never at rest.
    Memory,
    /// Why it cannot be told.
    Unclear(String),
}

impl Check for Encryption {
    fn kind(&self) -> CheckKind {
        CheckKind::Encryption
    }

    fn observe(&self) -> Observing<'_> {
        Box::pin(self.look())
    }
}

impl Encryption {
    async fn look(&self) -> Observation {
        let kind = self.kind();
        let desired = json!({"encrypted": self.desired.mounts});
        let mounts = match Mounts::read(&self.machine.files) {
            Ok(mounts) => mounts,
            Err(error) => {
                return Observation::unknown(kind, desired, format!("the mount table could not be read ({error})"));
            }
        };
        let (mut actual, mut diff, mut unclear) = (Map::new(), Vec::new(), Vec::new());
        let mut in_memory = 0;
        for path in &self.desired.mounts {
            let name = path.display().to_string();
            let said = match mounts.of(path) {
                None => AtRest::Unclear("nothing in the mount table covers it".to_owned()),
                Some(mount) => self.mount(mount, &mounts, MAX_DEPTH).await,
            };
            let words = match said {
                AtRest::Encrypted(by) => format!("encrypted ({by})"),
                AtRest::Memory => {
                    in_memory += 1;
                    "in memory only".to_owned()
                }
                AtRest::Clear(on) => {
                    diff.push(format!("{name} is not encrypted: it lies on {on}"));
                    format!("not encrypted ({on})")
                }
                AtRest::Unclear(why) => {
                    unclear.push(format!("{name}: {why}"));
                    "unknown".to_owned()
                }
            };
            actual.insert(name, Value::from(words));
        }
        if mounts.odd_lines > 0 {
            unclear.push(format!("{} lines of the mount table were not understood", mounts.odd_lines));
        }
        let encrypted = diff.is_empty() && unclear.is_empty();
        if !diff.is_empty() {
            and_unclear(Observation::drift(kind, Severity::High, actual.into(), desired, diff), &unclear)
                .detail("encrypted", false)
                .recommend("reinstall onto LUKS, or move the data to an encrypted volume; if the storage below encrypts, record it as an exception")
        } else if !unclear.is_empty() {
            Observation::unknown(kind, desired, unclear.join("; "))
        } else if in_memory == self.desired.mounts.len() {
            let reason = "every directory is in memory only: nothing of it is at rest here";
            Observation::unsupported(kind, desired, reason)
        } else {
            Observation::compliant(kind, actual.into(), desired).detail("encrypted", encrypted)
        }
    }

    async fn mount(&self, mount: &Mount, mounts: &Mounts, depth: usize) -> AtRest {
        match mount.kind.as_str() {
            "tmpfs" | "ramfs" | "rootfs" => AtRest::Memory,
            "zfs" => self.zfs(&mount.source, mounts, depth).await,
            "btrfs" => self.btrfs(mount, mounts, depth),
            "ext4" | "ext3" | "ext2" | "xfs" | "f2fs" | "vfat" | "exfat" | "ntfs3" | "jfs" | "nilfs2" | "erofs"
            | "squashfs" | "reiserfs"
                if !mount.device.starts_with("0:") =>
            {
                self.device(&mount.device, mounts, depth)
            }
            "overlay" => AtRest::Unclear("it is an overlay, whose layers cannot be followed from inside it".to_owned()),
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" => {
                AtRest::Unclear(format!("it is {}: storage of another machine", mount.kind))
            }
            other if mount.device.starts_with("0:") => {
                AtRest::Unclear(format!("{other} on {} has no block device of its own", mount.source))
            }
            _ => self.device(&mount.device, mounts, depth),
        }
    }

    /// Down from a block device, `MAJOR:MINOR`.
    fn device(&self, number: &str, mounts: &Mounts, depth: usize) -> AtRest {
        let entry = format!("/sys/dev/block/{number}");
        match self.machine.files.link(&entry) {
            Ok(target) => {
                let names: Vec<String> = target.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                let Some((name, parents)) = names.split_last() else {
                    return AtRest::Unclear(format!("{entry} leads nowhere"));
                };
                // A partition has no slaves of its own: its disk has.
                let partition = self.machine.files.exists(format!("/sys/class/block/{name}/partition"));
                match (partition, parents.last()) {
                    (Ok(true), Some(disk)) => self.block(disk, name, mounts, depth),
                    (Ok(_), _) => self.block(name, name, mounts, depth),
                    (Err(error), _) => AtRest::Unclear(format!("{entry} could not be read ({error})")),
                }
            }
            Err(error) => AtRest::Unclear(format!("block device {number} is not in {entry} ({error})")),
        }
    }

    /// Down from a whole block device, by its kernel name; `shown` is the part of it that is used.
    fn block(&self, name: &str, shown: &str, mounts: &Mounts, depth: usize) -> AtRest {
        let Some(depth) = depth.checked_sub(1) else {
            return AtRest::Unclear(format!("the devices below {shown} form a loop"));
        };
        let files = &self.machine.files;
        let at = format!("/sys/class/block/{name}");
        if !files.exists(&at).unwrap_or(false) {
            return AtRest::Unclear(format!("{at} is not there"));
        }
        let uuid = files.read(format!("{at}/dm/uuid")).unwrap_or_default();
        if let Some(kind) = uuid.trim().strip_prefix("CRYPT-") {
            let label = files.read(format!("{at}/dm/name")).unwrap_or_default();
            let kind = kind.split('-').next().unwrap_or_default();
            return AtRest::Encrypted(format!("{kind} as {}", if label.is_empty() { name } else { label.trim() }));
        }
        if let Ok(file) = files.read(format!("{at}/loop/backing_file")) {
            let file = file.trim().to_owned();
            return match mounts.of(Path::new(&file)) {
                Some(mount) if !mount.device.starts_with("0:") => self.device(&mount.device, mounts, depth),
                _ => AtRest::Unclear(format!("{shown} is the file {file}, which cannot be followed further")),
            };
        }
        let below = match files.list(format!("{at}/slaves")) {
            Ok(below) => below,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return AtRest::Unclear(format!("{at}/slaves could not be read ({error})")),
        };
        if below.is_empty() {
            // A mapping over nothing that is listed is no disk: what it lies on is hidden from here.
            return if uuid.trim().is_empty() && !name.starts_with("dm-") {
                AtRest::Clear(shown.to_owned())
            } else {
                AtRest::Unclear(format!("what {name} lies on is not shown in {at}/slaves"))
            };
        }
        weakest(below.iter().map(|name| self.named(name, mounts, depth)))
    }

    /// Down from a device or partition, by its kernel name.
    fn named(&self, name: &str, mounts: &Mounts, depth: usize) -> AtRest {
        match self.machine.files.read(format!("/sys/class/block/{name}/dev")) {
            Ok(number) => self.device(number.trim(), mounts, depth),
            Err(error) => AtRest::Unclear(format!("/sys/class/block/{name}/dev could not be read ({error})")),
        }
    }

    fn btrfs(&self, mount: &Mount, mounts: &Mounts, depth: usize) -> AtRest {
        let files = &self.machine.files;
        let own = match self.device_name(&mount.source) {
            Ok(name) => name,
            Err(error) => return AtRest::Unclear(format!("btrfs on {} could not be followed ({error})", mount.source)),
        };
        // /sys/fs/btrfs/UUID/devices lists every device of a file system; ours is the one with our device in it.
        let systems = files.list("/sys/fs/btrfs").unwrap_or_default();
        let members = systems
            .iter()
            .filter_map(|uuid| files.list(format!("/sys/fs/btrfs/{uuid}/devices")).ok())
            .find(|members| members.contains(&own));
        match members {
            Some(members) => weakest(members.iter().map(|name| self.named(name, mounts, depth))),
            None => AtRest::Unclear(format!("the devices of btrfs on {} are not in /sys/fs/btrfs", mount.source)),
        }
    }

    /// The kernel name of the block device at this path.
    fn device_name(&self, path: &str) -> std::io::Result<String> {
        let files = &self.machine.files;
        let real = files.resolve(path)?;
        let real = if files.is_own() { std::fs::canonicalize(real)? } else { real };
        let meta = std::fs::metadata(&real)?;
        if meta.file_type().is_block_device() {
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            let link = files.link(format!("/sys/dev/block/{major}:{minor}"))?;
            return Ok(link.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        Ok(real.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    async fn zfs(&self, dataset: &str, mounts: &Mounts, depth: usize) -> AtRest {
        let property = ["get", "-H", "-o", "value", "encryption", dataset];
        match self.machine.commands.run("zfs", &property).await {
            Err(error) => return AtRest::Unclear(error.to_string()),
            Ok(output) => match output.stdout.trim() {
                "off" => {}
                "" | "-" => return AtRest::Unclear(format!("zfs does not say whether {dataset} is encrypted")),
                cipher => return AtRest::Encrypted(format!("ZFS {cipher}")),
            },
        }
        // The dataset is in the clear; the pool may still lie on LUKS.
        let pool = dataset.split('/').next().unwrap_or(dataset);
        let listed = match self.machine.commands.run("zpool", &["list", "-v", "-H", "-P", "-L", pool]).await {
            Err(error) => return AtRest::Unclear(error.to_string()),
            Ok(output) => output.stdout,
        };
        let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
        weakest(paths.map(|path| match self.device_name(path) {
            Ok(name) => self.named(&name, mounts, depth),
            Err(error) => AtRest::Unclear(format!("{path} in pool {pool} could not be followed ({error})")),
        }))
    }
}

/// All parts must be encrypted: one in the clear decides, then one that cannot be told.
fn weakest(parts: impl Iterator<Item = AtRest>) -> AtRest {
    let rank = |part: &AtRest| match part {
        AtRest::Clear(_) => 0,
        AtRest::Unclear(_) => 1,
        AtRest::Memory => 2,
        AtRest::Encrypted(_) => 3,
    };
    parts.min_by_key(rank).unwrap_or_else(|| AtRest::Unclear("it has no devices".to_owned()))
}

#[cfg(test)]
mod tests;
