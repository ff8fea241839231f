//! examples/podman/pod.yaml: app and gate in two containers that share a socket.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::engine::{Engine, Pod, eventually, run};

/// Events that must have been taken before somebody says stop.
const UNDER_WAY: usize = 60;

/// Who was told 200, by the event's id.
#[derive(Default)]
struct Told {
    taken: Mutex<BTreeSet<String>>,
    /// Refused, with 503.
    refused: Mutex<u32>,
    enough: AtomicBool,
}

impl Told {
    fn hear(&self, line: &str) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("200") => {
                let id = words.next_back().expect("an id").to_owned();
                assert!(self.taken().insert(id), "new events have new ids");
            }
            Some("503") => *self.refused.lock().expect("no panic") += 1,
            _ => panic!("an answer that is neither 200 nor 503: {line}"),
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.taken.lock().expect("no panic")
    }

    /// Sends from inside the pod until it has been told that it is enough: the gate may end meanwhile.
    fn load(&self, pod: &Pod<'_>) {
        while !self.enough.load(Ordering::Relaxed) {
            pod.send(1000, "127.0.0.1", |line| self.hear(line));
        }
    }

    /// Two senders at once while `then` happens, after the first events have been taken.
    fn during<T>(&self, pod: &Pod<'_>, then: impl FnOnce() -> T) -> T {
        let before = self.taken().len();
        self.enough.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| self.load(pod));
            }
            eventually("the first events", || {
                self.taken().len() >= before + UNDER_WAY
            });
            let result = then();
            self.enough.store(true, Ordering::Relaxed);
            result
        })
    }
}

#[test]
fn a_pod_hands_on_what_is_signed_and_loses_nothing_when_it_is_stopped_or_drained() {
    let Some(engine) = Engine::with_image() else {
        return;
    };
    engine.with_app_image();
    let pod = engine.play();
    pod.ready();
    is_hardened(&pod);
    let told = Told::default();

    // Signed, and not: only the first reaches the app.
    assert!(pod.send(1, "127.0.0.1", |line| told.hear(line)));
    let send = [
        "send",
        "--provider=stripe",
        "--secret=whsec_another",
        "--to=http://127.0.0.1:8080/webhooks/stripe",
    ];
    let forged = run(&mut pod.hookgate(&send));
    assert!(
        !forged.status.success() && String::from_utf8_lossy(&forged.stdout).starts_with("401"),
        "{forged:?}"
    );
    eventually("the delivery", || !pod.received().is_empty());
    assert_eq!(
        pod.received(),
        told.taken().iter().cloned().collect::<Vec<_>>()
    );

    // Stopped under load, with an app that takes nothing: all of it is in the store.
    std::fs::write(pod.beside_the_socket("refuse"), "").expect("a file");
    let code = told.during(&pod, || pod.stop());
    assert_eq!(code, 0, "the gate ends in order");
    pod.start();
    let waiting = told.taken().len() - 1;
    assert_eq!(pod.received().len(), 1, "the app took none");
    // One that was stored while its sender went away was answered to nobody.
    let pending = usize::try_from(pod.pending()).expect("a number");
    assert!(pending >= waiting, "{pending} of {waiting} are there");

    // Drained under load, as the preStop hook does it, with the backlog there is.
    std::fs::remove_file(pod.beside_the_socket("refuse")).expect("the file");
    let drained = told.during(&pod, || {
        run(&mut pod.hookgate(&["drain", "--wait", "--timeout", "60"]))
    });
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(pod.pending(), 0);
    let received: BTreeSet<_> = pod.received().into_iter().collect();
    let lost: Vec<_> = told.taken().difference(&received).cloned().collect();
    assert_eq!(lost, Vec::<String>::new());
    assert!(
        !pod.send(1, "127.0.0.1", |line| told.hear(line)),
        "new ones are refused"
    );
    let refused = *told.refused.lock().expect("no panic");
    assert!(refused > 0);
    assert_eq!(pod.stop(), 0);
    println!(
        "{} events taken ({waiting} before the stop, {pending} found again), {} at the app, {refused} refused while it drained, 0 lost",
        told.taken().len(),
        received.len()
    );
}

/// Both containers run as nobody in particular, who may do nothing.
fn is_hardened(pod: &Pod<'_>) {
    for container in ["app-hookgate", "app-app"] {
        let process = pod.process(container);
        let status = std::fs::read_to_string(process.join("status")).expect("its status");
        for fact in [
            "Uid:\t65532\t65532\t65532\t65532",
            "Gid:\t65532\t65532\t65532\t65532",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(fact), "{container}: {fact}: {status}");
        }
        let mounts = std::fs::read_to_string(process.join("mountinfo")).expect("its mounts");
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(4) == Some("/"));
        let options = root
            .and_then(|line| line.split(' ').nth(5))
            .expect("a root");
        assert!(
            options.split(',').any(|option| option == "ro"),
            "{container}: {options}"
        );
    }
}

#[test]
fn names_are_resolved_in_an_image_without_a_libc() {
    let Some(engine) = Engine::with_image() else {
        return;
    };
    let app = engine.with_app_image();
    let pod = engine.play();
    pod.ready();
    // A name server in the pod's network; root may listen on port 53.
    let id = pod.process("app-hookgate");
    let id = id
        .file_name()
        .expect("a process")
        .to_string_lossy()
        .into_owned();
    let mut names = Command::new("nsenter");
    names
        .args(["--net", "--target", &id])
        .arg(app)
        .stdin(Stdio::null());
    let mut names = names
        .env("APP_SOCKET", engine.path("unused.sock"))
        .spawn()
        .expect("nsenter");

    // From the file of hosts that the runtime puts there, and from the name server.
    let from_hosts = pod.send(1, "localhost", |_| ());
    let mut from_server = false;
    eventually("an answer of the name server", || {
        from_server = pod.send(1, "gate.example.net", |_| ());
        from_server
    });
    names.kill().expect("it runs");
    names.wait().expect("it ends");
    assert!(from_hosts && from_server);
}
