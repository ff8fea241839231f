//! `hookgate events erase`.

use http::Method;

use super::route;
use crate::admin::Erased;
use crate::cli::Failure;
use crate::cli::api::{Api, ApiArgs};
use crate::cli::out;

#[derive(Debug, clap::Args)]
pub(super) struct Erase {
    #[command(flatten)]
    api: ApiArgs,
    /// The events' ids (evt_...)
    #[arg(required = true)]
    ids: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Erase {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let count = self.ids.len();
        let question =
            format!("Erase body and headers of {count} events? Nobody can bring them back.");
        if !self.yes && !out::agrees(&question)? {
            return Err(Failure::Failed("nothing was erased".to_owned()));
        }
        let mut api = Api::connect(&self.api).await?;
        for id in &self.ids {
            let _: Erased = api.call(Method::DELETE, &route(id)).await?;
        }
        if self.api.json {
            return out::json(&Erased { erased: true });
        }
        out::line(format_args!("erased {count}"));
        Ok(())
    }
}
