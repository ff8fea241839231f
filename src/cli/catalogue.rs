//! The providers that a command knows: the shipped ones, and those of a configuration.

use std::path::PathBuf;
use std::sync::Arc;

use super::Failure;
use crate::config::{self, Inputs};
use crate::providers::{Catalogue, Provider};
use crate::secret::SecretText;

#[derive(Debug, clap::Args)]
pub(super) struct CatalogueArgs {
    /// Know also the providers in this configuration file's `providers_dir`
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl CatalogueArgs {
    pub(super) fn load(&self) -> Result<Catalogue, Failure> {
        let Some(file) = &self.config else {
            return Ok(Catalogue::embedded());
        };
        let inputs = Inputs::of_process(Some(file.clone()), Vec::new());
        Ok(config::catalogue(&inputs)?)
    }
}

/// The provider with this id.
pub(super) fn find(catalogue: &Catalogue, id: &str) -> Result<Arc<Provider>, Failure> {
    catalogue.get(id).ok_or_else(|| {
        let near = catalogue.suggest(id);
        let near = near.map(|near| format!("; did you mean {near:?}?"));
        Failure::Usage(format!("no provider {id:?}{}", near.unwrap_or_default()))
    })
}

/// `NAME=VALUE` of the command line.
pub(super) fn name_and_value(text: &str) -> Result<(String, SecretText), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.into()))
}
