//! When the disk loses what it had synced.

use super::world::{End, Step, World};

#[test]
fn the_numbers_of_lost_events_are_told_and_never_given_out_again() {
    let mut world = World::new(1);
    assert!(world.start());
    for id in 0..4 {
        world.accept(("a", id, 0)).unwrap();
    }
    // The high-water mark is written.
    world.step(Step::Wait(1));
    world.end(End::Crash);
    world.disk.edit("hookgate.db-wal", Vec::clear);
    assert!(world.start());
    // Some may have been moved out of the journal before.
    assert!((1..=4).contains(&world.damaged()), "{}", world.damaged());
    world.accept(("a", 9, 0)).unwrap();
    assert_eq!(world.number_of(9), 5);
}
