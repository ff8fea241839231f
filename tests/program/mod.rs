//! The real program as a process of its own, on Unix sockets in a directory, so that it can be
//! killed and started again at the same place.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hookgate::net::Address;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::http::{Answer, Connection};
use crate::support::sender::Sender;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hookgate");

/// Where a gate lives: configuration, store, sockets, log.
pub(crate) struct Home {
    directory: TempDir,
    settings: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(sender: &Sender) -> Self {
        let mut home = Self::empty();
        home.settings.extend(sender.settings());
        home
    }

    /// Without a source; `hookgate.toml` in the directory may name some.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut home = Self {
            directory,
            settings: Vec::new(),
        };
        for (key, file) in [
            ("server.listen", "gate.sock"),
            ("admin.listen", "admin.sock"),
            ("app.url", "app.sock"),
        ] {
            let address = home.address(file).to_string();
            home.set(key, &address);
        }
        let store = home.directory.path().join("store").display().to_string();
        home.set("store.path", &store);
        // Temporary directories may be kept in memory, which outlives a killed process too.
        home.set("store.allow_volatile", "true");
        home.set("log.level", "warn");
        home
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    fn address(&self, file: &str) -> Address {
        Address::Unix(self.directory.path().join(file))
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn gate(&self) -> Address {
        self.address("gate.sock")
    }

    pub(crate) fn admin(&self) -> Address {
        self.address("admin.sock")
    }

    pub(crate) fn app(&self) -> Address {
        self.address("app.sock")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> &Path {
        let mut settings = self.settings.iter();
        let store = settings.find(|(key, _)| key == "store.path");
        Path::new(&store.expect("a store").1)
    }

    /// The program with the same settings, for what its commands are asked; run by `wrapper`, if that is
    /// not empty.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, wrapper: &[S]) -> Command {
        let program = OsStr::new(PROGRAM);
        let mut words = wrapper.iter().map(AsRef::as_ref).chain([program]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).current_dir(self.path());
        for (key, value) in &self.settings {
            let name = key.to_ascii_uppercase().replace('.', "__");
            command.env(format!("HOOKGATE__{name}"), value);
        }
        command
    }

    /// Starts the program; it may not answer yet.
    pub(crate) fn start(&self) -> Program {
        self.start_under::<&str>(&[])
    }

    /// Starts it by a command that in the end becomes the program, such as `prlimit`.
    pub(crate) fn start_under<S: AsRef<OsStr>>(&self, wrapper: &[S]) -> Program {
        let file = |name: &str| {
            let mut options = File::options();
            let options = options.create(true).append(true);
            options.open(self.path().join(name)).expect("a file")
        };
        let mut command = self.command(wrapper);
        command.arg("run").stdin(Stdio::null());
        command.stdout(file("out")).stderr(file("log"));
        Program {
            child: command.spawn().expect("the program starts"),
        }
    }

    /// Waits until the program is ready.
    pub(crate) async fn ready(&self) {
        eventually("readiness", async || self.is_ready().await).await;
    }

    /// Whether it takes events; it may be starting, killed or ending at this moment.
    pub(crate) async fn is_ready(&self) -> bool {
        let Ok(stream) = self.admin().connect().await else {
            return false;
        };
        let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut connection = Connection::over(stream);
        connection.try_write(request).await.is_ok()
            && matches!(connection.try_answer().await, Ok(answer) if answer.status == 200)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut connection = Connection::open(&self.admin()).await;
        connection.ask(request.as_bytes()).await
    }

    /// The value of one series.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await;
        let mut lines = text.text().lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {series}"))
    }
}

impl Drop for Home {
    #[expect(clippy::print_stderr, reason = "says more about a failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(20));
            eprintln!("what the program said last:");
            last.for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as a crash or the kernel's out-of-memory killer would end it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    /// Its time stands still: from now on it does nothing more, but for a call that it is in already.
    pub(crate) async fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("it still runs");
        eventually("a standstill", async || self.stands_still()).await;
    }

    /// Whether every thread is stopped, gone, or in a call that ends first.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        threads.expect("its threads").flatten().all(|thread| {
            let facts = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = facts
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.chars().next());
            !matches!(state, Some('R' | 'S'))
        })
    }

    /// SIGTERM, as an orchestrator asks it to end.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
    }

    /// Waits until it has ended by itself; its exit code, `None` after a signal.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let mut status = None;
        eventually("the end of the program", async || {
            status = self.child.try_wait().expect("its state");
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }
}

impl From<Child> for Program {
    fn from(child: Child) -> Self {
        Self { child }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
