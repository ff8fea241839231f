//! Embeds the provider files: each as its id and its text, sorted by id.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to a build script through the environment"
)]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let folder = Path::new(&root).join("config/providers");
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
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("providers.rs"), table)
}
