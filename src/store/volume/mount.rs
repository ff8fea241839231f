//! One line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`): number, parent, device, root, mount point,
//! options, optional fields, "-", file system, source, options of the file system.

/// A mount, as far as it is asked about.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) number: u64,
    /// Of the file system: major and minor number.
    pub(super) device: &'a str,
    /// The directory of the file system that is mounted.
    pub(super) root: &'a str,
    /// Where it is mounted. Spaces in it stay spelt as `\040`: nothing that is looked for has any.
    pub(super) point: &'a str,
    pub(super) filesystem: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line; `None` if it is none.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let (own, of_filesystem) = line.split_once(" - ")?;
        let mut own = own.split(' ');
        let mut of_filesystem = of_filesystem.split(' ');
        Some(Self {
            number: own.next()?.parse().ok()?,
            device: own.nth(1)?,
            root: own.next()?,
            point: own.next()?,
            filesystem: of_filesystem.next()?,
            options: of_filesystem.nth(1).unwrap_or_default(),
        })
    }

    /// Whether the file system has it; a mount's own options are others.
    pub(super) fn has_option(&self, wanted: &str) -> bool {
        self.options.split(',').any(|option| option == wanted)
    }

    /// The name of the volume of Docker or Podman that it is in, `.../volumes/NAME/_data`, or of nerdctl's,
    /// with a namespace before the name.
    pub(super) fn engine_volume(&self) -> Option<&'a str> {
        let (before, _) = self.root.split_once("/_data")?;
        let mut parts = before.rsplit('/');
        let name = parts.next()?;
        parts.take(2).any(|part| part == "volumes").then_some(name)
    }
}
