//! Lists of mounts as they are found in containers and pods, shortened to what matters.

use super::*;

/// A pod on a node with containerd and one disk.
const POD: &str = "\
2631 1985 0:334 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/s/1/fs,upperdir=/u,workdir=/w
2632 2631 0:336 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
2633 2631 0:337 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755,inode64
2640 2631 8:1 /var/lib/kubelet/pods/5f0e21aa-0c5d-4a0e-9c1f-3d0a/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
2641 2633 8:1 /var/lib/kubelet/pods/5f0e21aa-0c5d-4a0e-9c1f-3d0a/containers/hookgate/2a1b /dev/termination-log rw,relatime - ext4 /dev/sda1 rw
2642 2631 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/77/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw
2643 2631 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/77/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
2645 2631 0:330 / /run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs rw,size=65536k,inode64
";

/// A container of Docker.
const CONTAINER: &str = "\
705 620 0:85 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/u,workdir=/w
706 705 0:86 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
715 705 8:1 /var/lib/docker/containers/6b2f/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
716 705 8:1 /var/lib/docker/containers/6b2f/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw
717 705 8:1 /var/lib/docker/containers/6b2f/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
";

/// A machine.
const MACHINE: &str = "\
22 27 0:21 / /proc rw,relatime shared:12 - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
28 27 0:23 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=806028k,mode=755
";

/// The line of a mount with the number 9.
fn mount(rest: &str) -> String {
    format!("9 1 {rest}\n")
}

const PODS: &str = "/var/lib/kubelet/pods/5f0e21aa-0c5d-4a0e-9c1f-3d0a";

/// A mount of the node's disk below the pod's directory.
fn in_pods(rest: &str) -> String {
    mount(&format!("8:1 {PODS}/{rest}"))
}

#[track_caller]
fn finds(line: &str, filesystem: &str, kind: VolumeKind) {
    let found = Volume::of(&format!("{POD}{line}"), 9);
    assert_eq!(
        (found.filesystem(), found.kind()),
        (filesystem, kind),
        "{line}"
    );
}

#[test]
fn the_mounts_of_a_pod_show_an_empty_dir() {
    for (line, filesystem, kind) in [
        (
            in_pods("volumes/kubernetes.io~empty-dir/spool /data rw,relatime - ext4 /dev/sda1 rw"),
            "ext4",
            VolumeKind::EmptyDir,
        ),
        // With subPath.
        (
            in_pods(
                "volumes/kubernetes.io~empty-dir/spool/sub /data rw,relatime - ext4 /dev/sda1 rw",
            ),
            "ext4",
            VolumeKind::EmptyDir,
        ),
        // The kubelet's directory is a disk of its own, on a system where it is XFS.
        (
            mount(
                "259:3 /pods/5f0e21aa/volumes/kubernetes.io~empty-dir/spool /data rw,relatime,seclabel - xfs /dev/nvme1n1 rw,seclabel,attr2",
            ),
            "xfs",
            VolumeKind::EmptyDir,
        ),
        // kind and minikube: the node is a container with an anonymous or a named volume.
        (
            mount(
                "254:1 /docker/volumes/minikube/_data/lib/kubelet/pods/5f0e21aa/volumes/kubernetes.io~empty-dir/spool /data rw,relatime - ext4 /dev/vda1 rw",
            ),
            "ext4",
            VolumeKind::EmptyDir,
        ),
        // `medium: Memory` is a tmpfs like any other.
        (
            mount("0:329 / /data rw,relatime - tmpfs tmpfs rw,size=1048576k,inode64"),
            "tmpfs",
            VolumeKind::Memory,
        ),
    ] {
        finds(&line, filesystem, kind);
    }
}

