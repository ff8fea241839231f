//! What the store's directory lies on, and so what an acknowledged event survives.
//!
//! The kernel's list of mounts tells it: the file system, and the directory of it that is mounted, which for a
//! volume of Kubernetes or of a container engine is a path of the host with a name that gives it away. What
//! cannot be told is said to be unknown; nothing is guessed, and nothing is decided by it. What is refused is
//! decided by the file system alone (`embedded::volatile`).

mod mount;

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use mount::Mount;

/// File systems that are kept in memory.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// File systems of other machines.
const NETWORK: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "afs",
    "lustre",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.ceph-fuse",
];

/// File systems that container engines lay over an image.
const LAYERED: [&str; 3] = ["overlay", "fuse.fuse-overlayfs", "aufs"];

/// File systems of a local disk.
const LOCAL: [&str; 9] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs",
];

/// What a directory lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    filesystem: Arc<str>,
    kind: VolumeKind,
}

/// Kinds of places, by what they outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// A file system in memory, an emptyDir with `medium: Memory` among them.
    Memory,
    /// A file system of another machine.
    Network,
    /// An overlay that was told to leave out flushes.
    Unsynced,
    /// The layer above a container's image.
    ContainerLayer,
    /// An emptyDir of Kubernetes, on the node's disk.
    EmptyDir,
    /// A volume of a pod of which the mounts do not say whether it outlives the pod.
    PodVolume,
    /// A volume that a container engine made without being given a name.
    AnonymousVolume,
    /// A named volume of a container engine.
    NamedVolume,
    /// A directory of the host, mounted into a container or a pod.
    HostDirectory,
    /// A directory on a disk of this machine, outside of any container.
    LocalDisk,
    /// None that is known.
    Unknown,
}

impl VolumeKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Memory,
        Self::Network,
        Self::Unsynced,
        Self::ContainerLayer,
        Self::EmptyDir,
        Self::PodVolume,
        Self::AnonymousVolume,
        Self::NamedVolume,
        Self::HostDirectory,
        Self::LocalDisk,
        Self::Unknown,
    ];

    /// The word for metrics and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Unsynced => "unsynced",
            Self::ContainerLayer => "container_layer",
            Self::EmptyDir => "empty_dir",
            Self::PodVolume => "pod_volume",
            Self::AnonymousVolume => "anonymous_volume",
            Self::NamedVolume => "named_volume",
            Self::HostDirectory => "host_directory",
            Self::LocalDisk => "local_disk",
            Self::Unknown => "unknown",
        }
    }

    /// For people: what it is.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Network => "another machine",
            Self::Unsynced => "an overlay that leaves out flushes",
            Self::ContainerLayer => "the container's own layer",
            Self::EmptyDir => "an emptyDir of the pod",
            Self::PodVolume => "a volume of the pod",
            Self::AnonymousVolume => "an anonymous volume of the container",
            Self::NamedVolume => "a named volume of the container engine",
            Self::HostDirectory => "a directory of the host",
            Self::LocalDisk => "a disk of this machine",
            Self::Unknown => "a place that cannot be told",
        }
    }

    /// For people: what survives what, if what is flushed there is kept.
    #[must_use]
    pub fn survives(self) -> &'static str {
        match self {
            Self::Memory | Self::Unsynced => {
                "survives a crash of the program, and is lost with the power, the pod and the machine"
            }
            Self::Network => {
                "survives what that machine survives; whether it keeps what it flushed cannot be told"
            }
            Self::ContainerLayer => {
                "survives a crash of the program only while the container stays, and in Kubernetes not even that"
            }
            Self::EmptyDir => {
                "survives crashes, and a power cut if the pod stays on its node; it is lost when the pod is deleted or \
                 evicted, or the node is lost"
            }
            Self::PodVolume => {
                "survives crashes and power cuts; whether it outlives the pod cannot be told: a persistent claim does, an \
                 ephemeral volume does not"
            }
            Self::AnonymousVolume => {
                "survives crashes and power cuts; a container that is made anew may start without it"
            }
            Self::NamedVolume => {
                "survives crashes, power cuts and the end of the container; it is lost with the host's disk"
            }
            Self::HostDirectory => {
                "survives crashes, power cuts and the end of the container or pod, which finds it again on the same host \
                 only; it is lost with the host's disk"
            }
            Self::LocalDisk => "survives crashes and power cuts; it is lost with the disk",
            Self::Unknown => "survives crashes of the program; what else cannot be told",
        }
    }

    /// Whether what is pending there may be gone although no disk was lost: a deployment is enough.
    #[must_use]
    pub fn may_go_with_its_owner(self) -> bool {
        match self {
            Self::Memory
            | Self::Unsynced
            | Self::ContainerLayer
            | Self::EmptyDir
            | Self::AnonymousVolume => true,
            Self::Network
            | Self::PodVolume
            | Self::NamedVolume
            | Self::HostDirectory
            | Self::LocalDisk
            | Self::Unknown => false,
        }
    }
}

