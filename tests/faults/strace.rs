//! Kills, errors and delays in single system calls of the store, by `strace`.
//!
//! It counts each call by its name and in each thread, so that a count is exact where one thread makes them
//! all: the one that opens the store, its writer, or the one that checkpoints.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::disk::skipped;
use crate::program::{Home, Program};
use crate::support::eventually;

/// Every call by which the store changes its directory.
pub(crate) const STORE_CALLS: &str =
    "pwrite64,write,fdatasync,fsync,ftruncate,fallocate,openat,unlink,rename,mkdir,flock";
/// Those that make it durable.
pub(crate) const SYNC_CALLS: &str = "fdatasync,fsync";
/// The thread that commits.
pub(crate) const WRITER: &str = "hookgate-store";
/// The thread that checkpoints.
pub(crate) const CHECKPOINTER: &str = "hookgate-wal";

const FILES: [&str; 7] = [
    "",
    "hookgate.db",
    "hookgate.db-wal",
    "hookgate.db-shm",
    "hookgate.db-journal",
    "owner.lock",
    "high-water",
];

/// Looked for once per rig.
pub(crate) fn is_there() -> Option<()> {
    let known = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    match known {
        Ok(status) if status.success() => Some(()),
        _ => skipped("there is no strace"),
    }
}

/// What is done to which calls on the store's files; all of them are written down.
pub(crate) struct Trace {
    words: Vec<String>,
    file: PathBuf,
}

impl Trace {
    /// `injection` as strace takes it, such as `fdatasync:error=EIO:when=3`.
    pub(crate) fn of(home: &Home, calls: &str, injection: Option<&str>) -> Self {
        let file = home.path().join("trace");
        let mut words: Vec<_> = ["strace", "-q", "-y", "-o"].map(str::to_owned).into();
        words.push(file.display().to_string());
        words.extend(["-e".to_owned(), format!("trace={calls}")]);
        if let Some(injection) = injection {
            words.extend(["-e".to_owned(), format!("inject={injection}")]);
        }
        for name in FILES {
            let path = if name.is_empty() {
                home.store().to_owned()
            } else {
                home.store().join(name)
            };
            words.extend(["-P".to_owned(), path.display().to_string()]);
        }
        Self { words, file }
    }

    /// The command that starts the program with all its threads traced, and becomes it.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let mut words = self.words.clone();
        words.extend(["-D", "-f"].map(str::to_owned));
        words
    }

    /// Begins with one thread of a program that runs.
    pub(crate) async fn attach(&self, program: &Program, thread: &str) -> Attached {
        let tasks = PathBuf::from(format!("/proc/{}/task", program.pid()));
        let named = |task: &PathBuf| {
            let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            name.trim() == thread
        };
        let mut task = PathBuf::new();
        // It gets its name a moment after it was started.
        eventually("a thread of that name", async || {
            let tasks = std::fs::read_dir(&tasks).expect("a program that runs");
            let found = tasks.flatten().map(|task| task.path()).find(named);
            found.map(|found| task = found).is_some()
        })
        .await;
        let id = task.file_name().expect("a number").to_owned();
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().expect("strace"));
        let strace = command
            .args(words)
            .arg("-p")
            .arg(id)
            .stderr(Stdio::null())
            .spawn();
        let attached = Attached(strace.expect("strace starts"));
        eventually("a tracer", async || is_traced(&task)).await;
        attached
    }

    /// The calls of one thread: each by its name, and which of that name it is, from 1 on.
    pub(crate) fn calls(&self) -> Vec<(String, usize)> {
        let text = self.text();
        let calls = text.lines().filter_map(call);
        // With several threads, the one that does the work is meant.
        let mut threads: HashMap<&str, Vec<&str>> = HashMap::new();
        calls.for_each(|(thread, name)| threads.entry(thread).or_default().push(name));
        let calls = threads.into_values().max_by_key(Vec::len);
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let numbered = calls.unwrap_or_default().into_iter().map(|name| {
            let n = seen.entry(name).or_default();
            *n += 1;
            (name.to_owned(), *n)
        });
        numbered.collect()
    }

    /// Everything written down so far.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }
}

/// Thread, if it is told, and name of a call in a line such as `7 fsync(3</path>) = 0`.
fn call(line: &str) -> Option<(&str, &str)> {
    let (begin, _) = line.split_once('(')?;
    let (thread, name) = begin.rsplit_once(' ').unwrap_or(("", begin));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_name.then_some((thread.trim(), name))
}

fn is_traced(task: &Path) -> bool {
    let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
    let mut lines = status.lines();
    let tracer = lines.find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// strace at work; when dropped, the program goes on untroubled.
pub(crate) struct Attached(Child);

impl Attached {
    /// Waits for its end, which comes with the traced thread's.
    pub(crate) fn ended(mut self) {
        let _ = self.0.wait();
    }
}

impl Attached {
    /// Both are killed: a thread that strace holds in a call is not gone before strace is.
    pub(crate) fn killed_with(mut self, program: Program) {
        let pid = i32::try_from(program.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), Signal::KILL).expect("it still runs");
        self.0.kill().expect("it still runs");
        program.kill();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}
