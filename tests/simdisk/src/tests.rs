use rusqlite::{Connection, OpenFlags};

use super::*;

fn connect(disk: &Disk) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let db = Connection::open_with_flags_and_vfs(disk.path().join("a.db"), flags, VFS)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, b BLOB)",
    )?;
    disk.sync_directory()
        .map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(db)
}

fn insert(db: &Connection) -> rusqlite::Result<usize> {
    db.execute("INSERT INTO t(b) VALUES(randomblob(3000))", [])
}

fn count(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap()
}

fn whole(db: &Connection) {
    let verdict: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn connections_share_a_database_in_wal_mode() {
    let disk = Disk::new(1);
    let (one, other) = (connect(&disk).unwrap(), connect(&disk).unwrap());
    insert(&one).unwrap();
    assert_eq!(count(&other), 1);
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(insert(&other).is_err(), "there is one writer at a time");
    one.execute_batch("COMMIT").unwrap();
    insert(&other).unwrap();
    let moved: (i64, i64, i64) = one
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(moved, (0, 0, 0));
    drop((one, other));
    let db = connect(&disk).unwrap();
    assert_eq!(count(&db), 2);
    whole(&db);
}

#[test]
fn what_was_synced_survives_every_crash_and_what_was_not_only_some() {
    let mut kept = 0;
    for seed in 0..300 {
        let disk = Disk::new(seed);
        let db = connect(&disk).unwrap();
        insert(&db).unwrap();
        db.execute_batch("PRAGMA synchronous = OFF").unwrap();
        insert(&db).unwrap();
        disk.crash();
        assert!(insert(&db).is_err(), "its handles are dead");
        drop(db);
        let db = connect(&disk).unwrap();
        whole(&db);
        assert!((1..=2).contains(&count(&db)), "seed {seed}");
        kept += count(&db) - 1;
    }
    assert!((20..280).contains(&kept), "{kept}");
}

#[test]
fn a_failed_sync_is_told_once_to_each_handle_and_loses_what_was_dirty() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = Disk::new(seed);
        let (mut file, mut beside) = (disk.open("a").unwrap(), disk.open("a").unwrap());
        disk.sync_directory().unwrap();
        disk.fail_nth(0, Fault::Sync, Repeat::Once);
        file.write_all_at(b"content", 0).unwrap();
        file.sync().unwrap_err();
        beside.sync().unwrap_err();
        assert!(disk.second_syncs().is_empty());
        // The mistake: once more.
        file.sync().unwrap();
        assert_eq!(disk.second_syncs(), ["a".into()]);
        assert_eq!(
            disk.contents("a").unwrap(),
            b"content",
            "the page cache still has it"
        );
        disk.crash();
        lost += usize::from(disk.contents("a").unwrap() != b"content");
    }
    assert!((20..90).contains(&lost), "{lost}");
}

#[test]
fn every_fault_strikes_the_operation_that_was_chosen_and_heals() {
    for fault in Fault::ALL {
        for repeat in [Repeat::Once, Repeat::Sticky] {
            let disk = Disk::new(7);
            let db = connect(&disk).unwrap();
            insert(&db).unwrap();
            drop(db);
            disk.fail_nth(0, fault, repeat);
            let failed = connect(&disk).and_then(|db| insert(&db).map(|_| db));
            assert!(disk.struck());
            assert_eq!(disk.is_down(), fault == Fault::Crash);
            if repeat == Repeat::Sticky {
                assert!(failed.is_err(), "{fault:?}");
            }
            drop(failed);
            disk.crash();
            let db = connect(&disk).unwrap();
            whole(&db);
            assert!(count(&db) >= 1);
        }
    }
}

#[test]
fn a_name_is_durable_only_after_its_directory_was_synced() {
    let mut there = 0;
    for seed in 0..100 {
        let disk = Disk::new(seed);
        let mut file = disk.open("new").unwrap();
        file.write_all_at(b"content", 0).unwrap();
        file.sync().unwrap();
        disk.crash();
        there += disk.names().len();
    }
    assert!((20..80).contains(&there), "{there}");
    let disk = Disk::new(0);
    let mut file = disk.open("new").unwrap();
    file.write_all_at(b"content", 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory().unwrap();
    disk.crash();
    assert_eq!(disk.contents("new").unwrap(), b"content");
    assert!(file.sync().is_err(), "a handle does not survive a crash");
}

#[test]
fn size_and_content_survive_independently() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = Disk::new(seed);
        let mut file = disk.open("a").unwrap();
        file.write_all_at(&[1; 10], 0).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        file.write_all_at(&[2; 10], 10).unwrap();
        disk.crash();
        let content = disk.contents("a").unwrap();
        assert_eq!(content[..10], [1; 10]);
        seen.insert(content[10..].to_vec());
    }
    for wanted in [vec![], vec![0; 10], vec![2; 10]] {
        assert!(seen.contains(&wanted), "{wanted:?} is one of {seen:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let run = || {
        let disk = Disk::new(42);
        let db = connect(&disk).unwrap();
        db.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for _ in 0..5 {
            db.execute("INSERT INTO t(b) VALUES(zeroblob(3000))", [])
                .unwrap();
        }
        disk.crash();
        let db = connect(&disk).unwrap();
        (count(&db), disk.trace())
    };
    let (one, other) = (run(), run());
    assert_eq!(one, other);
}

#[test]
fn what_is_spoiled_cannot_be_read_until_it_is_written_anew() {
    let disk = Disk::new(0);
    let mut file = disk.open("a").unwrap();
    file.write_all_at(&[1; 20], 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory().unwrap();
    disk.spoil("a", 5..6);
    disk.crash();
    let file = disk.open("a").unwrap();
    file.read_exact_at(&mut [0; 5], 0).unwrap();
    file.read_exact_at(&mut [0; 6], 0).unwrap_err();
    file.write_all_at(&[2; 6], 0).unwrap();
    file.read_exact_at(&mut [0; 20], 0).unwrap();
}
