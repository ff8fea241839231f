//! From an opened engine to a running store: its writer on a thread, or in place.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::backlog::Backlog;
use super::engine::{Engine, Policy, Reader};
use super::intake::Intake;
use super::keys::InstallationKey;
use super::shared::{PanicGuard, Shared};
use super::watch::Watch;
use super::writer::{self, Answers, Writer};
use super::{Config, Handle, Stats, Store, StoreError, Volume, embedded};
use crate::clock::Clock;
use crate::entropy::Entropy;

/// With the writer's rest after each, within the time that an orderly end leaves to the store.
const FAREWELLS: u8 = 6;

/// An opened engine with what the front needs beside it.
pub(super) struct Opened {
    pub(super) engine: Box<dyn Engine>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) key: InstallationKey,
}

/// The running writer.
pub(super) enum WriterHandle {
    Thread(JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl WriterHandle {
    /// Waits for its end.
    pub(super) async fn join(self) {
        match self {
            // Fails only if the runtime is going down; the thread ends by itself.
            Self::Thread(thread) => drop(tokio::task::spawn_blocking(|| thread.join()).await),
            Self::Task(task) => drop(task.await),
        }
    }
}

impl Store {
    /// Opens or creates the store and starts its threads. Blocking: it repairs what the last
    /// process left behind.
    ///
    /// # Errors
    /// When another process owns the store, its disk does not keep what is written, its format
    /// is newer than this program, or it cannot be read.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "each stage consumes its configuration"
    )]
    pub fn open(
        config: Config,
        clock: Clock,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, StoreError> {
        let opened = embedded::open(&config, &clock)?;
        Self::start(&config, opened, clock, runtime)
    }

    pub(super) fn start(
        config: &Config,
        opened: Opened,
        clock: Clock,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, StoreError> {
        let (mut handle, writer, commits) = assemble(config, opened, clock, Entropy::system())?;
        runtime.spawn(writer::answer(commits));
        let guard = PanicGuard(Arc::clone(&handle.shared));
        let run = move || {
            let _guard = guard;
            writer.run();
        };
        let thread = std::thread::Builder::new()
            .name("hookgate-store".into())
            .spawn(run);
        let thread = thread.map_err(|error| cannot(config, &error))?;
        handle.writer = Mutex::new(Some(WriterHandle::Thread(thread)));
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// The same without threads: everything happens on the runtime, or where it is asked for, so
    /// that a simulation decides when.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[doc(hidden)]
    pub fn open_in_place(
        config: &Config,
        clock: Clock,
        entropy: Entropy,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, StoreError> {
        let opened = embedded::open(config, &clock)?;
        let (mut handle, writer, commits) = assemble(config, opened, clock, entropy)?;
        runtime.spawn(writer::answer(commits));
        let task = runtime.spawn(writer.run_in_place(config.disk.clone()));
        handle.writer = Mutex::new(Some(WriterHandle::Task(task)));
        handle.in_place = true;
        Ok(Self {
            handle: Arc::new(handle),
        })
    }
}

/// All that a store is made of, before its writer runs.
fn assemble(
    config: &Config,
    opened: Opened,
    clock: Clock,
    entropy: Entropy,
) -> Result<(Handle, Writer, mpsc::Receiver<Answers>), StoreError> {
    let Opened {
        mut engine,
        reader,
        key,
    } = opened;
    let intake = Arc::new(Intake::default());
    let backlog = Arc::new(Backlog::new(config.backlog_bytes_max, Arc::clone(&intake)));
    let policy = Policy {
        keep: config.keep,
        bytes_max: if config.bytes_max == 0 {
            u64::MAX
        } else {
            config.bytes_max
        },
        low_space_bytes: config.low_space_bytes,
    };
    let shared = Arc::new(Shared {
        intake,
        backlog,
        counts: Mutex::default(),
        stats: Mutex::new(Stats {
            bytes_max: config.bytes_max,
            ..Stats::default()
        }),
        observer: Mutex::new(None),
        handled: super::handled::Handled::default(),
        watch: Watch::default(),
        failed: watch::Sender::new(None),
        at_work: Mutex::new(None),
    });
    shared.publish(engine.counts().map_err(|error| cannot(config, &error))?);
    shared.stats(engine.stats());
    // Before anybody is told that events are taken.
    shared.intake.set_shortage(engine.room(&policy).err());
    let (answers, commits) = mpsc::channel(64);
    let writer = Writer {
        engine,
        shared: Arc::clone(&shared),
        answers,
        clock: clock.clone(),
        policy,
        quarantined: Vec::new(),
        prune_at: clock.steady(),
        busy: true,
        short: false,
        unread: false,
        failing: false,
        tired: false,
        farewells: FAREWELLS,
    };
    let handle = Handle {
        shared,
        reader,
        key,
        clock,
        entropy,
        dedup_windows: config.dedup_windows.clone(),
        volume: match config.disk {
            None => Volume::under(&config.path),
            Some(_) => Volume::unknown(),
        },
        writer: Mutex::new(None),
        in_place: false,
    };
    Ok((handle, writer, commits))
}

fn cannot(config: &Config, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open {
        path: config.path.to_string_lossy().into(),
        why: why.to_string().into(),
    }
}
