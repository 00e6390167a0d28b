use super::*;
use crate::store::{Doing, Store, facts, open_for_reading};
use rusqlite::Connection;
use std::fs;

fn now() -> Timestamp {
    "2026-11-21T03:51:00Z".parse().unwrap()
}

/// A folder with a state in it as a power cut leaves it: the newest transactions are in the log only.
async fn written() -> tempfile::TempDir {
    let (running, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(running.path()).unwrap();
    for n in 0..200 {
        store.write(move |db| facts::set(db, &format!("fact {n}"), &"x".repeat(500))).await.unwrap();
    }
    store.write(|db| db.query_row("PRAGMA user_version", [], |_| Ok(())).doing("reading")).await.unwrap();
    let db = Connection::open(running.path().join(FILE)).unwrap();
    db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    for n in 0..20 {
        store.write(move |db| facts::set(db, &format!("late fact {n}"), "y")).await.unwrap();
    }
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        fs::copy(running.path().join(&name), cut.path().join(&name)).unwrap();
    }
    cut
}

/// Every file of the folder but the reserve, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let kept = named.filter(|(name, path)| !name.ends_with("-shm") && name != "agent.reserve" && path.is_file());
    let mut files: Vec<_> = kept.map(|(name, path)| (name, fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn overwrite(file: &Path, at: usize, with: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(file, bytes).unwrap();
}

/// Where a page begins that holds rows.
fn page_of_rows(db: &Path) -> usize {
    let bytes = fs::read(db).unwrap();
    // The first may be one whose rows have moved; its old bytes mean nothing.
    let holds = |page: &usize| bytes[page * 4096..][..4096].windows(500).any(|window| window == [b'x'; 500]);
    (0..bytes.len() / 4096).filter(holds).nth(5).unwrap() * 4096
}

#[tokio::test]
async fn what_a_power_cut_leaves_is_opened_with_everything_that_was_stored() {
    let folder = written().await;
    let store = Store::open_or_set_aside(folder.path(), now()).unwrap();
    let late = store.write(|db| facts::get(db, "late fact 19")).await.unwrap();
    assert_eq!(late.as_deref(), Some("y"));
    assert_eq!(aside(folder.path()).unwrap(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn however_it_is_damaged_it_is_set_aside_as_it_is_and_a_new_state_begins() {
    type Harm = fn(&Path, &Path);
    let harms: [(&str, Harm); 8] = [
        ("the header", |db, _| overwrite(db, 0, &[0xff; 100])),
        ("the middle of a page", |db, _| overwrite(db, page_of_rows(db) + 100, &[0xff; 3000])),
        ("truncated", |db, _| fs::write(db, &fs::read(db).unwrap()[..9000]).unwrap()),
        ("empty", |db, _| fs::write(db, "").unwrap()),
        ("gone but for its log", |db, _| fs::remove_file(db).unwrap()),
        ("no database at all", |db, _| fs::write(db, "this is no database, but long enough for one").unwrap()),
        ("the log's header", |_, log| overwrite(log, 0, &[0; 32])),
        ("a frame of the log", |_, log| overwrite(log, 32 + 24 + 500, b"damage")),
    ];
    for (what, harm) in harms {
        let folder = written().await;
        let (db, log) = (folder.path().join(FILE), folder.path().join(format!("{FILE}-wal")));
        harm(&db, &log);
        let before = files(folder.path());
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Damaged { .. })), "{what}");
        assert!(files(folder.path()) == before, "{what}: refused without touching it");

        let store = Store::open_or_set_aside(folder.path(), now()).unwrap();
        assert_eq!(store.write(|db| facts::get(db, "fact 1")).await.unwrap(), None, "{what}");
        let name = folder.path().join("agent.db.damaged-2026-11-21T03-51-00Z");
        assert_eq!(aside(folder.path()).unwrap(), std::slice::from_ref(&name), "{what}");
        let kept = files(folder.path()).into_iter().filter_map(|(file, bytes)| {
            Some((format!("{FILE}{}", file.strip_prefix("agent.db.damaged-2026-11-21T03-51-00Z")?), bytes))
        });
        assert!(kept.eq(before), "{what}: not a byte of it is changed");

        // Again in the same second: the first is not overwritten.
        drop(store);
        for file in [&db, &log] {
            fs::write(file, "not again").unwrap();
        }
        drop(Store::open_or_set_aside(folder.path(), now()).unwrap());
        assert_eq!(aside(folder.path()).unwrap().len(), 2, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_damage_is_refused_and_stays_where_it_is() {
    let folder = written().await;
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    db.close().unwrap();
    let error = Store::open_or_set_aside(folder.path(), now()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
    assert_eq!(aside(folder.path()).unwrap(), Vec::<PathBuf>::new());

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    let error = Store::open_or_set_aside(folder.path(), now()).unwrap_err();
    assert!(error.to_string().contains("this is no file"), "{error}");
    assert!(folder.path().join(FILE).is_dir() && aside(folder.path()).unwrap().is_empty());
}

#[tokio::test]
async fn damage_that_shows_while_it_runs_ends_the_writing_and_the_next_start_sets_it_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.write(|db| facts::set(db, "one", "1")).await.unwrap();
    // An index that lost its rows: the structure is sound, what it says is not.
    let lose = "PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'one_open_incident')
                WHERE name = 'outbox_pending'; PRAGMA writable_schema = RESET;";
    store.write(move |db| db.execute_batch(lose).doing("harming")).await.unwrap();
    drop(store);
    let store = Store::open(folder.path());
    if let Ok(store) = store {
        let met = StoreError::Damaged { file: folder.path().join(FILE), detail: "met".to_owned() };
        assert!(store.write(move |_| Err::<(), _>(met)).await.unwrap_err().is_damage());
        tokio::time::timeout(std::time::Duration::from_secs(5), store.clone().damaged()).await.unwrap();
        let said = store.damage().unwrap().to_string();
        assert!(said.contains("agent.db") && said.contains("sets it aside"), "{said}");
        assert!(matches!(store.write(|_| Ok(())).await, Err(StoreError::Stopped)));
        assert!(is_suspect(&folder.path().join(FILE)));
    }
    drop(Store::open_or_set_aside(folder.path(), now()).unwrap());
    assert_eq!(aside(folder.path()).unwrap().len(), 1);
    assert!(!is_suspect(&folder.path().join(FILE)));
    assert!(open_for_reading(folder.path()).is_ok());
}
