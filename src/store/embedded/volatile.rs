//! File systems that do not keep what was synced.

use std::fs::File;

use rustix::fs::{fstat, fstatfs, major, minor};

/// The name of a file system that loses what was synced, or whose locks cannot be relied on.
pub(super) fn kind(directory: &File) -> std::io::Result<Option<&'static str>> {
    const REFUSED: [(i64, &str); 10] = [
        (0x0102_1994, "tmpfs"),
        (0x8584_58f6, "ramfs"),
        (0x6969, "nfs"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb"),
        (0x517b, "smb"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "ceph"),
        (0x5346_414f, "afs"),
        (0x0bd0_0bd0, "lustre"),
    ];
    let facts = fstatfs(directory)?;
    let number = facts.f_type & 0xffff_ffff;
    if number == 0x794c_7630 && ignores_syncs(directory)? {
        return Ok(Some("overlayfs mounted with `volatile`"));
    }
    let found = REFUSED.iter().find(|(known, _)| *known == number);
    Ok(found.map(|(_, name)| *name))
}

/// Whether an overlay was mounted so that it leaves out every sync. Only the list of mounts says so.
fn ignores_syncs(directory: &File) -> std::io::Result<bool> {
    let device = fstat(directory)?.st_dev;
    let device = format!("{}:{}", major(device), minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(mounts
        .lines()
        .any(|mount| is_volatile_mount(mount, &device)))
}

/// One line: number, parent, device, ..., "-", type, source, options of the file system.
fn is_volatile_mount(mount: &str, device: &str) -> bool {
    let options = mount
        .split_once(" - ")
        .and_then(|(_, end)| end.split(' ').nth(2));
    mount.split(' ').nth(2) == Some(device)
        && options.is_some_and(|options| {
            let mut options = options.split(',');
            // The kernel has two spellings, by its age.
            options.any(|option| option == "volatile" || option == "fsync=volatile")
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::place::Place;
    use super::*;
    use crate::clock::Clock;
    use crate::store::StoreError;
    use crate::store::tests::config;

    fn take(path: &Path) -> Result<Place, StoreError> {
        Place::take(&config(path), &Clock::real())
    }

    /// Containers can have such a root: it says that it synced and did not.
    #[test]
    fn an_overlay_that_leaves_out_syncs_is_refused_unless_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            dir.path().join(name).display().to_string()
        });
        for volatile in ["", ",volatile"] {
            let options = format!("lowerdir={lower},upperdir={upper},workdir={work}{volatile}");
            let mount = std::process::Command::new("mount")
                .args(["-t", "overlay", "overlay", "-o", &options, &merged])
                .output();
            if !mount.is_ok_and(|mounted| mounted.status.success()) {
                println!("skipped: an overlay cannot be mounted here");
                return;
            }
            let path = Path::new(&merged).join("store");
            let mut strict = config(&path);
            strict.allow_volatile = false;
            let taken = Place::take(&strict, &Clock::real()).map(drop);
            let durable = take(&path).map(|place| place.durable);
            let unmount = std::process::Command::new("umount")
                .args(["-l", &merged])
                .status();
            assert!(unmount.unwrap().success());
            if volatile.is_empty() {
                assert!(taken.is_ok());
            } else {
                assert!(matches!(taken, Err(StoreError::Volatile { .. })));
                assert!(!durable.unwrap());
            }
        }
    }

    #[test]
    fn a_mount_is_told_by_its_device_and_its_own_options() {
        let line =
            "48 31 0:44 / /data rw,relatime shared:1 - overlay overlay rw,upperdir=/u,volatile";
        assert!(is_volatile_mount(line, "0:44"));
        assert!(is_volatile_mount(
            &line.replace(",vol", ",fsync=vol"),
            "0:44"
        ));
        assert!(!is_volatile_mount(line, "0:45"));
        assert!(!is_volatile_mount(
            &line.replace(",volatile", ",index=off"),
            "0:44"
        ));
        assert!(!is_volatile_mount(
            &line
                .replace("relatime", "volatile")
                .replace(",volatile", ""),
            "0:44"
        ));
    }

    #[test]
    fn a_file_system_that_forgets_is_refused_unless_allowed() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
            return; // no tmpfs here
        };
        let mut strict = config(dir.path());
        strict.allow_volatile = false;
        let refused = Place::take(&strict, &Clock::real());
        assert!(matches!(refused, Err(StoreError::Volatile { .. })));
        assert!(!take(dir.path()).unwrap().durable);
    }
}