#[test]
fn the_mounts_of_a_pod_tell_claims_directories_of_the_node_and_the_containers_layer() {
    for (line, filesystem, kind) in [
        // A claim, or a generic ephemeral volume, on a disk of its own; and a part of one (subPath).
        (
            mount("8:32 / /data rw,relatime - ext4 /dev/sdc rw"),
            "ext4",
            VolumeKind::PodVolume,
        ),
        (
            mount("252:0 /hookgate /data rw,relatime - xfs /dev/rbd0 rw,attr2,inode64"),
            "xfs",
            VolumeKind::PodVolume,
        ),
        (
            in_pods(
                "volumes/kubernetes.io~csi/pvc-3349781b/mount /data rw,relatime - ext4 /dev/sda1 rw",
            ),
            "ext4",
            VolumeKind::PodVolume,
        ),
        // hostPath, a local volume, or what the provisioner of k3s and kind makes of a claim.
        (
            mount(
                "8:1 /opt/local-path-provisioner/pvc-d9bd3878_shop_spool /data rw,relatime - ext4 /dev/sda1 rw",
            ),
            "ext4",
            VolumeKind::HostDirectory,
        ),
        (
            mount("0:61 / /data rw,relatime - nfs4 10.0.0.4:/export/pvc-1 rw,vers=4.1"),
            "nfs4",
            VolumeKind::Network,
        ),
        // Kata Containers: what is behind it, the guest cannot see.
        (
            mount("0:34 /spool /data rw,relatime - virtiofs none rw"),
            "virtiofs",
            VolumeKind::Unknown,
        ),
    ] {
        finds(&line, filesystem, kind);
    }
    let own_layer = Volume::of(POD, 2631);
    assert_eq!(own_layer.kind(), VolumeKind::ContainerLayer);
}

#[test]
fn the_mounts_of_a_container_tell_its_layer_from_volumes_and_directories_of_the_host() {
    let made_up = "681ee294d25bfb06184de4a1375bb95764e0ef437e9715eb8dbac2937af2bff2";
    for (line, kind) in [
        (
            "8:1 /var/lib/docker/volumes/shop_spool/_data /data rw,relatime master:1 - ext4 /dev/sda1 rw".to_owned(),
            VolumeKind::NamedVolume,
        ),
        (
            // Docker Desktop.
            "254:1 /docker/volumes/spool/_data /data rw,relatime - ext4 /dev/vda1 rw,discard".to_owned(),
            VolumeKind::NamedVolume,
        ),
        (
            // The engine's directory is a disk of its own.
            "254:1 /volumes/spool/_data /data rw,relatime - ext4 /dev/vda1 rw".to_owned(),
            VolumeKind::NamedVolume,
        ),
        (
            "0:38 /home/me/.local/share/containers/storage/volumes/spool/_data /data rw,relatime - btrfs /dev/sda3 rw,subvol=/home".to_owned(),
            VolumeKind::NamedVolume,
        ),
        (
            "8:1 /var/lib/nerdctl/1935db59/volumes/default/spool/_data /data rw,relatime - ext4 /dev/sda1 rw".to_owned(),
            VolumeKind::NamedVolume,
        ),
        (
            format!("8:1 /var/lib/docker/volumes/{made_up}/_data /data rw,relatime - ext4 /dev/sda1 rw"),
            VolumeKind::AnonymousVolume,
        ),
        (
            "8:1 /srv/hookgate /data rw,relatime - ext4 /dev/sda1 rw".to_owned(),
            VolumeKind::HostDirectory,
        ),
        (
            // A name like that of a volume is none.
            "8:1 /srv/my_data/x /data rw,relatime - ext4 /dev/sda1 rw".to_owned(),
            VolumeKind::HostDirectory,
        ),
        (
            "0:90 / /data rw,relatime - tmpfs tmpfs rw,size=65536k".to_owned(),
            VolumeKind::Memory,
        ),
        (
            "0:46 /host/srv /data rw,relatime - virtiofs virtiofs0 rw".to_owned(),
            VolumeKind::Unknown,
        ),
    ] {
        let found = Volume::of(&format!("{CONTAINER}{}", mount(&line)), 9);
        assert_eq!(found.kind(), kind, "{line}");
    }
    assert_eq!(
        Volume::of(CONTAINER, 705).kind(),
        VolumeKind::ContainerLayer
    );
    // Podman without root, and an engine that keeps layers as subvolumes.
    let podman = CONTAINER.replace("- overlay overlay", "- fuse.fuse-overlayfs fuse-overlayfs");
    assert_eq!(Volume::of(&podman, 705).kind(), VolumeKind::ContainerLayer);
    let btrfs = CONTAINER.replace(
        "0:85 / / rw,relatime master:1 - overlay overlay",
        "0:38 /var/lib/docker/btrfs/subvolumes/a1 / rw,relatime - btrfs /dev/sda3",
    );
    assert_eq!(Volume::of(&btrfs, 705).kind(), VolumeKind::ContainerLayer);
    for option in ["volatile", "fsync=volatile"] {
        let unsynced = CONTAINER.replace("workdir=/w", &format!("workdir=/w,{option}"));
        assert_eq!(Volume::of(&unsynced, 705).kind(), VolumeKind::Unsynced);
    }
}

