//! The units of config/systemd, and what the program says to systemd and takes from it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use hookgate::net::Address;

use crate::engine::{ROOT, run, succeeded};
use crate::program::{Home, PROGRAM, Program};
use crate::support::app::App;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};
use crate::support::{PATIENCE, eventually};

/// The exposure that `systemd-analyze security` may find, in tenths (0 is none, 100 is all).
const EXPOSURE_MAX: u32 = 15;

/// Whether systemd's tools are here.
fn tools() -> bool {
    let mut version = Command::new("systemd-analyze");
    let there = version.arg("--version").stdout(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        println!("skipped: there is no systemd-analyze");
    }
    there
}

/// The units with the example's drop-in in a folder, with the program of this build.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for unit in ["hookgate.service", "hookgate.socket"] {
        let text =
            std::fs::read_to_string(format!("{ROOT}/config/systemd/{unit}")).expect("a unit");
        let text = text.replace("/usr/local/bin/hookgate", PROGRAM);
        std::fs::write(folder.path().join(unit), text).expect("a file");
    }
    let drop_in = folder.path().join("hookgate.service.d");
    std::fs::create_dir(&drop_in).expect("a folder");
    std::fs::copy(
        format!("{ROOT}/examples/systemd/app.conf"),
        drop_in.join("app.conf"),
    )
    .expect("a file");
    folder
}

#[test]
fn the_units_are_without_fault_and_expose_little() {
    if !tools() {
        return;
    }
    let units = units();
    let verified = run(Command::new("systemd-analyze").current_dir(&units).args([
        "verify",
        "./hookgate.service",
        "./hookgate.socket",
    ]));
    let complaints = String::from_utf8_lossy(&verified.stderr);
    // It also looks at what the machine has installed.
    let ours = complaints.lines().filter(|line| line.contains("hookgate"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(verified.status.success(), "{complaints}");

    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--no-pager", &threshold]);
    let report = succeeded(security.current_dir(&units).arg("./hookgate.service"));
    let level = report.lines().find(|line| line.contains("exposure level"));
    println!("{}", level.expect("a level"));
}

/// The system calls that a filter's set stands for.
fn set(name: &str) -> BTreeSet<String> {
    let listed =
        succeeded(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]));
    let mut calls = BTreeSet::new();
    for line in listed
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
    {
        match line.strip_prefix('@') {
            Some(_) => calls.extend(set(line)),
            None => calls.extend((!line.is_empty()).then(|| line.to_owned())),
        }
    }
    calls
}

