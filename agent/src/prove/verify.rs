//! Holds the stored evidence against its signatures, its chain, its signed head and the server's receipts.
//!
//! Every byte of a stored bundle is covered: the envelope has one spelling, the next bundle names its hash,
//! the head names the last one's, and the columns beside it must say what the payload says.

mod opened;

use crate::causes::chain;
use crate::store::{StoreError, evidence, executions, facts, statuses};
use msp_contracts::evidence::{Bundle, GENESIS_HASH};
use msp_contracts::keys::VerifyingKey;
use msp_contracts::signed::{Receipt, SignedHead};
use opened::{BATCH, Opened, open};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// Whose evidence it must be.
pub struct Expected<'a> {
    pub site_id: &'a str,
    pub host_id: &'a str,
    /// The keys that may have signed the evidence.
    pub agent_keys: &'a [VerifyingKey],
    /// The keys that may have signed receipts; none: receipts are not looked at.
    pub server_keys: &'a [VerifyingKey],
}

/// One thing that is wrong, and with which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The bundle, by its id; by its place in the chain when no id is known.
    pub bundle: String,
    pub problem: String,
}

/// What verifying found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    /// The chain's id; none while there is no evidence.
    pub chain: Option<String>,
    /// How many bundles are stored.
    pub count: u64,
    /// Of how many bundles Central Command's receipts are here.
    pub receipts: u64,
    pub problems: Vec<Problem>,
}

/// So many missing bundles of one gap are listed by name.
const MOST_LISTED: u64 = 100;

struct Walk<'a> {
    expected: &'a Expected<'a>,
    /// The chain that everything must be of.
    chain: String,
    count: u64,
    /// Sequence and hash of the bundle before.
    last: Option<(u64, String)>,
    hashes: HashMap<u64, String>,
    /// Bundle ids known from receipts, to name what is gone.
    known: HashMap<u64, String>,
    /// Bundles that are known to be missing.
    gone: BTreeSet<String>,
    problems: Vec<Problem>,
}

/// Verifies everything that is stored.
///
/// # Errors
/// When the store itself cannot be read.
pub fn verify(db: &Connection, expected: &Expected<'_>) -> Result<Report, StoreError> {
    // One snapshot, so that a running agent does not move the end while it is looked at.
    let all = db.unchecked_transaction().map_err(|source| StoreError::Sql {
        doing: "beginning to read evidence",
        source: std::sync::Arc::new(source),
    })?;
    let mut walk = Walk {
        expected,
        chain: String::new(),
        count: 0,
        last: None,
        hashes: HashMap::new(),
        known: HashMap::new(),
        gone: BTreeSet::new(),
        problems: Vec::new(),
    };
    let chain_id = walk.readable("the chain's id", facts::get(&all, facts::CHAIN))?;
    walk.chain = chain_id.clone().unwrap_or_default();
    let receipts = walk.readable("the receipts", evidence::receipts(&all))?;
    let receipts = walk.read_receipts(&receipts);
    let mut batch = Vec::new();
    let read = evidence::each::<StoreError>(&all, |row| {
        batch.push(row);
        if batch.len() == BATCH {
            walk.bundles(std::mem::take(&mut batch));
        }
        Ok(())
    });
    walk.bundles(batch);
    walk.readable("the rest of the chain", read)?;
    let head = walk.readable("the end of the chain", evidence::head(&all))?;
    walk.head(head.as_deref());
    for bundle_id in walk.readable("what was done", executions::unproved(&all))? {
        walk.gone(bundle_id, "what was done names it as its evidence, and it is missing");
    }
    if walk.count == 0 && walk.readable("the checks", statuses::any(&all))? {
        walk.problem("the whole chain", "checks were made, and there is no evidence of any");
    }
    for (sequence, receipt) in &receipts {
        walk.receipt(*sequence, receipt);
    }
    Ok(Report {
        ok: walk.problems.is_empty(),
        chain: chain_id,
        count: walk.count,
        receipts: receipts.len() as u64,
        problems: walk.problems,
    })
}

