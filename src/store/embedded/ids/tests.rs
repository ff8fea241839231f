use rusqlite::params;

use super::*;
use crate::store::embedded::schema;

fn key(n: u64) -> DedupKey {
    let hash = blake3::hash(&n.to_le_bytes());
    DedupKey(hash.as_bytes()[..16].try_into().unwrap())
}

fn digest(n: u64) -> Digest {
    Digest(u128::from(n).to_le_bytes())
}

/// Stores ids as commits of 50 would; `at` is the number of the first.
fn store(db: &Connection, ids: &mut Ids, range: std::ops::Range<u64>, per_commit: usize) {
    let all: Vec<u64> = range.collect();
    for commit in all.chunks(per_commit) {
        let mut packed = Vec::new();
        for n in commit {
            assert_eq!(
                ids.insert(
                    key(*n),
                    Known {
                        seq: *n,
                        digest: digest(*n)
                    }
                ),
                None
            );
            pack(&mut packed, key(*n), digest(*n));
        }
        let first = commit[0].cast_signed();
        db.prepare_cached("INSERT INTO dedup(seq, at, ids) VALUES(?1, ?1, ?2)")
            .unwrap()
            .execute(params![first, seal(first, packed)])
            .unwrap();
        ids.maintain(db).unwrap();
    }
}

fn known(db: &Connection, ids: &Ids, n: u64) -> bool {
    let found = ids.find(db, key(n), i64::MIN, u64::MAX).unwrap();
    found
        .inspect(|found| {
            assert_eq!(
                *found,
                Known {
                    seq: n,
                    digest: digest(n)
                }
            )
        })
        .is_some()
}

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    schema::create(&db, &crate::store::keys::InstallationKey([7; 32])).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    db
}

#[test]
fn hundreds_of_thousands_of_ids_are_known_and_others_are_not() {
    let db = database();
    let size = RunSize {
        ids: 20_000,
        bits: 10,
        max: IDS_MAX,
    };
    let mut ids = Ids::load(&db, size).unwrap();
    store(&db, &mut ids, 1..300_001, 500);
    assert!(ids.runs.len() >= 13, "{}", ids.runs.len());
    let check = |ids: &Ids| {
        assert_eq!(ids.len(), 300_000);
        assert!((1..300_001).step_by(37).all(|n| known(&db, ids, n)));
        assert!((300_001..320_000).all(|n| !known(&db, ids, n)));
    };
    check(&ids);
    // Also after a restart, wherever the last run stood.
    check(&Ids::load(&db, size).unwrap());
}

#[test]
fn a_restart_at_any_moment_loses_no_id() {
    let db = database();
    let mut ids = Ids::load(&db, RunSize::SMALL).unwrap();
    for n in 0..60 {
        store(&db, &mut ids, n * 31 + 1..(n + 1) * 31 + 1, 7);
        ids = Ids::load(&db, RunSize::SMALL).unwrap();
        assert!((1..(n + 1) * 31 + 1).all(|n| known(&db, &ids, n)));
    }
    assert!(ids.runs.len() > 5);
}

#[test]
fn old_runs_are_dropped_whole_and_leave_nothing_behind() {
    let db = database();
    let mut ids = Ids::load(&db, RunSize::SMALL).unwrap();
    store(&db, &mut ids, 1..2001, 10);
    while ids.prune(&db, 1500).unwrap() || ids.maintain(&db).unwrap() {}
    assert!((1500..2001).all(|n| known(&db, &ids, n)));
    assert!((1..1300).all(|n| !known(&db, &ids, n)));
    let kept: i64 = db
        .query_row("SELECT min(k) FROM id_bucket", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept / BUCKETS_MAX, ids.runs[0].run);
    while ids.prune(&db, 5000).unwrap() || ids.maintain(&db).unwrap() {}
    assert_eq!(ids.len(), 0);
    for table in ["dedup", "id_run", "id_bucket"] {
        let left: i64 = db
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

/// Only time limited them: a flood of ids took memory for as long as ids are kept.
#[test]
fn beyond_the_ceiling_the_oldest_ids_are_forgotten() {
    let db = database();
    let size = RunSize {
        max: 500,
        ..RunSize::SMALL
    };
    let mut ids = Ids::load(&db, size).unwrap();
    store(&db, &mut ids, 1..3001, 10);
    while ids.maintain(&db).unwrap() {}
    assert!((300..=500).contains(&ids.len()), "{}", ids.len());
    let newest = 3001 - u64::try_from(ids.len()).unwrap();
    assert!((newest..3001).all(|n| known(&db, &ids, n)));
    assert!((1..newest).all(|n| !known(&db, &ids, n)));
    let again = Ids::load(&db, size).unwrap();
    assert_eq!(again.len(), ids.len());
    let kept: i64 = db
        .query_row("SELECT min(k) FROM id_bucket", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept / BUCKETS_MAX, ids.runs[0].run);
}

#[test]
fn an_id_out_of_time_is_new_although_still_held() {
    let db = database();
    let mut ids = Ids::load(&db, RunSize::SMALL).unwrap();
    store(&db, &mut ids, 1..31, 10);
    assert!(ids.find(&db, key(5), 1, u64::MAX).unwrap().is_some());
    assert!(ids.find(&db, key(5), 2, u64::MAX).unwrap().is_none());
    // Of the batch that is being written it is known whatever the time.
    assert!(ids.find(&db, key(5), 2, 5).unwrap().is_some());
}

/// `cargo test --profile bench --lib ten_million -- --ignored --nocapture`
#[test]
#[ignore = "measures, and takes minutes; CONTRIBUTING.md says how to run it"]
fn ten_million_ids_in_little_memory() {
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap()
            .to_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let database = super::super::place::Database {
        path: dir.path().join("ids.db"),
        disk: None,
    };
    let db = schema::open(&database).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 2000")
        .unwrap();
    let mut ids = Ids::load(&db, RunSize::FULL).unwrap();
    println!("empty {}", rss());
    let started = std::time::Instant::now();
    store(&db, &mut ids, 1..10_000_001, 1000);
    println!(
        "10 M {} {:?} runs {} of {:?}",
        rss(),
        started.elapsed(),
        ids.runs.len(),
        ids.len()
    );
    let started = std::time::Instant::now();
    assert!((10_000_001..10_200_001).all(|n| !known(&db, &ids, n)));
    println!("new id {:?}", started.elapsed() / 200_000);
    let started = std::time::Instant::now();
    assert!((1..200_001).all(|n| known(&db, &ids, n * 49)));
    println!("known id {:?}", started.elapsed() / 200_000);
    drop(ids);
    let started = std::time::Instant::now();
    let ids = Ids::load(&db, RunSize::FULL).unwrap();
    println!(
        "load {:?} {} file {} MB",
        started.elapsed(),
        rss(),
        std::fs::metadata(dir.path().join("ids.db")).unwrap().len() >> 20
    );
    assert_eq!(ids.len(), 10_000_000);
}
