//! Disks to be spoiled: file systems in a mount namespace of their own, which nobody else sees and which
//! is gone with the test, however it ends.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::program::Home;

/// A shell in a mount namespace of its own, and one file system in it.
pub(crate) struct Disk {
    shell: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
    pub(crate) path: PathBuf,
}

/// What the system does with the journal of a file system when the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// What was logged in memory still reaches the disk; data does not.
    JournalWritten = 1,
    /// Nothing more reaches the disk.
    NothingWritten = 2,
}

/// Where the image of a file system is, below the one that is used.
const IMAGE: &str = "below/image";
/// `_IOR('X', 125, u32)`: the file system ends as if the power had gone. Never another one than ours.
const CUT: &str = r#"findmnt -nro SOURCE disk | grep -q ^/dev/loop &&
    perl -e 'open(my $disk, "<", "disk") or die $!;
        ioctl($disk, 0x8004587d, my $how = pack("L", $ARGV[0])) or die $!'"#;

impl Disk {
    /// Where the file system of `home`'s store will be; says what is missing where that is not possible.
    pub(crate) fn in_namespace(home: &mut Home) -> Option<Self> {
        let path = home.path().join("disk");
        std::fs::create_dir(&path).expect("a mount point");
        home.set("store.path", &path.join("store").display().to_string());
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh"])
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let Ok(mut shell) = command.spawn() else {
            return skipped("there is no unshare");
        };
        let orders = shell.stdin.take().expect("a pipe");
        let replies = BufReader::new(shell.stdout.take().expect("a pipe"));
        let mut disk = Self {
            shell,
            orders,
            replies,
            path,
        };
        match disk.order("true") {
            Ok(()) => Some(disk),
            Err(_) => skipped("no mount namespace of its own (it needs root)"),
        }
    }

    /// A file system in memory; says why where that is not possible.
    pub(crate) fn in_memory(home: &mut Home, size: &str) -> Option<Self> {
        let mut disk = Self::in_namespace(home)?;
        match disk.order(&format!("mount -t tmpfs -o size={size} tmpfs disk")) {
            Ok(()) => Some(disk),
            Err(why) => skipped(&why),
        }
    }

    /// A file system of this kind, in a sparse image, in this much memory; says why where that is not
    /// possible.
    pub(crate) fn in_image(home: &mut Home, kind: &str, memory: &str) -> Option<Self> {
        let mut disk = Self::in_namespace(home)?;
        // A file system that promises to keep what it flushed.
        home.set("store.allow_volatile", "false");
        // The smallest that XFS takes.
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let made = disk.order(&format!(
            "mkdir below && mount -t tmpfs -o size={memory} tmpfs below && truncate -s 300M {IMAGE} \
             && mkfs.{kind} -q {force} {IMAGE} && command -v perl"
        ));
        match made.and_then(|()| disk.mount()) {
            Ok(()) => Some(disk),
            Err(why) => skipped(&why),
        }
    }

    fn mount(&mut self) -> Result<(), String> {
        self.order(&format!("mount -o loop {IMAGE} disk"))
    }

    /// Runs a command in the namespace, in the home directory.
    pub(crate) fn order(&mut self, command: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{command}: {error}");
        writeln!(
            self.orders,
            "said=$({{ {command}; }} 2>&1 </dev/null); echo $? $said"
        )
        .map_err(failed)?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply).map_err(failed)?;
        match reply.trim().split_once(' ') {
            None if reply.trim() == "0" => Ok(()),
            Some(("0", _)) => Ok(()),
            _ => Err(format!("{command}: {reply}")),
        }
    }

    /// The command that starts the program where the file system is.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.shell.id());
        vec!["nsenter".to_owned(), namespace]
    }

    /// The same place as seen from outside.
    pub(crate) fn seen(&self) -> PathBuf {
        self.outside(&self.path)
    }

    /// Where the image is, as seen from outside.
    pub(crate) fn below(&self) -> PathBuf {
        self.outside(&self.path.with_file_name("below"))
    }

    fn outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.shell.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// The power goes: what was not flushed is gone.
    pub(crate) fn cut(&mut self, how: Cut) {
        let flag = how as u32;
        self.order(&format!("{CUT} {flag}")).expect("a cut");
    }

    /// The power is back: the journal is replayed.
    pub(crate) fn restore(&mut self) {
        self.order("umount disk").expect("nobody uses it");
        self.mount().expect("it can be mounted again");
    }

    /// Fills it up until this much is left.
    pub(crate) fn fill(&self, left: u64) {
        fill(&self.seen().join("filler"), left);
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.seen().join("filler")).expect("the filler");
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        free_bytes(&self.seen())
    }
}

pub(crate) fn free_bytes(directory: &Path) -> u64 {
    let facts = rustix::fs::statvfs(directory).expect("its size");
    facts.f_bavail * facts.f_frsize
}

/// Writes a file so large that only this much is left on its disk; less if others write there too.
pub(crate) fn fill(file: &Path, left: u64) {
    let free = free_bytes(file.parent().expect("a directory"));
    let filler = vec![0; usize::try_from(free.saturating_sub(left)).expect("small")];
    match std::fs::write(file, filler) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        written => written.expect("a filler"),
    }
}

/// Says so in one line.
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    println!("SKIPPED: {}", why.trim());
    None
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Mounts and loop devices go with the last process of the namespace.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
