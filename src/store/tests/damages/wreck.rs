//! Damaging the files of a store, from a seed.

use std::collections::BTreeMap;

pub(super) const PAGE: usize = 4096;
pub(super) const DB: &str = "hookgate.db";
pub(super) const WAL: &str = "hookgate.db-wal";
pub(super) const MARK: &str = "high-water";
const OWNER: &str = "owner.lock";
/// Notes that damage was met; the next start only asks whether it is there.
const NOTE: &str = "damaged";
/// Header of the journal, and of each of its frames.
const WAL_HEAD: usize = 32;
const FRAME: usize = 24 + PAGE;

/// The files of a store, by name.
pub(super) type Files = BTreeMap<&'static str, Vec<u8>>;

/// Damages `files` as the seed says; tells what was done.
pub(super) fn damage(
    files: &mut Files,
    earlier: &Files,
    random: &mut fastrand::Rng,
) -> Vec<String> {
    let mut done = Vec::new();
    // The mark is the witness of what a journal has lost, so it is never damaged with the rest.
    if random.u8(0..16) == 0 {
        done.push(mark(files, random));
        return done;
    }
    if random.u8(0..16) == 0 {
        let note = (0..random.u8(..)).map(|_| random.u8(..)).collect();
        files.insert(NOTE, note);
        done.push("garbage in the note of damage".into());
    }
    for _ in 0..*[1, 1, 1, 1, 2, 3].get(random.usize(0..6)).unwrap() {
        // A cut may have left less than a frame.
        let has_journal = files
            .get(WAL)
            .is_some_and(|wal| wal.len() >= WAL_HEAD + FRAME);
        done.push(if has_journal && random.bool() {
            journal(files, random)
        } else {
            database(files, earlier, random)
        });
    }
    done
}

fn database(files: &mut Files, earlier: &Files, random: &mut fastrand::Rng) -> String {
    let db = files.entry(DB).or_default();
    if db.len() < 2 * PAGE {
        return flip(db, random);
    }
    let pages = db.len() / PAGE;
    let (page, other) = (random.usize(0..pages), random.usize(0..pages));
    let at = page * PAGE..(page + 1) * PAGE;
    match random.u8(0..20) {
        0..6 => flip(db, random),
        6..8 => {
            // The head of a page, which steers what is read.
            let bit = random.usize(0..12 * 8);
            let start = if page == 0 { 100 } else { page * PAGE };
            db[start + bit / 8] ^= 1 << (bit % 8);
            format!("bit {bit} of the head of page {page} flipped")
        }
        8..11 => {
            db[at].fill(0);
            format!("page {page} zeroed")
        }
        11..13 => {
            db[at].fill_with(|| random.u8(..));
            format!("page {page} overwritten")
        }
        13..15 => {
            for n in 0..PAGE {
                db.swap(page * PAGE + n, other * PAGE + n);
            }
            format!("pages {page} and {other} swapped")
        }
        15..18 => match earlier[DB].get(at.clone()) {
            Some(old) => {
                db[at].copy_from_slice(old);
                format!("page {page} as it was earlier")
            }
            None => flip(db, random),
        },
        18 => {
            let length = random.usize(0..db.len());
            db.truncate(length);
            format!("database cut to {length}")
        }
        _ => {
            let more = random.usize(1..3 * PAGE);
            db.extend((0..more).map(|_| random.u8(..)));
            format!("{more} bytes of garbage behind the database")
        }
    }
}

fn flip(bytes: &mut [u8], random: &mut fastrand::Rng) -> String {
    let flips = random.usize(1..=8);
    let mut places = Vec::new();
    for _ in 0..flips {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(0..bytes.len());
        bytes[at] ^= 1 << random.u8(0..8);
        places.push(at);
    }
    format!("bits flipped at {places:?}")
}

fn journal(files: &mut Files, random: &mut fastrand::Rng) -> String {
    if random.u8(0..16) == 0 {
        files.remove(WAL);
        return "journal deleted".into();
    }
    let wal = files.entry(WAL).or_default();
    let frames = (wal.len() - WAL_HEAD) / FRAME;
    let frame = |n: usize| WAL_HEAD + n * FRAME;
    let (one, other) = (random.usize(0..frames), random.usize(0..frames));
    match random.u8(0..10) {
        0 => flip(&mut wal[..WAL_HEAD], random) + " in the journal's head",
        1..3 => flip(&mut wal[frame(one)..frame(one) + 24], random) + " in a frame's head",
        3..5 => flip(wal, random) + " in the journal",
        5 => {
            for n in 0..FRAME {
                wal.swap(frame(one) + n, frame(other) + n);
            }
            format!("frames {one} and {other} swapped")
        }
        6 => {
            wal[frame(one)..frame(one + 1)].fill(0);
            format!("frame {one} zeroed")
        }
        7 => {
            let more = random.usize(1..3 * FRAME);
            wal.extend((0..more).map(|_| random.u8(..)));
            format!("{more} bytes of garbage behind the journal")
        }
        _ => {
            let length = random.usize(0..wal.len());
            wal.truncate(length);
            format!("journal cut to {length}")
        }
    }
}

fn mark(files: &mut Files, random: &mut fastrand::Rng) -> String {
    files.insert(OWNER, (0..random.u8(..)).map(|_| random.u8(..)).collect());
    let mark = files.entry(MARK).or_default();
    match random.u8(0..4) {
        0 => {
            files.remove(MARK);
            "mark deleted".into()
        }
        1 => {
            mark.truncate(random.usize(0..mark.len()));
            "mark cut short".into()
        }
        _ => flip(mark, random) + " in the mark",
    }
}
