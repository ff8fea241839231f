//! Values as people write them: durations, sizes, flags and lists.
//!
//! Each reads from TOML's own type or from text, because the environment has only text.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// A duration such as `"30s"`, `"2500ms"` or `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A size such as `"64KiB"` or `"5MB"`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Int(pub(super) u64);

/// `true` or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

/// A list of text; one text stands for a list of its comma-separated parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextList(pub(super) Vec<String>);

/// The name of a file that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct FilePath(pub(super) String);

impl FilePath {
    /// The name, unless it may be the secret itself, set where its file belongs.
    pub(super) fn shown(&self) -> Option<&str> {
        let path = std::path::Path::new(&self.0);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let is_name = path.starts_with("/") || path.starts_with(".") || path.starts_with("..");
        let is_name = is_name || path.is_file() || folder.is_some_and(std::path::Path::is_dir);
        is_name.then_some(&*self.0)
    }
}

pub(super) fn parse_span(text: &str) -> Option<Duration> {
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    parse_parts(text, &units).map(Duration::from_millis)
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    let units = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    parse_parts(text, &units)
}

/// Sum of the `NUMBER UNIT` parts; `None` on anything else, also on overflow.
fn parse_parts(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let factor = units.iter().find(|(name, _)| *name == unit)?.1;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after.trim_start();
    }
    Some(sum)
}

/// What TOML or the environment gave.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Given {
    Flag(bool),
    Int(i64),
    List(Vec<String>),
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let way_out = || {
            D::Error::custom("write a duration with its unit, such as \"30s\", \"500ms\" or \"7d\"")
        };
        match Given::deserialize(deserializer)? {
            Given::Text(text) => parse_span(&text).map(Self).ok_or_else(way_out),
            Given::Flag(_) | Given::Int(_) | Given::List(_) | Given::Other(_) => Err(way_out()),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let way_out = || {
            D::Error::custom("write a size with its unit, such as \"64KiB\", \"5MiB\" or \"10GiB\"")
        };
        match Given::deserialize(deserializer)? {
            Given::Text(text) => parse_size(&text).map(Self).ok_or_else(way_out),
            Given::Flag(_) | Given::Int(_) | Given::List(_) | Given::Other(_) => Err(way_out()),
        }
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Given::deserialize(deserializer)? {
            Given::Int(number) => u64::try_from(number).ok(),
            Given::Text(text) => text.parse().ok(),
            Given::Flag(_) | Given::List(_) | Given::Other(_) => None,
        };
        number
            .map(Self)
            .ok_or_else(|| D::Error::custom("write a whole number, 0 or more"))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flag = match Given::deserialize(deserializer)? {
            Given::Flag(flag) => Some(flag),
            Given::Text(text) => text.parse().ok(),
            Given::Int(_) | Given::List(_) | Given::Other(_) => None,
        };
        flag.map(Self)
            .ok_or_else(|| D::Error::custom("write true or false"))
    }
}

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Given::deserialize(deserializer)? {
            Given::List(list) => Ok(Self(list)),
            Given::Text(text) => {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                Ok(Self(parts.map(ToOwned::to_owned).collect()))
            }
            Given::Int(number) => Ok(Self(vec![number.to_string()])),
            Given::Flag(_) | Given::Other(_) => Err(D::Error::custom(
                "write a list of texts, such as [\"a\", \"b\"]",
            )),
        }
    }
}

macro_rules! json_schema_of {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

json_schema_of!(Span, "Duration", { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d) ?)+$" });
json_schema_of!(Size, "Size", { "type": "string", "pattern": "^([0-9]+([KMGT]i?)?B ?)+$" });
json_schema_of!(Int, "Int", { "type": "integer", "minimum": 0 });
json_schema_of!(Flag, "Flag", { "type": "boolean" });
json_schema_of!(FilePath, "FilePath", { "type": "string", "format": "path" });
json_schema_of!(TextList, "TextList", { "type": ["array", "string"], "items": { "type": "string" } });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(parse_span("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_span("2500ms"), Some(Duration::from_millis(2_500)));
        assert_eq!(parse_size("5MiB"), Some(5 << 20));
        assert_eq!(parse_size("1 GB"), None);
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "5mib",
            "1h x",
        ] {
            assert_eq!(parse_span(bad), None, "{bad}");
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
