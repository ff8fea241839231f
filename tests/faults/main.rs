//! What was answered 200 reaches the app, whatever happens to the gate, the app or the disk: the real
//! program on the real kernel, killed, cut off from power, on disks that fail, fill up, hang or vanish.
//!
//! Each rig is one file, says in its header what it needs, and skips with one line where that is missing.
//! Its size is an environment variable of its own, `HOOKGATE_TEST_...`; `HOOKGATE_TEST_SEED` chooses which
//! of many ways it takes. A seed fixes the choices of a rig, not the instants that the kernel adds to them.
//! `scripts/reliability` runs each by name.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail loudly and say what they counted or skipped"
)]

mod descriptors;
mod disk;
mod full;
mod kills;
mod oracle;
mod outage;
mod power;
#[path = "../program/mod.rs"]
mod program;
mod readonly;
mod replaced;
mod rolling;
mod second;
mod slow;
mod strace;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;
mod sync;
mod syscalls;

/// A size from the environment.
fn sized(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// The choices of one round of a rig; when it fails, it says how to make them again.
struct Round {
    rig: &'static str,
    seed: u64,
    size: u64,
    random: fastrand::Rng,
}

impl Round {
    /// So many rounds that `total` is done in steps of at most `step`.
    fn all(rig: &'static str, total: u64, step: u64) -> impl Iterator<Item = Self> {
        let first = sized("HOOKGATE_TEST_SEED", 1);
        (0..total.div_ceil(step)).map(move |n| Self {
            rig,
            seed: first + n,
            size: step.min(total - n * step),
            random: fastrand::Rng::with_seed(first + n),
        })
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                rig, seed, size, ..
            } = self;
            println!("the same choices again: scripts/reliability {rig} {size} {seed}");
        }
    }
}
