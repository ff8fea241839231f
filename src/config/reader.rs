//! Takes settings out of the raw shapes and collects what is wrong with them.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use schemars::Schema;

use super::faults::{Fault, Faults};
use super::layers;
use super::protection::is_blank;
use super::raw::{Leaf, Raw};
use super::units::{FilePath, Flag, Int, Size, Span, TextList};

/// The settings and the faults found in them so far.
pub(super) struct Reader {
    figment: Figment,
    pub(super) faults: Faults,
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// The raw settings, without the keys that nobody knows.
    pub(super) fn open(figment: Figment, schema: &Schema) -> (Self, Raw) {
        let mut reader = Self {
            figment,
            faults: Faults::default(),
            warnings: Vec::new(),
        };
        let mut table = figment::value::Dict::new();
        match reader.figment.extract::<figment::value::Dict>() {
            Ok(found) => table = found,
            Err(error) => reader.fault("", error.kind),
        }
        layers::refuse_unknown(
            &reader.figment,
            &mut table,
            schema.as_value(),
            &mut reader.faults,
        );
        let raw = figment::value::Value::from(table).deserialize();
        let raw = raw.unwrap_or_else(|error: figment::Error| {
            reader.fault(&error.path.join("."), error.kind);
            Raw::default()
        });
        (reader, raw)
    }

    /// Reports a fault of the setting `key`.
    pub(super) fn fault(&mut self, key: &str, message: impl Display) {
        let origin = layers::origin(&self.figment, key);
        self.faults.0.push(Fault {
            key: key.to_owned(),
            origin,
            message: message.to_string(),
        });
    }

    /// A setting that may be absent.
    pub(super) fn want<T>(&mut self, key: &str, leaf: Leaf<T>) -> Option<T> {
        match leaf.0? {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(key, message);
                None
            }
        }
    }

    /// A setting that the defaults contain; the fallback is only there to go on looking for faults.
    pub(super) fn need<T>(&mut self, key: &str, leaf: Leaf<T>, fallback: T) -> T {
        self.require(key, leaf.0.is_some(), "missing");
        self.want(key, leaf).unwrap_or(fallback)
    }

    /// Reports that the setting `key` is not as it must be, unless a fault of it, or of a table
    /// around it, is known already: this one would only follow from that.
    pub(super) fn require(&mut self, key: &str, holds: bool, message: impl Display) {
        if !holds && self.is_sound(key) {
            self.fault(key, message);
        }
    }

    /// Whether some layer says something about the setting.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.figment.find_value(key).is_ok()
    }

    /// Whether no fault is known of the setting or of a table around it.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        let about = |fault: &Fault| {
            let rest = key.strip_prefix(&*fault.key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.faults.0.iter().any(about)
    }

    pub(super) fn text(&mut self, key: &str, leaf: Leaf<String>) -> String {
        self.need(key, leaf, String::new())
    }

    pub(super) fn span(&mut self, key: &str, leaf: Leaf<Span>) -> Duration {
        self.need(key, leaf, Span(Duration::ZERO)).0
    }

    pub(super) fn positive_span(&mut self, key: &str, leaf: Leaf<Span>) -> Duration {
        let span = self.span(key, leaf);
        self.require(key, !span.is_zero(), "must be longer than 0s");
        span
    }

    pub(super) fn size(&mut self, key: &str, leaf: Leaf<Size>) -> u64 {
        self.need(key, leaf, Size(0)).0
    }

    /// A size that has to fit in memory.
    pub(super) fn memory(&mut self, key: &str, leaf: Leaf<Size>) -> usize {
        let size = self.size(key, leaf);
        self.require(key, size > 0, "must be larger than 0");
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// A number from 1 to `max`.
    pub(super) fn count(&mut self, key: &str, leaf: Leaf<Int>, max: usize) -> usize {
        let count = usize::try_from(self.need(key, leaf, Int(1)).0).unwrap_or(usize::MAX);
        let fits = (1..=max).contains(&count);
        self.require(key, fits, format_args!("write a number from 1 to {max}"));
        count.clamp(1, max)
    }

    /// A number of open connections, of which no system grants a process more than a million.
    pub(super) fn connections(&mut self, key: &str, leaf: Leaf<Int>) -> usize {
        self.count(key, leaf, 1_000_000)
    }

    pub(super) fn flag(&mut self, key: &str, leaf: Leaf<Flag>) -> bool {
        self.want(key, leaf).is_some_and(|flag| flag.0)
    }

    /// A list of things that are written as text.
    pub(super) fn list<T: std::str::FromStr>(
        &mut self,
        key: &str,
        leaf: Leaf<TextList>,
        way_out: &str,
    ) -> Vec<T> {
        let texts = self.want(key, leaf).map(|list| list.0).unwrap_or_default();
        let mut list = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse() {
                Ok(item) => list.push(item),
                Err(_) => self.fault(key, format_args!("{text:?}: {way_out}")),
            }
        }
        list
    }

    /// The content of a file with a secret: one trailing line break is not part of it.
    pub(super) fn secret_file(
        &mut self,
        key: &str,
        file: &FilePath,
    ) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let name = file.shown();
        match std::fs::read(Path::new(&file.0)) {
            Err(error) => {
                match name {
                    Some(name) => self.fault(key, format_args!("cannot read {name}: {error}")),
                    None => self.fault(
                        key,
                        format_args!("names no file ({error}); write the name of a file that holds the secret"),
                    ),
                }
                None
            }
            Ok(content) => {
                let mut content = zeroize::Zeroizing::new(content);
                if content.ends_with(b"\n") {
                    content.pop();
                    if content.ends_with(b"\r") {
                        content.pop();
                    }
                }
                if content.starts_with(b"\xef\xbb\xbf") {
                    let name = name.unwrap_or("the file");
                    self.fault(
                        key,
                        format_args!("{name} begins with a byte order mark, which would be part of the secret; save it without"),
                    );
                    return None;
                }
                if is_blank(&content) {
                    let name = name.unwrap_or("the file");
                    self.fault(
                        key,
                        format_args!("{name} is empty; write the secret into it"),
                    );
                    return None;
                }
                Some(content)
            }
        }
    }
}
