//! What holds for pods that say nothing, from whoever runs the cluster.

use std::collections::BTreeMap;

use super::settings::{Given, SETTINGS};

/// Settings by name, without the annotation's prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// For every pod.
    pub given: Given,
    /// For pods whose label names the profile, before those for every pod.
    pub profiles: BTreeMap<String, Given>,
}

impl Defaults {
    /// Reads a TOML file: settings at its top, and tables `[profiles.NAME]`. A value is text, a number or a
    /// boolean, whatever is handiest.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
        let mut defaults = Self::default();
        for (key, value) in table {
            match (&*key, value) {
                ("profiles", toml::Value::Table(profiles)) => {
                    for (name, profile) in profiles {
                        let toml::Value::Table(profile) = profile else {
                            return Err(format!("profiles.{name} is no table"));
                        };
                        let settings = profile.into_iter().map(|(key, value)| plain(key, value));
                        let settings = settings.collect::<Result<BTreeMap<_, _>, _>>()?;
                        defaults.profiles.insert(name, settings);
                    }
                }
                (_, value) => defaults.given.extend([plain(key, value)?]),
            }
        }
        Ok(defaults)
    }
}

fn plain(key: String, value: toml::Value) -> Result<(String, String), String> {
    if SETTINGS.iter().all(|setting| setting.name != key) {
        return Err(format!(
            "there is no setting {key}; `hookgate inject --help` lists them"
        ));
    }
    let value = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => return Err(format!("{key} is no text: put it in quotes")),
    };
    Ok((key, value))
}
