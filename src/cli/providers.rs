//! `hookgate providers [ID]`: the catalogue.

use super::catalogue::{CatalogueArgs, find};
use super::{Failure, out};
use crate::providers::{Catalogue, Evidence, Provider};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Show only this provider, in full
    id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let catalogue = args.catalogue.load()?;
    let Some(id) = &args.id else {
        return list(&catalogue, args.json);
    };
    let provider = find(&catalogue, id)?;
    if args.json {
        return out::json(&*provider);
    }
    show(&provider);
    Ok(())
}

fn list(catalogue: &Catalogue, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let providers: Vec<_> = catalogue.iter().collect();
        return out::json(
            &providers
                .iter()
                .map(|provider| &**provider)
                .collect::<Vec<_>>(),
        );
    }
    let mut rows = vec![
        ["ID", "PROVIDER", "VARIANTS", "DOCUMENTATION"]
            .map(ToOwned::to_owned)
            .to_vec(),
    ];
    for provider in catalogue.iter() {
        let mut variants: Vec<_> = provider.variants().collect();
        variants.dedup();
        let variants = if variants.is_empty() {
            "-".to_owned()
        } else {
            variants.join(", ")
        };
        rows.push(vec![
            provider.id.clone(),
            provider.title.clone(),
            variants,
            provider.docs.clone(),
        ]);
    }
    out::table(&rows);
    Ok(())
}

fn show(provider: &Provider) {
    let certain = |key: &str| match provider.evidence.get(key) {
        None => "",
        Some(Evidence::Recalled) => " (from memory, check it)",
        Some(Evidence::Guess) => " (a guess, not documented)",
    };
    out::line(format_args!("{} ({})", provider.title, provider.id));
    out::line(format_args!("documentation: {}", provider.docs));
    out::line(format_args!("secret: {}", provider.secret));
    out::line(format_args!(
        "answer: {}{}{}",
        provider.ack.status,
        if provider.ack.exactly {
            ", exactly"
        } else {
            ""
        },
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