/// The system calls that the unit's filter allows.
fn allowed() -> BTreeSet<String> {
    let unit =
        std::fs::read_to_string(format!("{ROOT}/config/systemd/hookgate.service")).expect("a unit");
    let mut allowed = BTreeSet::new();
    for filter in unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        match filter.strip_prefix('~') {
            None => allowed.extend(filter.split(' ').flat_map(set)),
            Some(denied) => denied.split(' ').flat_map(set).for_each(|call| {
                allowed.remove(&call);
            }),
        }
    }
    allowed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unit_allows_every_system_call_that_is_made() {
    let traced = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    if !tools() || !traced.is_ok_and(|status| status.success()) {
        return println!("skipped: there is no strace");
    }
    let allowed = allowed();
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let app = App::start(&home.app()).await;
    let calls = home.path().join("calls");
    let wrapper = [
        "strace",
        "-f",
        "-c",
        "-U",
        "name",
        "-o",
        &calls.display().to_string(),
    ];
    let program = home.start_under(&wrapper);
    home.ready().await;

    for n in 0..20 {
        let mut connection = Connection::open(&home.gate()).await;
        let answer = connection
            .ask(&bytes(&stripe.event(&format!("evt_{n}"))))
            .await;
        answer.acknowledged("stored");
    }
    app.received(20).await;
    home.get("/metrics").await;
    // strace hands SIGTERM on only when it is sent to the program itself.
    let below = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", program.pid()));
    let below = below.expect("the process below strace");
    succeeded(Command::new("kill").arg(below.trim()));
    assert_eq!(program.ended().await, Some(0));

    let made = std::fs::read_to_string(&calls).expect("what strace counted");
    let is_name = |line: &&str| {
        line.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut made: BTreeSet<_> = made
        .lines()
        .map(str::trim)
        .filter(is_name)
        .map(ToOwned::to_owned)
        .collect();
    // A head and a sum; and SQLite gives its files away only as root, which the service is not.
    for other in ["", "syscall", "total", "fchown"] {
        made.remove(other);
    }
    assert!(made.contains("fdatasync") && made.len() > 40, "{made:?}");
    let refused: Vec<_> = made.difference(&allowed).collect();
    assert_eq!(refused, Vec::<&String>::new());
    println!(
        "{} system calls made, all of the {} allowed",
        made.len(),
        allowed.len()
    );
}

/// What a service manager would be told, message by message.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        Self(socket)
    }

    fn told(&self) -> String {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).expect("a message in time");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_learns_of_readiness_life_and_end() {
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let app = App::start(&home.app()).await;
    let socket = home.path().join("notify");
    let manager = Manager::at(&socket);
    let notify = format!("NOTIFY_SOCKET={}", socket.display());
    let program = home.start_under(&["env", &notify, "WATCHDOG_USEC=200000"]);

    assert_eq!(manager.told(), "STATUS=opening the store\n");
    let ready = manager.told();
    let gate = home.gate();
    assert_eq!(
        ready,
        format!("READY=1\nSTATUS=taking webhooks at {gate}\n")
    );
    // Ready means ready: no second look.
    let answer = Connection::open(&gate)
        .await
        .ask(&bytes(&stripe.event("evt_1")))
        .await;
    answer.acknowledged("stored");
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    app.received(1).await;

    program.terminate();
    let mut last = manager.told();
    while last == "WATCHDOG=1\n" {
        last = manager.told();
    }
    assert_eq!(last, "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(program.ended().await, Some(0));
}

/// A gate that waits for sockets to be passed, and names them so.
fn activated(listen: &str) -> (Home, Sender) {
    let home = Home::empty();
    let stripe = Sender::new("stripe");
    let mut text = format!("server.listen = {listen}\nstore.allow_volatile = true\n");
    text += &format!(
        "admin.listen = \"{}\"\napp.url = \"{}\"\n",
        home.admin(),
        home.app()
    );
    text += &format!("store.path = \"{}\"\n", home.store().display());
    for (key, value) in stripe.settings() {
        text += &format!("{key} = \"{value}\"\n");
    }
    std::fs::write(home.path().join("hookgate.toml"), text).expect("a file");
    (home, stripe)
}

/// To a socket that is about to be opened.
async fn first_connection(held: &Address) -> Connection {
    let mut stream = None;
    eventually("the held socket", async || {
        stream = held.connect().await.ok();
        stream.is_some()
    })
    .await;
    Connection::over(stream.expect("it is open"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_systemd_holds_open_are_taken_by_their_names() {
    if !tools() {
        return;
    }
    let (home, stripe) = activated("[\"systemd:tcp\", \"systemd:unix\"]");
    let app = App::start(&home.app()).await;
    let held = Address::Unix(home.path().join("held.sock"));
    let path = home.path().join("held.sock").display().to_string();
    // It does not take port 0, so the address is what nobody else has.
    let [.., high, low] = std::process::id().to_be_bytes();
    let port = format!("127.77.{high}.{low}:8080");
    // It forgets the environment, and so the settings there: those of the file count.
    let wrapper = [
        "systemd-socket-activate",
        "-l",
        &path,
        "-l",
        &port,
        "--fdname=unix:tcp",
    ];
    let program = home.start_under(&wrapper);

    // The connection is what starts the program; until then it waits.
    first_connection(&held)
        .await
        .ask(&bytes(&stripe.event("evt_1")))
        .await
        .acknowledged("stored");

    let status = home.get("/api/v1/status").await.json();
    let listen: Vec<_> = status["listen"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|url| url.as_str())
        .collect();
    assert_eq!(listen.len(), 2, "{status}");
    assert_eq!(listen[0], format!("http://{port}"));
    let tcp: Address = listen[0]
        .trim_start_matches("http://")
        .parse()
        .expect("the address of the socket");
    assert_eq!(listen[1], held.to_string());
    let answer = Connection::open(&tcp)
        .await
        .ask(&bytes(&stripe.event("evt_2")))
        .await;
    answer.acknowledged("stored");
    app.received(2).await;
    program.terminate();
    assert_eq!(program.ended().await, Some(0));
    assert!(
        home.path().join("held.sock").exists(),
        "the file is systemd's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_was_not_passed_is_named_with_those_that_were() {
    let (home, _) = activated("\"systemd:webhooks\"");
    let mut command = Command::new(PROGRAM);
    command.arg("run").current_dir(home.path());
    let none = run(&mut command);
    let said = String::from_utf8_lossy(&none.stderr);
    assert_eq!(none.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "server.listen = \"systemd:webhooks\": no socket of this name was passed (none was)"
        ),
        "{said}"
    );

    if !tools() {
        return;
    }
    let path = home.path().join("held.sock").display().to_string();
    let program = home.start_under(&["systemd-socket-activate", "-l", &path, "--fdname=other"]);
    let _waiting = first_connection(&Address::Unix(path.into())).await;
    assert_eq!(program.ended().await, Some(1));
    let log = home.log();
    assert!(log.contains("(there are other)"), "{log}");
}

/// Passes its standard input as systemd does: as descriptor 3, with a name, to this very process.
const PASSING: &str =
    "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=webhooks; exec 3<&0 \"$@\" </dev/null";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_comes_during_a_restart_waits_and_is_answered() {
    let stripe = Sender::new("stripe");
    let mut home = Home::new(&stripe);
    home.set("server.listen", "systemd:webhooks");
    let app = App::start(&home.app()).await;
    let path = home.path().join("held.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let start = || {
        let mut command = home.command(&["sh", "-c", PASSING, "sh"]);
        let socket = socket.try_clone().expect("another descriptor");
        command
            .arg("run")
            .stdin(OwnedFd::from(socket))
            .stderr(Stdio::null());
        command.spawn().map(Program::from).expect("it starts")
    };
    let event = |n: u32| bytes(&stripe.event(&format!("evt_{n}")));
    let held = Address::Unix(path);

    let first = start();
    let mut connection = Connection::open(&held).await;
    connection.ask(&event(1)).await.acknowledged("stored");
    first.terminate();
    assert_eq!(first.ended().await, Some(0));
    let mut waiting = Connection::open(&held).await;
    waiting.write(&event(2)).await;
    let second = start();

    waiting.answer().await.acknowledged("stored");
    app.received(2).await;
    second.terminate();
    assert_eq!(second.ended().await, Some(0));
}

#[test]
fn a_connection_that_was_passed_for_a_socket_is_refused_at_once() {
    let (home, _) = activated("\"systemd:webhooks\"");
    let (_ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut command = home.command(&["sh", "-c", PASSING, "sh"]);
    let command = command.arg("run").stdin(OwnedFd::from(theirs));
    let ended = run(command);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("leave Accept=yes out of its unit"), "{said}");
}
