//! The mount table, /proc/self/mountinfo (proc_pid_mountinfo(5)).
//!
//! Later lines lie over earlier ones at the same place. A line of another form is counted, not guessed at: what
//! is mounted there is then not known.

use crate::adapters::files::HostFiles;
use std::path::{Path, PathBuf};

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `MAJOR:MINOR` of its device; 0:n where it has none of its own.
    pub device: String,
    /// The directory that it is mounted on.
    pub point: PathBuf,
    /// `ext4`, `btrfs`, `overlay`, ...
    pub kind: String,
    /// What was mounted: a device's path, a ZFS dataset, ...
    pub source: String,
}

/// The mount table of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    mounts: Vec<Mount>,
    /// Lines that were not understood.
    pub odd_lines: usize,
}

impl Mounts {
    /// Reads the table.
    pub fn read(files: &HostFiles) -> std::io::Result<Self> {
        // "self" is a process of this machine; below another root (a mounted /proc) it would not resolve.
        let text = files.read("/proc/self/mountinfo").or_else(|_| files.read("/proc/1/mountinfo"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match mount(line) {
                Some(mount) => table.mounts.push(mount),
                None => table.odd_lines += 1,
            }
        }
        table
    }

    /// What is mounted on this directory.
    pub fn on(&self, point: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == point)
    }

    /// The file system that this path is on.
    pub fn of(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|ancestor| self.on(ancestor))
    }
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let (device, _root, point) = (before.next()?, before.next()?, before.next()?);
    let (major, minor) = device.split_once(':')?;
    let (_, _) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    let mut after = after.split(' ');
    let (kind, source) = (after.next()?, after.next()?);
    let point = PathBuf::from(unescape(point));
    (point.is_absolute() && !kind.is_empty()).then(|| Mount {
        device: device.to_owned(),
        point,
        kind: kind.to_owned(),
        source: unescape(source),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.filter(|_| first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_lines_are_counted_and_the_others_still_read() {
        let table = Mounts::parse(
            "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
             garbage\n\
             28 27 0:40 / /mnt/a\\040b rw shared:1 master:2 - tmpfs x\\134y rw\n\
             29 27 x:y / /z rw - ext4 /dev/z rw\n\
             30 27 254:1 / /srv rw - \n\
             \u{0}\u{0}\n\
             31 27 254:2 / / rw,relatime - xfs /dev/vdb rw\n",
        );
        assert_eq!(table.odd_lines, 4);
        assert_eq!(table.on(Path::new("/mnt/a b")).unwrap().source, "x\\y");
        assert_eq!(table.of(Path::new("/var/lib")).unwrap().kind, "xfs", "the later mount lies above");
        assert_eq!(table.on(Path::new("/var/lib")), None);
    }
}
