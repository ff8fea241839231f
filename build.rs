//! Embeds the provider files: each as its id and its text, sorted by id.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = given("CARGO_MANIFEST_DIR")?.join("config/providers");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries = Vec::new();
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let id = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            entries.push(format!("    ({id:?}, include_str!({path:?})),\n"));
        }
    }
    entries.sort();
    let table = format!(
        "static EMBEDDED: &[(&str, &str)] = &[\n{}];\n",
        entries.concat()
    );
    fs::write(given("OUT_DIR")?.join("providers.rs"), table)
}

/// A directory that cargo names.
fn given(name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{name} is not set"));
    env::var_os(name).map(PathBuf::from).ok_or_else(missing)
}
