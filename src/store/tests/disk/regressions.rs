//! Faults that the other harnesses here have found, each with its story.

use simdisk::{Fault, Repeat};

use super::world::{End, World};

/// A new file becomes one with a journal in a commit at the end of the statement that asks for it,
/// after the row with the answer. Only the row was read: when the flush of that commit failed, the
/// store opened all the same, without a journal, and went on to sync the file whose sync had failed.
#[test]
fn a_first_start_whose_sync_fails_does_not_go_on_without_its_journal() {
    for n in 0.. {
        let mut world = World::new(n);
        world.disk.fail_nth(n, Fault::Sync, Repeat::Once);
        let opened = world.start();
        if !world.disk.struck() {
            break;
        }
        let names = world.disk.names();
        let journal = names.iter().any(|name| name == "hookgate.db-wal");
        assert!(
            journal || !opened,
            "sync {n} failed, and it opened with {names:?}"
        );
    }
}

/// A commit whose sync fails may be in the page cache only, and counts as clean there. The next
/// start moved it from the journal into the database, as it had to. But the journal's own sync,
/// which SQLite makes before that, wrote nothing, and the emptied journal was not synced at all: when
/// the power failed before the next commit, the older journal came back from the disk and undid what
/// the sender had just been told was stored.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_durable_before_it_counts() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        assert!(world.start());
        world.accept(("a", 1, 0)).unwrap();
        world.disk.fail_nth(0, Fault::Sync, Repeat::Once);
        world.accept(("a", 2, 0)).unwrap_err();
        world.end(End::Kill);
        assert!(world.start());
        world.check();
        world.accept(("a", 2, 0)).unwrap();
        world.end(End::Crash);
        assert!(world.start());
        world.check();
    }
}