impl Volume {
    /// What a path lies on, or would lie on: it need not exist.
    #[must_use]
    pub fn under(path: &Path) -> Self {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let mut opened = whole
            .ancestors()
            .map(|path| rustix::fs::open(path, flags, Mode::empty()));
        let mount = opened.find_map(Result::ok).and_then(|at| mount_id(&at));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo");
        match (mounts, mount) {
            (Ok(mounts), Some(mount)) => Self::of(&mounts, mount),
            _ => Self::unknown(),
        }
    }

    /// Where it cannot be told, or is no disk of the system's.
    pub(super) fn unknown() -> Self {
        Self {
            filesystem: "unknown".into(),
            kind: VolumeKind::Unknown,
        }
    }

    /// What the mount with this number is, in the text of `/proc/self/mountinfo`.
    fn of(mounts: &str, number: u64) -> Self {
        let mounts: Vec<_> = mounts.lines().filter_map(Mount::read).collect();
        match mounts.iter().find(|mount| mount.number == number) {
            Some(mount) => Self {
                filesystem: mount.filesystem.into(),
                kind: kind(mount, &Surroundings::of(&mounts)),
            },
            None => Self::unknown(),
        }
    }

    /// The file system's name in the list of mounts, such as `ext4`.
    #[must_use]
    pub fn filesystem(&self) -> &str {
        &self.filesystem
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> VolumeKind {
        self.kind
    }
}

/// The number of the mount that an open file is on; the kernel says it in `fdinfo`.
fn mount_id(file: &OwnedFd) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let facts = std::fs::read_to_string(path).ok()?;
    let mut lines = facts.lines();
    lines.find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// Where the process runs, as far as its mounts show it.
struct Surroundings<'a> {
    /// In a pod: the disk of the node on which the kubelet keeps what is the pod's.
    node: Option<&'a str>,
    in_container: bool,
}

impl<'a> Surroundings<'a> {
    fn of(mounts: &[Mount<'a>]) -> Self {
        let at = |point: &str| mounts.iter().any(|mount| mount.point == point);
        let of_kubelet = |mount: &&Mount<'_>| {
            let is_file = match mount.point {
                "/etc/hosts" => mount.root.ends_with("/etc-hosts"),
                "/dev/termination-log" => mount.root.contains("/containers/"),
                _ => false,
            };
            is_file && mount.root.contains("/pods/")
        };
        let node = mounts.iter().find(of_kubelet).map(|mount| mount.device);
        let layered = |mount: &Mount<'_>| mount.point == "/" && LAYERED.contains(&mount.filesystem);
        Self {
            node,
            // Engines mount these three files into every container.
            in_container: node.is_some()
                || mounts.iter().any(layered)
                || ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
                    .into_iter()
                    .all(at),
        }
    }
}

fn kind(mount: &Mount<'_>, around: &Surroundings<'_>) -> VolumeKind {
    let is_one_of = |names: &[&str]| names.contains(&mount.filesystem);
    if is_one_of(&IN_MEMORY) {
        return VolumeKind::Memory;
    }
    if is_one_of(&NETWORK) {
        return VolumeKind::Network;
    }
    // The kernel has two spellings, by its age.
    if is_one_of(&LAYERED) && (mount.has_option("volatile") || mount.has_option("fsync=volatile")) {
        return VolumeKind::Unsynced;
    }
    if mount.point == "/" && around.in_container {
        return VolumeKind::ContainerLayer;
    }
    // Before volumes of engines: a node may itself be a container with such a volume.
    if mount.root.contains("/volumes/kubernetes.io~empty-dir/") {
        return VolumeKind::EmptyDir;
    }
    if mount.root.contains("/volumes/kubernetes.io~") {
        return VolumeKind::PodVolume;
    }
    if around.in_container
        && let Some(name) = mount.engine_volume()
    {
        let is_made_up = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if is_made_up {
            VolumeKind::AnonymousVolume
        } else {
            VolumeKind::NamedVolume
        };
    }
    if !is_one_of(&LOCAL) {
        return VolumeKind::Unknown;
    }
    match around.node {
        // A disk of its own: a claim's, or one more of the node's.
        Some(node) if node != mount.device => VolumeKind::PodVolume,
        _ if around.in_container => VolumeKind::HostDirectory,
        _ => VolumeKind::LocalDisk,
    }
}

#[cfg(test)]
mod tests;
