//! Remembers over a restart that the database is damaged: the next start saves what can be read.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A file beside the database that is there while the database is known to be damaged.
#[derive(Clone)]
pub(super) struct Marker {
    /// None on a simulated disk: damage is then the end.
    directory: Option<PathBuf>,
}

impl Marker {
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_path_buf()),
        }
    }

    pub(super) fn nowhere() -> Self {
        Self { directory: None }
    }

    /// The directory and the file in it.
    fn file(&self) -> Option<(&Path, PathBuf)> {
        let directory = self.directory.as_deref()?;
        Some((directory, directory.join("damaged")))
    }

    pub(super) fn is_set(&self) -> bool {
        self.file().is_some_and(|(_, file)| file.exists())
    }

    /// Says that there is damage, once, and makes the next start look for what can be saved.
    pub(super) fn set(&self, why: &str) {
        if self.is_set() {
            return;
        }
        tracing::error!(
            why,
            "the store's database is damaged; the next start saves what can be read"
        );
        let Some((directory, file)) = self.file() else {
            return;
        };
        let write = || {
            let mut file = File::create(file)?;
            writeln!(file, "{why}")?;
            file.sync_all()?;
            File::open(directory)?.sync_all()
        };
        if let Err(error) = write() {
            // The next start then meets the damage by itself, or not at all.
            tracing::error!(%error, "that it is damaged could not be written down");
        }
    }

    /// What was damaged has been replaced.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        let Some((directory, file)) = self.file() else {
            return Ok(());
        };
        match std::fs::remove_file(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(directory)?.sync_all(),
        }
    }
}
