//! `hookgate run` with one Stripe source, in a directory of its own, in front of an app that takes
//! everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What the README calls the secret.
pub(crate) const SECRET: &str = "whsec_from_your_dashboard";

/// A running gate.
pub(crate) struct Gate {
    place: TempDir,
    child: Child,
    log: Option<JoinHandle<Vec<String>>>,
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) app: String,
}

impl Gate {
    pub(crate) fn start() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        // The secret comes from the environment.
        let file = place.path().join("hookgate.toml");
        std::fs::write(file, "[sources.stripe]\nprovider = \"stripe\"\n").expect("a file");
        let app = app();
        let mut command = command(&place);
        command.args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--source",
            "stripe=stripe",
            "--app",
            &app,
        ]);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut address_in = |message: &str| {
            let line = lines
                .by_ref()
                .map(|line| line.expect("a line"))
                .find(|line| line.contains(message))
                .expect("the gate says where it listens");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let address = line.get("address").and_then(|address| address.as_str());
            address.expect("an address").to_owned()
        };
        let listen = address_in("\"taking webhooks\"");
        let admin = address_in("\"admin\"");
        // Nobody may fill the pipe while the gate runs.
        let log = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Self {
            place,
            child,
            log: Some(log),
            listen,
            admin,
            app,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program beside the gate, in its directory and environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = command(&self.place);
        command.env("HOOKGATE_ADMIN", &self.admin);
        command
    }

    /// What the admin listener answers to a GET.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).expect("the admin listener");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(request.as_bytes()).expect("a listener");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Ends it in order, as an operator would; the lines it logged after its start.
    pub(crate) fn stop(mut self) -> Vec<String> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("a running process");
        assert!(self.child.wait().expect("an end").success());
        let log = self.log.take().expect("not taken yet");
        log.join().expect("a log")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Of a test that failed; otherwise it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(place: &TempDir) -> Command {
    let mut command = super::hookgate(place);
    command.env("HOOKGATE__SOURCES__STRIPE__SECRET", SECRET);
    command.env("HOOKGATE__ADMIN__LISTEN", "127.0.0.1:0");
    command.env("HOOKGATE__SERVER__DRAIN__ACCEPT_FOR", "0s");
    // The temporary directory of some machines is kept in memory.
    command.env("HOOKGATE__STORE__ALLOW_VOLATILE", "true");
    command
}

/// An app that answers 200 to everything, one connection after the other, until the test ends.
fn app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}