#[test]
fn outside_of_containers_it_is_a_disk_of_the_machine_memory_or_not_known() {
    for (line, kind) in [
        (
            "254:16 / /var/lib/hookgate rw,noatime shared:30 - xfs /dev/vdb rw,attr2",
            VolumeKind::LocalDisk,
        ),
        // DynamicUser of systemd.
        (
            "254:0 /var/lib/private/hookgate /var/lib/private/hookgate rw,nosuid - ext4 /dev/vda1 rw",
            VolumeKind::LocalDisk,
        ),
        (
            "0:50 / /tank/hookgate rw,noatime shared:40 - zfs tank/hookgate rw,xattr",
            VolumeKind::LocalDisk,
        ),
        (
            "0:51 / /mnt/share rw - cifs //nas/share rw,vers=3.0",
            VolumeKind::Network,
        ),
        (
            "0:52 / /mnt/x rw - fuse.sshfs me@there:/ rw,user_id=0",
            VolumeKind::Network,
        ),
        (
            "0:53 / /mnt/new\\040disk rw - fuse.unheard-of x rw",
            VolumeKind::Unknown,
        ),
        // An overlay that is nobody's root may be anything.
        (
            "0:54 / /mnt/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w",
            VolumeKind::Unknown,
        ),
        (
            "0:54 / /mnt/merged rw - overlay overlay rw,upperdir=/u,volatile",
            VolumeKind::Unsynced,
        ),
    ] {
        let found = Volume::of(&format!("{MACHINE}{}", mount(line)), 9);
        assert_eq!(found.kind(), kind, "{line}");
    }
    assert_eq!(Volume::of(MACHINE, 27).kind(), VolumeKind::LocalDisk);
    assert_eq!(Volume::of(MACHINE, 28).kind(), VolumeKind::Memory);
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_guessed() {
    for text in [
        "",
        "9",
        "9 1 8:1 / /data rw",
        "x 1 8:1 / /data rw - ext4 /dev/sda1 rw",
        "9 1 8:1 / - ext4 x rw",
    ] {
        assert_eq!(Volume::of(text, 9), Volume::unknown(), "{text:?}");
    }
    assert_eq!(Volume::of(MACHINE, 9), Volume::unknown());
}

/// The kernel's own list of this machine.
#[test]
fn a_path_that_is_not_there_yet_lies_where_its_parents_do() {
    let dir = tempfile::tempdir().unwrap();
    let here = Volume::under(dir.path());
    assert_ne!(here.filesystem(), "unknown");
    assert_eq!(Volume::under(&dir.path().join("a/b/c")), here);
    if let Ok(memory) = tempfile::tempdir_in("/dev/shm") {
        assert_eq!(Volume::under(memory.path()).kind(), VolumeKind::Memory);
    }
}

#[test]
fn the_documents_table_of_volumes_has_all_kinds() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/durability.md");
    let document = std::fs::read_to_string(file).unwrap();
    let section = document
        .split("\n## Which volume survives what\n")
        .nth(1)
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).filter_map(|row| row.strip_suffix("` |"));
    let listed: std::collections::BTreeSet<_> =
        rows.filter_map(|row| row.rsplit('`').next()).collect();
    let words: std::collections::BTreeSet<_> = VolumeKind::ALL.map(VolumeKind::as_str).into();
    assert_eq!(listed, words);
}
