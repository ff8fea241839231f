//! Faults that the other harnesses here have found, each with its story.

use simdisk::{Fault, Repeat};

use super::world::World;

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
