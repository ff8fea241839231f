//! Secrets that providers hand over in their handshakes, one file per source beside the events.
//!
//! A file appears whole and durable or not at all, and is never replaced: whoever comes second
//! does not get to choose the secret. The store's owner is the only one who writes here.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::event::SourceName;
use crate::secret::Secret;

/// The name that people see for such a secret.
const LABEL: &str = "captured";

/// The directory of captured secrets. Its methods block.
#[derive(Clone, Debug)]
pub struct CapturedSecrets {
    directory: PathBuf,
}

impl CapturedSecrets {
    /// Those that belong to the store at `path`.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        Self {
            directory: path.join("captured"),
        }
    }

    fn file(&self, source: &SourceName) -> PathBuf {
        self.directory.join(source.as_str())
    }

    /// The secret of a source, if one was kept.
    ///
    /// # Errors
    /// The file is there but cannot be read or is empty.
    pub fn load(&self, source: &SourceName) -> Result<Option<Secret>> {
        match std::fs::read(self.file(source)) {
            Ok(secret) if secret.is_empty() => Err(Error::new(
                ErrorKind::InvalidData,
                "the file of the captured secret is empty",
            )),
            Ok(secret) => Ok(Some(Secret::new(LABEL, secret))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a source's first secret; on return it is on stable storage.
    ///
    /// # Errors
    /// There is one already, or the disk does not take it.
    pub fn keep(&self, source: &SourceName, secret: &Secret) -> Result<()> {
        let mut directory = DirBuilder::new();
        directory
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        // The directory may be new itself.
        self.directory.parent().map_or(Ok(()), sync)?;
        // No source's name begins with a dot.
        let draft = self.directory.join(format!(".{source}.new"));
        // A crash may have left one that is a second name of the secret: never write into it.
        remove(&draft)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(secret.expose())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, self.file(source));
        let removed = remove(&draft);
        linked?;
        let kept = removed.and_then(|_| sync(&self.directory));
        // What nobody was promised must not be found at the next start.
        kept.inspect_err(|_| drop(remove(&self.file(source))))
    }

    /// Lets go of a source's secret, durably; whether there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, source: &SourceName) -> Result<bool> {
        let removed = remove(&self.file(source))?;
        if removed {
            sync(&self.directory)?;
        }
        Ok(removed)
    }
}

/// Removes a file; whether there was one.
fn remove(file: &Path) -> Result<bool> {
    match std::fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable.
fn sync(directory: &Path) -> Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_kept_for_its_owner_alone_until_it_is_forgotten() {
        let store = tempfile::tempdir().unwrap();
        let captured = CapturedSecrets::beside(store.path());
        let asana: SourceName = "asana".into();
        assert!(captured.load(&asana).unwrap().is_none());

        captured.keep(&asana, &Secret::new("x", "first")).unwrap();
        let loaded = captured.load(&asana).unwrap().unwrap();
        assert_eq!((loaded.expose(), &*loaded.label), (&b"first"[..], LABEL));
        let file = store.path().join("captured/asana");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(
            std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1
        );

        assert!(captured.forget(&asana).unwrap());
        assert!(!captured.forget(&asana).unwrap());
        assert!(captured.load(&asana).unwrap().is_none());
    }

    #[test]
    fn a_second_secret_never_replaces_the_first() {
        let store = tempfile::tempdir().unwrap();
        let captured = CapturedSecrets::beside(store.path());
        let (asana, notion) = ("asana".into(), "notion".into());
        captured.keep(&asana, &Secret::new("x", "first")).unwrap();
        let error = captured.keep(&asana, &Secret::new("x", "second"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(captured.load(&asana).unwrap().unwrap().expose(), b"first");

        // What a crash or a refusal left behind is in nobody's way.
        captured.keep(&notion, &Secret::new("x", "other")).unwrap();
        captured.forget(&asana).unwrap();
        captured.keep(&asana, &Secret::new("x", "third")).unwrap();
        assert_eq!(captured.load(&asana).unwrap().unwrap().expose(), b"third");
    }

    #[test]
    fn a_secret_is_not_written_through_what_a_crash_left_behind() {
        let store = tempfile::tempdir().unwrap();
        let captured = CapturedSecrets::beside(store.path());
        let asana = "asana".into();
        captured.keep(&asana, &Secret::new("x", "first")).unwrap();
        let draft = store.path().join("captured/.asana.new");
        std::fs::hard_link(store.path().join("captured/asana"), &draft).unwrap();

        let error = captured.keep(&asana, &Secret::new("x", "second"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(captured.load(&asana).unwrap().unwrap().expose(), b"first");
        assert!(!draft.exists());
    }

    #[test]
    fn an_empty_file_is_damage_and_not_a_secret() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join("captured")).unwrap();
        std::fs::write(store.path().join("captured/asana"), "").unwrap();
        let captured = CapturedSecrets::beside(store.path());
        let error = captured.load(&"asana".into()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