impl Walk<'_> {
    fn problem(&mut self, bundle: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(Problem { bundle: bundle.into(), problem: problem.into() });
    }

    /// What was read. Where the file is damaged, nothing, and the damage is a problem like any other: whatever else
    /// can be read is looked at all the same.
    fn readable<T: Default>(&mut self, what: &str, read: Result<T, StoreError>) -> Result<T, StoreError> {
        match read {
            Err(error) if error.is_damage() => {
                self.problem(what, chain(&error));
                Ok(T::default())
            }
            read => read,
        }
    }

    /// A bundle is missing: said once, however many places tell of it.
    fn gone(&mut self, bundle: String, why: &str) {
        if self.gone.insert(bundle.clone()) {
            self.problem(bundle, why);
        }
    }

    fn name(&self, sequence: u64) -> String {
        self.known.get(&sequence).cloned().unwrap_or_else(|| format!("number {sequence} of the chain"))
    }

    /// The bundles from `first` up to, and without, `end` are missing: each by name, a large gap as a whole.
    fn missing(&mut self, first: u64, end: u64, why: &str) {
        let listed = end.min(first.saturating_add(MOST_LISTED));
        for missing in first..listed {
            let name = self.name(missing);
            self.gone(name, &format!("it is missing: {why}"));
        }
        if listed < end {
            self.problem(format!("numbers {listed} to {} of the chain", end - 1), format!("they are missing: {why}"));
        }
    }

    fn read_receipts(&mut self, receipts: &[(u64, Vec<u8>)]) -> Vec<(u64, Receipt)> {
        let mut read = Vec::new();
        if self.expected.server_keys.is_empty() {
            return read;
        }
        for (sequence, bytes) in receipts {
            match open::<Receipt>(bytes, self.expected.server_keys) {
                Ok(receipt) => {
                    self.known.insert(receipt.sequence.0, receipt.bundle_id.to_string());
                    read.push((*sequence, receipt));
                }
                Err(error) => self.problem(
                    format!("number {sequence} of the chain"),
                    format!("its receipt does not hold: {}", chain(&error)),
                ),
            }
        }
        read
    }

    fn bundles(&mut self, rows: Vec<evidence::Row>) {
        opened::all(rows, self.expected.agent_keys).into_iter().for_each(|one| self.bundle(one));
    }

    fn bundle(&mut self, one: Opened) {
        let Opened { row, hash, bundle } = one;
        self.count += 1;
        let name = row.bundle_id.clone();
        let (before, previous_hash) = self.last.take().unwrap_or_else(|| (0, GENESIS_HASH.to_owned()));
        let why = format!("the chain goes from {before} to {} ({name})", row.sequence);
        self.missing(before + 1, row.sequence, &why);
        match bundle {
            Err(error) => self.problem(name, chain(&error)),
            Ok(bundle) => self.columns(&row, &bundle, (row.sequence == before + 1).then_some(previous_hash.as_str())),
        }
        self.hashes.insert(row.sequence, hash.clone());
        self.last = Some((row.sequence, hash));
    }

    fn columns(&mut self, row: &evidence::Row, bundle: &Bundle, previous_hash: Option<&str>) {
        let name = &row.bundle_id;
        let said = [
            ("bundle_id", bundle.bundle_id.to_string(), row.bundle_id.clone()),
            ("sequence", bundle.sequence.to_string(), row.sequence.to_string()),
            ("completed_at", bundle.completed.to_string(), row.completed_at.clone()),
            ("chain", bundle.chain.to_string(), self.chain.clone()),
            ("site", bundle.site_id.clone(), self.expected.site_id.to_owned()),
            ("host", bundle.host_id.clone(), self.expected.host_id.to_owned()),
        ];
        for (what, signed, stored) in said {
            if signed != stored {
                self.problem(name, format!("its {what} was signed as {signed:?} and is stored as {stored:?}"));
            }
        }
        if previous_hash.is_some_and(|hash| hash != bundle.previous_hash) {
            self.problem(name, "the bundle before it is not the one that it was chained to");
        }
    }

    fn head(&mut self, head: Option<&[u8]>) {
        let head = match (head, &self.last) {
            (None, None) => return,
            (None, Some(_)) => return self.problem("the end of the chain", "the signed head is missing"),
            (Some(bytes), _) => open::<SignedHead>(bytes, self.expected.agent_keys),
        };
        let head = match head {
            Err(error) => return self.problem("the end of the chain", format!("the signed head: {}", chain(&error))),
            Ok(signed)
                if signed.site_id != self.expected.site_id
                    || signed.host_id != self.expected.host_id
                    || signed.chain.as_str() != self.chain =>
            {
                return self.problem("the end of the chain", "the signed head is another chain's");
            }
            Ok(signed) => signed.head,
        };
        let (last, hash) = self.last.clone().unwrap_or_default();
        let why = format!("the signed head says that the chain ends at {}, it ends at {last}", head.sequence);
        self.missing(last + 1, head.sequence.0.saturating_add(1), &why);
        if last > head.sequence.0 {
            self.problem(
                "the end of the chain",
                format!("the chain goes on to {last}, the signed head ends it at {}", head.sequence),
            );
        }
        if last == head.sequence.0 && hash != head.hash {
            let name = self.name(last);
            self.problem(name, "the last bundle is not the one that the signed head names");
        }
    }

    fn receipt(&mut self, sequence: u64, receipt: &Receipt) {
        let name = receipt.bundle_id.to_string();
        if receipt.sequence.0 != sequence
            || receipt.site_id != self.expected.site_id
            || receipt.host_id != self.expected.host_id
            || receipt.chain.as_str() != self.chain
        {
            return self.problem(name, "its receipt is another bundle's");
        }
        match self.hashes.get(&sequence) {
            Some(hash) if *hash == receipt.hash => {}
            Some(_) => self.problem(name, "Central Command holds another bundle under this number"),
            None => self.gone(name, "Central Command holds it, and it is missing here"),
        }
    }
}
