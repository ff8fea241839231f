//! `hookgate providers [ID]`: the catalogue.

mod words;

use std::sync::Arc;

use super::catalogue::{CatalogueArgs, find};
use super::{Failure, out};
use crate::providers::{Evidence, Provider, Status};

/// What stands above the rows of `docs/providers.md`.
const MARKDOWN_HEAD: &str = "\
# Providers

Made by `hookgate providers --markdown`. `hookgate providers ID` says more, such as where the secret is found. \
Status *confirmed* means read in the provider's documentation or code, *likely* from one source that is not the \
provider. *Recalled* and *a guess* mark facts that could not be confirmed.

| Provider | `provider` | Scheme | Events are told apart by | Handshake | Answer | Evidence | Documentation |
|---|---|---|---|---|---|---|---|";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Show only this provider, in full
    id: Option<String>,
    /// Only those that have this word in id, name, category, status or scheme; several: all of them
    #[arg(long, value_name = "WORD", conflicts_with = "id")]
    filter: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A JSON Schema of provider files, for editors
    #[arg(long, conflicts_with_all = ["id", "filter", "json"])]
    schema: bool,
    /// Print the table of docs/providers.md
    #[arg(long, hide = true, conflicts_with_all = ["id", "json"])]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.schema {
        out::line(format_args!("{:#}", Provider::schema()));
        return Ok(());
    }
    let catalogue = args.catalogue.load()?;
    if let Some(id) = &args.id {
        let provider = find(&catalogue, id)?;
        if args.json {
            return out::json(&*provider);
        }
        show(&provider);
        return Ok(());
    }
    let providers: Vec<_> = catalogue.iter().filter(|one| args.takes(one)).collect();
    if args.markdown {
        markdown(&providers);
    } else if args.json {
        let providers: Vec<_> = providers.iter().map(|provider| &**provider).collect();
        return out::json(&providers);
    } else {
        list(&providers);
    }
    Ok(())
}

impl Args {
    fn takes(&self, provider: &Provider) -> bool {
        let text = [
            &*provider.id,
            &provider.title,
            &provider.category,
            words::status(provider),
            &words::ways(provider),
        ];
        let text = text.join(" ").to_lowercase();
        self.filter
            .iter()
            .all(|word| text.contains(&word.to_lowercase()))
    }
}

fn list(providers: &[Arc<Provider>]) {
    let heading = [
        "ID",
        "PROVIDER",
        "STATUS",
        "SCHEME",
        "VARIANTS",
        "DOCUMENTATION",
    ];
    let mut rows = vec![heading.map(ToOwned::to_owned).to_vec()];
    for provider in providers {
        let mut variants: Vec<_> = provider.variants().collect();
        variants.dedup();
        if variants.is_empty() {
            variants.push("-");
        }
        rows.push(vec![
            provider.id.clone(),
            provider.title.clone(),
            words::status(provider).to_owned(),
            words::ways(provider),
            variants.join(", "),
            provider.docs.clone(),
        ]);
    }
    out::table(&rows);
}

/// The table of `docs/providers.md`.
fn markdown(providers: &[Arc<Provider>]) {
    out::line(MARKDOWN_HEAD);
    for provider in providers {
        let cells = [
            provider.title.clone(),
            format!("`{}`", provider.id),
            words::schemes(provider),
            words::id_rule(provider),
            words::handshakes(provider),
            words::answer(provider),
            words::evidence(provider),
            format!("[docs]({})", provider.docs),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        out::line(format_args!("| {} |", cells.join(" | ")));
    }
}

fn show(provider: &Provider) {
    let certain = |key: &str| match provider.evidence.get(key) {
        None => "",
        Some(Evidence::Recalled) => " (from memory, check it)",
        Some(Evidence::Guess) => " (a guess, not documented)",
    };
    out::line(format_args!("{} ({})", provider.title, provider.id));
    out::line(format_args!("documentation: {}", provider.docs));
    if !provider.category.is_empty() {
        out::line(format_args!("category: {}", provider.category));
    }
    out::line(match provider.status {
        Status::Confirmed => "status: confirmed, by the provider's own documentation or code",
        Status::Likely => "status: likely, from one source that is not the provider: check it",
    });
    out::line(format_args!("secret: {}", provider.secret));
    out::line(format_args!(
        "answer: {}{}",
        words::answer(provider),
        certain("ack")
    ));
    out::line(format_args!(
        "retries: {}{}",
        provider.retry,
        certain("retry")
    ));
    for note in &provider.notes {
        out::line(format_args!("note: {note}"));
    }
    for scheme in &provider.schemes {
        let variant = scheme
            .variant
            .as_deref()
            .map_or_else(String::new, |variant| format!(" {variant}"));
        let text = toml_like(&serde_json::to_value(scheme).unwrap_or_default());
        out::line(format_args!("scheme{variant}: {text}"));
    }
    for challenge in &provider.challenges {
        let text = toml_like(&serde_json::to_value(challenge).unwrap_or_default());
        out::line(format_args!("handshake: {text}"));
    }
    let rule = serde_json::to_value(&provider.event).unwrap_or_default();
    out::line(format_args!(
        "event: {}{}",
        toml_like(&rule),
        certain("event.id")
    ));
    let told = ["ack", "retry", "event.id"];
    for key in provider
        .evidence
        .keys()
        .filter(|key| !told.contains(&key.as_str()))
    {
        out::line(format_args!("not confirmed: {key}{}", certain(key)));
    }
    let types: Vec<_> = provider
        .samples
        .iter()
        .map(|sample| sample.kind.as_str())
        .collect();
    out::line(format_args!("samples: {}", types.join(", ")));
}

/// A JSON value the way an inline table is written in a configuration file.
fn toml_like(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| {
                !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
            });
            let fields: Vec<_> = set
                .map(|(key, value)| format!("{key} = {}", toml_like(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        serde_json::Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(toml_like).collect::<Vec<_>>().join(", ")
            )
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.to_string(),
    }
}
