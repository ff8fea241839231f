//! What the system does for these tests: a network of many addresses, a limit on memory, and figures
//! about a process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// All addresses of this network are this machine's inside [`in_own_network`].
pub(crate) const NETWORK: &str = "198.18.0.0/16";
/// The variable that tells a test that it runs inside.
const INSIDE: &str = "HOOKGATE_TEST_INSIDE";

/// Runs the test with this name again in a network namespace of its own, where whole networks are
/// local, so that peers have addresses that are not loopback; true inside. It says so when the
/// machine does not allow it.
pub(crate) fn in_own_network(test: &str) -> bool {
    if crate::size("INSIDE", 0) == 1 {
        return true;
    }
    let prepare = format!("ip link set lo up && ip route add local {NETWORK} dev lo");
    let possible = Command::new("unshare")
        .args(["--net", "sh", "-c", &prepare])
        .output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped {test}: no network namespaces here (needs root, unshare and ip)");
        return false;
    }
    let program = std::env::current_exe().expect("this program");
    let script = format!("{prepare} && exec \"$0\" \"$@\"");
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.expect("it runs").success(), "see above");
    false
}

/// A group of processes with a limit on their memory; removed when dropped.
pub(crate) struct Cgroup {
    path: PathBuf,
    unified: bool,
}

impl Cgroup {
    pub(crate) fn new(mib: usize) -> Option<Self> {
        let name = format!("hookgate-test-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers"));
        let unified = controllers.is_ok_and(|list| list.contains("memory"));
        let path = match unified {
            true => root.join(name),
            false => root.join("memory").join(name),
        };
        let limit = if unified {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let made = std::fs::create_dir(&path)
            .and_then(|()| std::fs::write(path.join(limit), format!("{mib}M")));
        let cgroup = Self { path, unified };
        match made {
            Ok(()) => Some(cgroup),
            Err(error) => {
                println!("skipped: no group with a memory limit here ({error})");
                None
            }
        }
    }

    /// The command that puts a program into the group before it has used any memory.
    pub(crate) fn around(&self) -> [String; 4] {
        let tasks = self.path.join("cgroup.procs").display().to_string();
        let script = r#"echo $$ >"$0" && exec "$@""#;
        ["sh".into(), "-c".into(), script.into(), tasks]
    }

    /// The most memory it has used, file cache included, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        let name = if self.unified {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        let text = std::fs::read_to_string(self.path.join(name)).unwrap_or_default();
        text.trim().parse::<f64>().unwrap_or(f64::NAN) / 1048576.0
    }

    pub(crate) fn killed(&self) -> usize {
        let name = if self.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = std::fs::read_to_string(self.path.join(name)).expect("its events");
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        count.expect("a count")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Open descriptors of a process.
pub(crate) fn descriptors(process: u32) -> usize {
    let list = std::fs::read_dir(format!("/proc/{process}/fd"));
    list.expect("its descriptors").count()
}

/// A line of `/proc/PROCESS/FILE`, such as `VmHWM` of `status` in KiB.
pub(crate) fn figure(process: u32, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).expect("its figures");
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.expect("a value").parse().expect("a number")
}
