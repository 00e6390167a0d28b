//! Whether a write-ahead log is whole, by SQLite's own format (<https://www.sqlite.org/fileformat2.html#walformat>).
//!
//! SQLite reads a log up to the first frame whose checksum does not hold and forgets the rest without a word. That
//! is right for the one transaction that a power cut tore, and wrong for transactions that were committed and
//! damaged afterwards: intents would be forgotten, and numbers of evidence given twice. The two are told apart by
//! what follows the first frame that does not hold: a torn transaction is the last one.
//!
//! What cannot be told: damage inside the very last transaction, or one that wiped out whole frames right before
//! it, looks like a torn one.

use std::io;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first four bytes of a log; the last bit says that checksums read words most significant byte first.
const MAGIC: u32 = 0x377f_0682;

/// What is wrong with the log `file`, in words; `None` when it is whole, torn at its end, or not there.
///
/// # Errors
/// When it cannot be read.
pub fn damage(file: &Path) -> io::Result<Option<String>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(examine(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A checksum over pairs of words, carried on from one frame to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum {
    most_significant_first: bool,
    pair: (u32, u32),
}

impl Sum {
    fn over(mut self, bytes: &[u8]) -> Self {
        for eight in bytes.chunks_exact(8) {
            let (first, second) = (self.word(&eight[..4]), self.word(&eight[4..]));
            self.pair.0 = self.pair.0.wrapping_add(first).wrapping_add(self.pair.1);
            self.pair.1 = self.pair.1.wrapping_add(second).wrapping_add(self.pair.0);
        }
        self
    }

    fn word(self, four: &[u8]) -> u32 {
        let bytes = [four[0], four[1], four[2], four[3]];
        if self.most_significant_first { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn examine(log: &[u8]) -> Option<String> {
    // A log that was just made may end anywhere, or be zeros: nothing was committed to it yet.
    if log.len() < HEADER || log.iter().all(|byte| *byte == 0) {
        return None;
    }
    let magic = number(log, 0);
    let mut sum = Sum { most_significant_first: magic & 1 == 1, pair: (0, 0) };
    if magic & !1 != MAGIC {
        return Some("its write-ahead log does not begin like one".to_owned());
    }
    sum = sum.over(&log[..HEADER - 8]);
    if sum.pair != (number(log, 24), number(log, 28)) {
        return Some("the header of its write-ahead log does not hold".to_owned());
    }
    let page = number(log, 8) as usize;
    if !(512..=65_536).contains(&page) || !page.is_power_of_two() {
        return Some(format!("its write-ahead log says that pages have {page} bytes"));
    }
    let salts = &log[16..24];
    let frames: Vec<&[u8]> = log[HEADER..].chunks_exact(FRAME_HEADER + page).collect();
    let holds = |frame: &&[u8]| {
        sum = sum.over(&frame[..8]).over(&frame[FRAME_HEADER..]);
        &frame[8..16] == salts && number(frame, 0) != 0 && sum.pair == (number(frame, 16), number(frame, 20))
    };
    let whole = frames.iter().copied().take_while(holds).count();
    // Frames of an earlier run through the file have other salts: they are no part of this one.
    let later: Vec<&&[u8]> = frames.iter().skip(whole).filter(|frame| &frame[8..16] == salts).collect();
    let commits = later.iter().rposition(|frame| number(frame, 4) != 0).map_or(0, |last| {
        // A commit that is followed by more, or by another commit, was on the disk before they were begun.
        later[..last].iter().filter(|frame| number(frame, 4) != 0).count() + usize::from(last + 1 < later.len())
    });
    (commits > 0).then(|| {
        format!(
            "its write-ahead log is damaged at frame {} of {}: what was committed after it cannot be read",
            whole + 1,
            whole + later.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// The log of a database to which `rows` transactions were committed since its last checkpoint.
    fn log(rows: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("a.db")).unwrap();
        db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        db.execute_batch("CREATE TABLE t (x); PRAGMA wal_checkpoint(RESTART);").unwrap();
        for n in 0..rows {
            db.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
        }
        std::fs::read(folder.path().join("a.db-wal")).unwrap()
    }

    #[test]
    fn a_whole_log_one_that_was_run_through_again_and_a_torn_one_are_whole() {
        let whole = log(9);
        assert_eq!(examine(&whole), None);
        assert_eq!(examine(&log(1)), None, "frames of the earlier run lie behind the first");
        for cut in [0, 10, 31, 32, 40, whole.len() - 1, whole.len() - 4096, whole.len() - 4100] {
            assert_eq!(examine(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(examine(&vec![0; whole.len()]), None);
        let mut torn = whole;
        let end = torn.len();
        torn[end - 2000] ^= 1;
        assert_eq!(examine(&torn), None, "the last transaction may be torn");
    }

    #[test]
    fn a_changed_byte_before_the_last_transaction_is_damage_wherever_it_lies() {
        let whole = log(9);
        let last_two = 2 * 4120;
        let last = whole.len() - last_two;
        for at in (0..last).step_by(97).chain(0..24) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(examine(&damaged).is_some(), "byte {at}");
        }
        assert!(examine(&[b'x'; 9000]).is_some());
    }
}
