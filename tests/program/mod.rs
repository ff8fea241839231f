//! The real program as a process of its own, on Unix sockets in a directory, so that it can be
//! killed and started again at the same place.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hookgate::net::Address;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::http::{Answer, Connection};
use crate::support::sender::Sender;

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

    /// Starts the program; it may not answer yet.
    pub(crate) fn start(&self) -> Program {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_hookgate")))
    }

    /// Starts the program by way of another one.
    pub(crate) fn start_by(&self, mut command: Command) -> Program {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("log"))
            .expect("a log file");
        command
            .arg("run")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        for (key, value) in &self.settings {
            let name = key.to_ascii_uppercase().replace('.', "__");
            command.env(format!("HOOKGATE__{name}"), value);
        }
        Program {
            child: command.spawn().expect("the program starts"),
        }
    }

    /// Waits until the program is ready.
    pub(crate) async fn ready(&self) {
        eventually("readiness", async || {
            let Ok(stream) = self.admin().connect().await else {
                return false;
            };
            let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
            let mut connection = Connection::over(stream);
            // It may be killed or ending at this moment.
            connection.try_write(request).await.is_ok()
                && matches!(connection.try_answer().await, Ok(answer) if answer.status == 200)
        })
        .await;
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

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// SIGKILL, as a crash or the kernel's out-of-memory killer would end it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, as an orchestrator asks it to end.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
    }

    /// Waits until it has ended by itself; its exit code.
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

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
