//! Remembers over a restart that the database is damaged: the next start saves what can be read.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A file beside the database that is there while the database is known to be damaged.
#[derive(Clone)]
pub(super) struct Marker {
    directory: PathBuf,
}

impl Marker {
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("damaged")
    }

    pub(super) fn is_set(&self) -> bool {
        self.file().exists()
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
        let write = || {
            let mut file = File::create(self.file())?;
            writeln!(file, "{why}")?;
            file.sync_all()?;
            File::open(&self.directory)?.sync_all()
        };
        if let Err(error) = write() {
            // The next start then meets the damage by itself, or not at all.
            tracing::error!(%error, "that it is damaged could not be written down");
        }
    }

    /// What was damaged has been replaced.
    pub(super) fn clear(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.file()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(&self.directory)?.sync_all(),
        }
    }
}
