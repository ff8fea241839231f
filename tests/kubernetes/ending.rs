//! How the process of an injector ends: a rollout leaves no moment in which API servers meet nobody.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hookgate::net::Address;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::injector::{ask_at, certify, exchange, pod, question};

const DEADLINE: Duration = Duration::from_secs(30);

/// `hookgate injector` as a process, which listens in a directory.
struct Program {
    place: TempDir,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(drain: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        certify(place.path());
        let child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .env_clear()
            .current_dir(place.path())
            .args([
                "injector",
                "--listen=unix:reviews.sock",
                "--ops=unix:ops.sock",
            ])
            .args(["--tls-certificate=tls.crt", "--tls-key=tls.key"])
            .args([
                "--kube-version=1.33",
                "--set=image=gate:1",
                "--drain",
                drain,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut program = Self { place, child };
        program.says(Some(StatusCode::OK)).await;
        program
    }

    fn address(&self, socket: &str) -> Address {
        let path = self.place.path().join(socket);
        format!("unix:{}", path.display())
            .parse()
            .expect("an address")
    }

    /// What a readiness probe hears; nothing where nobody answers.
    async fn readiness(&self) -> Option<StatusCode> {
        let stream = self.address("ops.sock").connect().await.ok()?;
        let (status, _) = exchange(TokioIo::new(stream), "GET", "/readyz", Vec::new()).await;
        Some(status)
    }

    /// Waits until a readiness probe hears that.
    async fn says(&mut self, wanted: Option<StatusCode>) {
        let deadline = Instant::now() + DEADLINE;
        while self.readiness().await != wanted {
            let ended = self.child.try_wait().expect("a process");
            assert!(Instant::now() < deadline && ended.is_none(), "{ended:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn review(&self) -> (StatusCode, String) {
        let body = question(&pod()).to_string().into_bytes();
        let address = self.address("reviews.sock");
        ask_at(&address, self.place.path(), "POST", "/inject", body).await
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
    }

    async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a process") {
                return status;
            }
            assert!(Instant::now() < deadline, "it still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The Service hears of an end seconds after the process does, and API servers that meet nobody start pods without a gate.
#[tokio::test]
async fn who_comes_after_sigterm_is_answered_until_the_drain_is_over() {
    let mut program = Program::start("2").await;
    let told = Instant::now();
    program.terminate();
    program.says(Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    let mut answered = 0;
    while told.elapsed() < Duration::from_secs(1) {
        let (status, answer) = program.review().await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer.contains("\"patchType\":\"JSONPatch\""), "{answer}");
        answered += 1;
    }
    assert!(answered > 0);
    let status = program.end().await;
    assert!(status.success(), "{status}");
    assert!(told.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start("3600").await;
    program.terminate();
    program.says(Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    program.terminate();
    let status = program.end().await;
    assert!(status.success(), "{status}");
}
