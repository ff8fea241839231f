//! Configurations: any text is a configuration or a list of its faults, and neither tells a secret.

use std::path::Path;

use toml::{Table, Value};

use super::layers::{self, File, Inputs};
use super::{resolve, show};

/// Keys that name files: a target reads none.
fn names_a_file(key: &str) -> bool {
    ["file", "dir", "certificate", "key", "tls"]
        .iter()
        .any(|end| key.ends_with(end))
}

pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let path = Path::new("hookgate.toml");
    let (file, mut secrets) = match text.parse::<Table>() {
        Ok(mut table) => {
            without_files(&mut table);
            let mut secrets = Vec::new();
            collect(&table, &mut secrets);
            let path = path.to_owned();
            (Ok(File { path, table }), secrets)
        }
        Err(_) => (File::parse(path, &text), Vec::new()),
    };
    let told = match file {
        Err(faults) => faults.to_string(),
        Ok(file) => {
            let figment = layers::stacked(Some(file), &Inputs::default());
            let shown = show::shown(&figment);
            match resolve::resolve(figment) {
                Ok(config) => config.warnings.join("\n") + &shown,
                Err(faults) => {
                    assert!(!faults.0.is_empty(), "refused without a fault");
                    faults.to_string() + &shown
                }
            }
        }
    };
    // What is short or a word of our own may stand there for another reason.
    secrets.retain(|secret| secret.starts_with("s3cret-") && secret.len() >= 12);
    for secret in secrets {
        assert!(!told.contains(&*secret), "{secret:?} is told:\n{told}");
    }
}

fn without_files(table: &mut Table) {
    table.retain(|key, _| !names_a_file(key));
    for (_, value) in table.iter_mut() {
        if let Value::Array(list) = value {
            list.iter_mut()
                .filter_map(Value::as_table_mut)
                .for_each(without_files);
        } else if let Value::Table(inner) = value {
            without_files(inner);
        }
    }
}

/// Every text under a key that is there for secrets.
fn collect(table: &Table, secrets: &mut Vec<String>) {
    for (key, value) in table {
        let is_secret = ["secret", "sign_secret", "value", "token"].contains(&&**key);
        if let Value::Array(list) = value {
            let tables = list.iter().filter_map(Value::as_table);
            tables.for_each(|inner| collect(inner, secrets));
        } else if let Value::Table(inner) = value {
            collect(inner, secrets);
        } else if let (Value::String(text), true) = (value, is_secret) {
            secrets.push(text.clone());
        }
    }
}
