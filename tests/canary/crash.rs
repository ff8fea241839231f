//! What a crash leaves behind.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::Home;

/// Whether a crash of the program, started with these arguments, leaves a core dump.
async fn dumps_core(arguments: &str) -> bool {
    let home = Home::empty();
    let program = home.command::<&str>(&[]);
    let mut shell = std::process::Command::new("sh");
    let line = format!(
        "ulimit -c unlimited; exec {:?} run {arguments}",
        program.get_program()
    );
    shell.args(["-c", &line]).current_dir(home.path());
    shell.envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = shell.spawn().expect("a shell");
    home.ready().await;
    kill_process(Pid::from_child(&child), Signal::ABORT).expect("it still runs");
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    status.core_dumped()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_no_memory_behind_unless_that_is_asked_for() {
    assert!(!dumps_core("").await);
    if !dumps_core("--core-dumps").await {
        println!("core dumps: this machine writes none, so that there was nothing to refuse");
    }
}
