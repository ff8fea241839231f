//! Each single operation of a script fails in each way, once or from then on; then the process or
//! the power ends, and the next start is judged. There is a test for each way, so that they share
//! the cores.

use simdisk::{Class, Fault, Repeat};

use super::from_environment;
use super::world::Report::{Dead, Delivered, Nothing, Retry};
use super::world::Step::{self, Accept, Erase, Flush, Reopen, Replay, Settle, Wait};
use super::world::{End, World};

/// Two sources, repeats and conflicts, every kind of settlement, and enough bytes for the journal
/// to be moved in between.
const SCRIPT: [Step; 62] = [
    Accept(("a", 1, 0)),
    Accept(("a", 2, 1)),
    Accept(("b", 1, 0)),
    Settle(Delivered, true),
    Accept(("a", 1, 0)),
    Accept(("a", 1, 1)),
    Accept(("a", 1, 1)),
    Settle(Retry, true),
    Settle(Dead, false),
    Accept(("b", 2, 2)),
    Accept(("b", 3, 3)),
    Accept(("b", 3, 3)),
    Flush,
    Replay(0),
    Settle(Delivered, false),
    Settle(Nothing, false),
    Accept(("a", 3, 3)),
    Accept(("a", 4, 3)),
    Accept(("a", 5, 3)),
    Wait(1),
    Settle(Delivered, true),
    Settle(Dead, true),
    Settle(Dead, true),
    Accept(("a", 3, 3)),
    Accept(("b", 4, 1)),
    Erase(2),
    Settle(Retry, false),
    Reopen,
    Accept(("a", 6, 0)),
    Accept(("a", 2, 1)),
    Accept(("b", 1, 2)),
    Settle(Delivered, true),
    Settle(Delivered, false),
    Accept(("a", 7, 2)),
    Accept(("a", 8, 2)),
    Accept(("a", 9, 2)),
    Wait(2),
    Settle(Retry, true),
    Settle(Delivered, false),
    Replay(3),
    Erase(5),
    Accept(("b", 5, 3)),
    Accept(("b", 6, 3)),
    Accept(("b", 7, 3)),
    Flush,
    // What was delivered a week ago is forgotten.
    Wait(8 * 24),
    Wait(1),
    Accept(("a", 1, 0)),
    Accept(("a", 10, 1)),
    Settle(Delivered, true),
    Settle(Dead, true),
    Accept(("a", 10, 1)),
    Reopen,
    Settle(Delivered, true),
    Accept(("b", 8, 0)),
    Accept(("b", 8, 0)),
    Settle(Delivered, true),
    Wait(8 * 24),
    Wait(1),
    Accept(("a", 11, 0)),
    Settle(Delivered, false),
    Reopen,
];

/// What became of a run.
struct Ran {
    struck: bool,
    failed: bool,
    acknowledged: u64,
}

/// Plays the script with one fault in it.
fn play(n: u64, fault: Fault, repeat: Repeat, end: End) -> Ran {
    let mut world = World::new(n);
    world.disk.fail_nth(n, fault, repeat);
    world.start();
    for step in SCRIPT {
        if world.failed() {
            break;
        }
        world.step(step);
    }
    let ran = Ran {
        struck: world.disk.struck(),
        failed: world.failed(),
        acknowledged: world.model.acknowledged,
    };
    if !ran.failed {
        world.disk.heal();
        world.recovers_by_itself();
        world.senders_try_again();
    }
    world.end(end);
    assert!(world.start(), "it opens when nothing fails any more");
    world.check();
    // Answered from what is durable, not from what looks like it.
    world.senders_try_again();
    world.end(End::Crash);
    assert!(world.start());
    world.check();
    world.drain();
    world.end(End::Crash);
    assert!(world.start());
    world.check();
    ran
}

/// Every operation in turn fails in this way: once or from then on, before the process or the power
/// ends. Of these four only one for each operation, in turn, unless more are asked for.
fn each(fault: Fault) {
    let ways = from_environment("HOOKGATE_TEST_WAYS").unwrap_or(1);
    let only = from_environment("HOOKGATE_TEST_SEED");
    let (mut runs, mut failed, mut acknowledged) = (0, 0, 0);
    let mut n = only.unwrap_or(0);
    loop {
        let mut struck = false;
        for way in n..n + if only.is_some() { 4 } else { ways } {
            let repeat = [Repeat::Once, Repeat::Sticky][usize::from(way & 1 == 1)];
            let end = [End::Crash, End::Kill][usize::from(way & 2 == 2)];
            let run = || play(n, fault, repeat, end);
            let ran = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
                println!("operation {n} fails: {fault:?}, {repeat:?}, then {end:?}; again with");
                println!("HOOKGATE_TEST_SEED={n} cargo nextest run --lib disk::faults");
                std::panic::resume_unwind(panic)
            });
            struck |= ran.struck;
            runs += u64::from(ran.struck);
            failed += u64::from(ran.failed);
            acknowledged += ran.acknowledged;
        }
        if !struck || only.is_some() {
            break;
        }
        n += 1;
    }
    println!(
        "{fault:?} at each of {n} operations: {runs} runs, {failed} ended the process, \
         {acknowledged} acknowledged, 0 lost"
    );
}

#[test]
fn a_read_that_fails_loses_nothing_that_was_acknowledged() {
    each(Fault::Read);
}

#[test]
fn a_write_that_fails_loses_nothing_that_was_acknowledged() {
    each(Fault::Write);
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    each(Fault::NoSpace);
}

#[test]
fn a_write_cut_short_loses_nothing_that_was_acknowledged() {
    each(Fault::ShortWrite);
}

#[test]
fn a_sync_that_fails_loses_nothing_that_was_acknowledged() {
    each(Fault::Sync);
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged() {
    each(Fault::Crash);
}

/// A script that misses the journal's move or the forgetting would prove little.
#[test]
fn the_script_reaches_what_it_is_for() {
    let mut world = World::new(0);
    assert!(world.start());
    for step in SCRIPT {
        world.step(step);
        assert!(!world.failed(), "{step:?}");
    }
    world.check();
    let trace = world.disk.trace();
    let of = |name: &str, kind: fn(&simdisk::OpKind) -> bool| {
        let found = trace
            .iter()
            .filter(|op| &*op.name == name && kind(&op.kind));
        found.count()
    };
    let syncs = of("hookgate.db", |kind| *kind == simdisk::OpKind::Sync);
    assert!(
        syncs > 6,
        "the journal is moved at starts, at ends and in between: {syncs}"
    );
    let marks = of("high-water", |kind| *kind == simdisk::OpKind::Sync);
    assert!(marks > 4, "{marks}");
    println!(
        "the script: {} operations, {} of them writes, {} syncs, {} reads",
        world.disk.operations(Class::Any),
        world.disk.operations(Class::Write),
        world.disk.operations(Class::Sync),
        world.disk.operations(Class::Read),
    );
}
