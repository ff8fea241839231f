//! The example apps do what their READMEs say: each is started as a program of its own on a Unix
//! socket and gets requests of the form in which hookgate forwards them.
//!
//! Python and Node apps need `HOOKGATE_TEST_PYTHON` and `HOOKGATE_TEST_NODE` (`scripts/test` sets
//! them and says what it skips).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_python_app_does_its_work_once_per_event() {
    let Some(python) = interpreter("HOOKGATE_TEST_PYTHON") else {
        return;
    };
    let place = Place::new();
    let command = || {
        let mut command = place.command(&python);
        command
            .arg(format!("{EXAMPLES}/python/app.py"))
            .arg(place.socket());
        command
    };

    let mut app = App::start(&mut command(), "listening on");
    app.deliver(&place.socket(), "evt_1", 1);
    app.expect("evt_1 stripe invoice.paid attempt=1 bytes=13 handled");
    app.kill();

    // The socket file is still there and the id was remembered.
    let mut app = App::start(&mut command(), "listening on");
    app.deliver(&place.socket(), "evt_1", 2);
    app.expect("evt_1 stripe invoice.paid attempt=2 bytes=13 already handled");
    assert!(app.terminate().success());
    assert!(!place.socket().exists());
}

#[test]
fn the_asgi_app_takes_events_from_uvicorn() {
    let Some(python) = interpreter("HOOKGATE_TEST_PYTHON") else {
        return;
    };
    let place = Place::new();
    let mut command = place.command(&python);
    command
        .args(["-m", "uvicorn", "asgi:app", "--uds"])
        .arg(place.socket());
    command.arg("--app-dir").arg(format!("{EXAMPLES}/python"));

    let ended = killed_then_terminated(&place, &mut command, "Uvicorn running on");

    // uvicorn shuts down in order and then lets the signal end it.
    assert!(
        ended.success() || ended.signal() == Some(Signal::TERM.as_raw()),
        "{ended}"
    );
}

#[test]
fn the_node_app_takes_events() {
    let Some(node) = interpreter("HOOKGATE_TEST_NODE") else {
        return;
    };
    let place = Place::new();
    let mut command = place.command(&node);
    command
        .arg(format!("{EXAMPLES}/node/app.mjs"))
        .arg(place.socket());

    assert!(killed_then_terminated(&place, &mut command, "listening on").success());
    assert!(!place.socket().exists());
}

#[test]
fn the_rust_app_takes_events() {
    let place = Place::new();
    let mut command = place.command(&built("echo_app"));
    command.arg(place.socket());

    assert!(killed_then_terminated(&place, &mut command, "listening on").success());
    assert!(!place.socket().exists());
}

#[test]
fn the_axum_app_takes_what_is_signed_and_only_that() {
    let place = Place::new();
    let mut command = place.command(&built("axum_layer"));
    command.arg("127.0.0.1:0").env("STRIPE_SECRET", "whsec_1");
    let (mut app, ready) = App::started(&mut command, "listening on ");
    let address = ready.trim_start_matches("listening on ");
    let send = |tamper: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let url = format!("http://{address}/webhooks/stripe");
        command.args([
            "send",
            "--provider",
            "stripe",
            "--secret",
            "whsec_1",
            "--to",
        ]);
        command.arg(url).args(tamper).output().expect("it runs")
    };

    assert!(send(&[]).status.success());
    app.expect("invoice.paid bytes=");
    assert!(!send(&["--tamper"]).status.success());
    app.expect("refused: mismatch");
}

/// An example of this crate, as a program.
fn built(example: &str) -> PathBuf {
    let here = std::env::current_exe().expect("the path of this test");
    let profile = here.ancestors().nth(2).expect("the folder above deps");
    let program = profile.join("examples").join(example);
    assert!(
        program.exists(),
        "cargo build --examples makes {}",
        program.display()
    );
    program
}

/// Starts the app, kills it, starts it over the socket file that is left, and ends it by SIGTERM.
fn killed_then_terminated(place: &Place, command: &mut Command, ready: &str) -> ExitStatus {
    let mut app = App::start(command, ready);
    app.deliver(&place.socket(), "evt_1", 1);
    app.expect("evt_1 stripe invoice.paid attempt=1 bytes=13");
    app.kill();
    assert!(place.socket().exists(), "a killed app leaves its socket");

    let mut app = App::start(command, ready);
    app.deliver(&place.socket(), "evt_1", 2);
    app.expect("evt_1 stripe invoice.paid attempt=2 bytes=13");
    app.terminate()
}

/// The program that the environment variable names; without it the test is skipped.
fn interpreter(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    found
}

/// A directory in which one app runs, with its socket.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("app.sock")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0);
        command
    }
}

/// A running app; killed when dropped.
struct App {
    child: Child,
    lines: Receiver<String>,
}

impl App {
    /// Starts `command` and waits until it has printed `ready`.
    fn start(command: &mut Command, ready: &str) -> Self {
        Self::started(command, ready).0
    }

    /// The same, with the line that it printed.
    fn started(command: &mut Command, ready: &str) -> (Self, String) {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the app starts");
        let (sender, lines) = sync_channel(1000);
        forward_lines(child.stdout.take().expect("its output"), sender.clone());
        forward_lines(child.stderr.take().expect("its messages"), sender);
        let mut app = Self { child, lines };
        let line = app.expect(ready);
        (app, line)
    }

    /// Waits for a line that holds `text`.
    fn expect(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{text:?} did not come ({error}), but {seen:#?}"),
            }
        }
    }

    /// Sends a request without an event id, which is refused, and then an event, on one connection.
    fn deliver(&mut self, socket: &Path, event: &str, attempt: u32) {
        let request = format!(
            "POST /webhooks/stripe HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello\
             POST /webhooks/stripe HTTP/1.1\r\nHost: app\r\nContent-Type: application/json\r\n\
             Content-Length: 13\r\nHookgate-Event-Id: {event}\r\nHookgate-Source: stripe\r\n\
             Hookgate-Event-Type: invoice.paid\r\nHookgate-Attempt: {attempt}\r\n\
             Connection: close\r\n\r\n{{\"amount\": 1}}"
        );
        let mut stream = UnixStream::connect(socket).expect("the app listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        stream.write_all(request.as_bytes()).expect("the app reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the app answers and closes");

        let statuses: Vec<_> = answer
            .lines()
            .filter(|l| l.starts_with("HTTP/1.1 "))
            .collect();
        match statuses.as_slice() {
            [first, second] => {
                assert!(first.starts_with("HTTP/1.1 400"), "{answer}");
                assert!(second.starts_with("HTTP/1.1 200"), "{answer}");
            }
            _ => panic!("two answers expected: {answer}"),
        }
    }

    /// As a crash would end it.
    fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop and waits until it has.
    fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
        // Its output ends when the process does.
        let end = loop {
            if let Err(end) = self.lines.recv_timeout(PATIENCE) {
                break end;
            }
        };
        assert_eq!(
            end,
            RecvTimeoutError::Disconnected,
            "it does not stop on SIGTERM"
        );
        self.child.wait().expect("it ended")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands on the lines of `from` until its end.
fn forward_lines(from: impl Read + Send + 'static, to: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    });
}
