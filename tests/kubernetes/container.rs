//! What the added container says is what the program understands: it is started with the very variables and asked
//! with the very commands, at other places.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hookgate::kubernetes::Tree;
use hookgate::kubernetes::defaults::Defaults;
use hookgate::kubernetes::inject::{Surroundings, inject};

use crate::{patched, tree};

const POD: &str = "kind: Pod\nmetadata:\n  annotations: {hookgate.dev/sources: 'stripe=stripe,my-gh=github', hookgate.dev/secrets: s, hookgate.dev/config: c}\nspec:\n  containers: [{name: app, image: a}]\n";

/// The container in a directory instead of a pod.
struct Pod {
    place: tempfile::TempDir,
    container: Tree,
}

impl Pod {
    fn new() -> Self {
        Self::with("")
    }

    /// With more in its `[store]`.
    fn with(store: &str) -> Self {
        let pod = tree(POD);
        let surroundings = Surroundings {
            minor: 33,
            is_job: false,
        };
        let injection = inject(&pod, &Defaults::default(), surroundings).expect("an injection");
        let pod = patched(&pod, &injection.operations);
        let container = pod
            .find("/spec/initContainers/0")
            .expect("a container")
            .clone();
        let place = tempfile::tempdir().expect("a directory");
        for folder in ["secrets", "events", "etc"] {
            std::fs::create_dir(place.path().join(folder)).expect("a folder");
        }
        // Where temporary files are kept in memory, a store must be told that this is meant.
        let config = format!("[store]\nallow_volatile = true\n{store}");
        for (file, text) in [
            ("secrets/stripe", "whsec_abcdefgh"),
            ("secrets/my-gh", "a-secret-of-github"),
            ("etc/hookgate.toml", &*config),
        ] {
            std::fs::write(place.path().join(file), text).expect("a file");
        }
        Self { place, container }
    }

    /// The program with the container's variables.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .env_clear()
            .args(arguments)
            .current_dir(self.place.path());
        for variable in self
            .container
            .get("env")
            .map(Tree::list)
            .unwrap_or_default()
        {
            let value = variable.get("value").and_then(Tree::text).expect("a value");
            command.env(variable.name().expect("a name"), self.moved(value));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A path or an address of the pod, here.
    fn moved(&self, value: &str) -> String {
        let here = |name: &str| self.place.path().join(name).display().to_string();
        match value {
            "0.0.0.0:9602" => format!("unix:{}", here("gate.sock")),
            "0.0.0.0:9600" => format!("unix:{}", here("ops.sock")),
            "127.0.0.1:9601" => format!("unix:{}", here("admin.sock")),
            _ => value
                .replace("/run/secrets/hookgate", &here("secrets"))
                .replace("/var/lib/hookgate", &here("events"))
                .replace("/etc/hookgate", &here("etc"))
                .replace("/run/hookgate", &here(".")),
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// The gate, as the container starts it.
    fn start(&self) -> Gate {
        let arguments = self.container.get("args").map(Tree::list);
        let arguments = arguments.unwrap_or_default().iter();
        let arguments: Vec<_> = arguments.filter_map(Tree::text).collect();
        Gate(self.command(&arguments).spawn().expect("it starts"))
    }

    /// What the kubelet learns by one of the container's probes; nothing while nobody listens.
    fn probe(&self, probe: &str) -> Option<String> {
        let path = self.container.at(&[probe, "httpGet", "path"]);
        let path = path.and_then(Tree::text).expect("a path");
        let mut stream = UnixStream::connect(self.place.path().join("ops.sock")).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1).map(str::to_owned)
    }
}

/// Ends with the test.
struct Gate(Child);

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_container_starts_is_healthy_and_drains_with_what_it_was_given() {
    let pod = Pod::new();
    let checked = pod.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    for source in [
        "source stripe: POST /webhooks/stripe",
        "source my-gh: POST /webhooks/my-gh",
    ] {
        assert!(said.contains(source), "{said}");
    }

    let mut gate = pod.start();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !pod.run(&["healthcheck"]).status.success() {
        assert!(Instant::now() < deadline && gate.0.try_wait().expect("a process").is_none());
    }
    assert!(Path::new(&pod.place.path().join("ops.sock")).exists());

    let hook = pod
        .container
        .at(&["lifecycle", "preStop", "exec", "command"]);
    let hook: Vec<_> = hook
        .map(Tree::list)
        .unwrap_or_default()
        .iter()
        .filter_map(Tree::text)
        .collect();
    let (program, hook) = hook.split_first().expect("a command");
    assert_eq!(*program, "/hookgate");
    let drained = pod.run(hook);
    assert!(
        drained.status.success(),
        "{}",
        String::from_utf8_lossy(&drained.stderr)
    );
    // It must not end by that: Kubernetes would start it again.
    assert!(gate.0.try_wait().expect("a process").is_none());
    assert!(!pod.run(&["healthcheck"]).status.success());
    assert!(pod.run(&["healthcheck", "--live"]).status.success());
}

/// Kubernetes starts an app only when the startup probe of a native sidecar before it succeeds. With a probe of /readyz a
/// full store kept the app away that would have emptied it.
#[test]
fn a_gate_whose_store_is_full_lets_the_app_start() {
    let pod = Pod::with("low_space = \"1000000GiB\"\n"); // more than any disk has
    let mut gate = pod.start();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut said = || {
        assert!(Instant::now() < deadline && gate.0.try_wait().expect("a process").is_none());
        ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| pod.probe(probe))
    };
    let wanted = ["200", "503", "200"].map(|status| Some(status.to_owned()));
    let is_open = || pod.run(&["events", "list"]).status.success();
    while !is_open() {
        said();
    }
    assert_eq!(said(), wanted);
}
