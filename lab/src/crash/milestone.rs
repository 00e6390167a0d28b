//! What the agent's log says on its way through a heal, and how long each stretch of that way usually takes.
//!
//! A kill is aimed at a stretch: it comes a random while after the line that begins it. Aimed at the time since the
//! start alone it would miss the heal, a tenth of the way, on every machine that is busy with something else.

use crate::random::Random;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lines that begin a stretch, in the order in which they come.
const LINES: [&str; 4] =
    ["msp-agent works", "L1 rule matched rule_id=L1-WIN", ": healing incident_id", ": healing ended"];
/// The last stretch, the delivery, ends with no line.
const DELIVERY: Duration = Duration::from_millis(80);
/// A stretch may be shorter than its lines can be told apart.
const SHORTEST: Duration = Duration::from_millis(5);

/// A stretch of the way: from its line (none: from the start) to the next.
#[derive(Debug, Clone, Copy)]
pub struct Stretch(usize);

impl Stretch {
    /// Any of them. The start and the first look, in which nothing can be lost, together as often as one of the others.
    pub fn any(random: &mut Random) -> Self {
        Self(match usize::try_from(random.below(2 * LINES.len() as u64)) {
            Ok(half @ 0..=1) => half,
            Ok(half) => half / 2 + 1,
            Err(_) => 0,
        })
    }

    fn line(self) -> Option<&'static str> {
        self.0.checked_sub(1).and_then(|before| LINES.get(before)).copied()
    }
}

/// How long each stretch takes.
#[derive(Debug, Clone, Copy)]
pub struct Usual([Duration; LINES.len() + 1]);

impl Usual {
    /// By the times after the start at which the lines came.
    pub fn of(lines: &[Duration]) -> Self {
        let mut usual = [DELIVERY; LINES.len() + 1];
        let mut before = Duration::ZERO;
        for (stretch, at) in usual.iter_mut().zip(lines) {
            *stretch = at.saturating_sub(before);
            before = *at;
        }
        Self(usual)
    }

    /// A moment within the stretch, or a little after it.
    pub fn within(&self, stretch: Stretch, random: &mut Random) -> Duration {
        let long = self.0.get(stretch.0).copied().unwrap_or(DELIVERY).mul_f64(1.25) + SHORTEST;
        Duration::from_micros(random.below(u64::try_from(long.as_micros()).unwrap_or(0)))
    }
}

/// The agent's log from now on.
pub struct Tail {
    file: PathBuf,
    from: u64,
    read: String,
}

impl Tail {
    pub fn of(file: &Path) -> Self {
        let from = std::fs::metadata(file).map_or(0, |found| found.len());
        Self { file: file.to_owned(), from, read: String::new() }
    }

    fn read_on(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.from += bytes.len() as u64;
        self.read.push_str(&String::from_utf8_lossy(&bytes));
        Ok(())
    }

    /// Whether the stretch has begun.
    pub fn reached(&mut self, stretch: Stretch) -> bool {
        // A log that cannot be read is read again a moment later.
        let _ = self.read_on();
        stretch.line().is_none_or(|line| self.read.contains(line))
    }

    /// How many of the lines have come, each after the one before.
    pub fn lines(&mut self) -> usize {
        let _ = self.read_on();
        let mut rest = self.read.as_str();
        LINES.iter().take_while(|line| rest.split_once(**line).map(|(_, after)| rest = after).is_some()).count()
    }
}
