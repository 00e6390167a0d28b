//! The machine's files, read below a root directory.
//!
//! The root is `/` on a real machine; a directory tree with the same layout is an equally real input: a
//! fixture, a mounted disk, another machine's `/proc/PID/root`. Below any other root, symbolic links are
//! followed as that machine would follow them: an absolute target starts at the root again and `..` never
//! leaves it. Reads are bounded, so that a file without end costs an error and not the memory.

use jiff::Timestamp;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;

/// As Linux: a path through more links than this is a loop (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The files of one machine.
#[derive(Debug, Clone)]
pub struct HostFiles {
    root: PathBuf,
}

impl HostFiles {
    /// The files below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the machine's file system begins.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether these are the files of the machine the process runs on.
    pub fn is_own(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where `path` of that machine really is, with every link followed. The last component may be missing.
    pub fn resolve(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = path.as_ref();
        if self.is_own() {
            return Ok(Path::new("/").join(path));
        }
        let mut inside = PathBuf::new();
        let mut links = 0;
        let mut rest: VecDeque<OsString> = names(path);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                inside.pop();
                continue;
            }
            let here = self.root.join(&inside).join(&name);
            match std::fs::read_link(&here) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::other(format!("{} goes through too many links", path.display())));
                    }
                    if target.is_absolute() {
                        inside = PathBuf::new();
                    }
                    for name in names(&target).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                Err(_) => inside.push(name),
            }
        }
        Ok(self.root.join(inside))
    }

    /// The content of a file as text; invalid UTF-8 is replaced.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(self.resolve(path)?)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("the file is longer than {MAX_FILE_BYTES} bytes")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first `length` bytes of a file, or fewer where it is shorter.
    pub fn head(&self, path: impl AsRef<Path>, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(self.resolve(path)?)?.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Where a link points, as written in it.
    pub fn link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = path.as_ref();
        let parent = self.resolve(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::read_link(parent.join(path.file_name().unwrap_or_default()))
    }

    /// Whether the path exists; an error (no permission to look) is not an answer.
    pub fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        self.resolve(path)?.try_exists()
    }

    /// What the file system knows of a path.
    pub fn metadata(&self, path: impl AsRef<Path>) -> io::Result<std::fs::Metadata> {
        std::fs::metadata(self.resolve(path)?)
    }

    /// When a file or directory was last modified.
    pub fn modified(&self, path: impl AsRef<Path>) -> io::Result<Timestamp> {
        Timestamp::try_from(self.metadata(path)?.modified()?).map_err(io::Error::other)
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let mut names = std::fs::read_dir(self.resolve(path)?)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_lead_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/hostname"), "inside\n").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/hostname", dir.path().join("up")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let files = HostFiles::below(dir.path());
        assert_eq!(files.read("/absolute/hostname").unwrap(), "inside\n");
        assert_eq!(files.read("/up").unwrap(), "inside\n");
        assert!(files.read("/loop").unwrap_err().to_string().contains("too many links"));
    }

    #[test]
    fn a_file_without_end_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("big")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(HostFiles::below(dir.path()).read("/big").unwrap_err().to_string().contains("longer than"));
    }
}
