//! `docs/metrics.md` says what a gate has: names, types, labels with their values, and what is made of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::{ROOT, alerts, certificate, injector, panels, read};
use crate::support::gate::Setup;
use crate::support::sender::Sender;

const HEAD: &str = include_str!("document.md");
const INJECTOR: &str = include_str!("document_injector.md");
const BUCKETS: &str = include_str!("document_end.md");
const END: &str = include_str!("document_last.md");

/// Labels whose values come from elsewhere than a closed list of the program's.
const CONFIGURED: [(&str, &str); 8] = [
    ("source", "NAME of `[sources.NAME]`"),
    ("provider", "`sources.NAME.provider`"),
    ("mode", "`enforce`, `observe`"),
    ("ack", "`sources.NAME.ack`"),
    ("secret", "the label of a secret in `hookgate sources list`"),
    ("version", "the program's"),
    ("filesystem", "such as `ext4`"),
    (
        "volume",
        "the last column of the [table of volumes](durability.md#which-volume-survives-what)",
    ),
];

/// A family as it is scraped.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
    buckets: Vec<String>,
}

/// What a scrape says, by name.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            name.clone_into(&mut current);
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else if let Some((_, labels)) = line.split_once('{') {
            let family = families.get_mut(&current).unwrap();
            let (labels, _) = labels.rsplit_once('}').unwrap();
            for label in labels.split("\",") {
                let (label, value) = label.split_once("=\"").unwrap();
                let value = value.trim_end_matches('"').to_owned();
                if label != "le" {
                    family
                        .labels
                        .entry(label.to_owned())
                        .or_default()
                        .insert(value);
                } else if !family.buckets.contains(&value) {
                    family.buckets.push(value);
                }
            }
        }
    }
    families
}

fn unit(name: &str, family: &Family) -> &'static str {
    match name {
        _ if name.ends_with("_info") => "1",
        _ if name.ends_with("_timestamp_seconds") || name == "process_start_time_seconds" => {
            "seconds since 1970"
        }
        _ if name.contains("_seconds") => "seconds",
        _ if name.ends_with("_bytes") || name.ends_with("_bytes_max") => "bytes",
        _ if family.help.starts_with("Whether") || name == "hookgate_draining" => "0 or 1",
        _ => "number",
    }
}

fn labels(family: &Family) -> String {
    let labels = family.labels.iter().map(|(label, values)| {
        let configured = CONFIGURED.iter().find(|(known, _)| known == label);
        let values = match configured {
            Some((_, values)) => (*values).to_owned(),
            None => {
                let values = values.iter().map(|value| format!("`{value}`"));
                values.collect::<Vec<_>>().join(", ")
            }
        };
        format!("`{label}`: {values}")
    });
    labels.collect::<Vec<_>>().join("; ")
}

/// The alerts and panels that name it.
fn seen_in(name: &str) -> String {
    let is_of_a_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let names = |expression: &str| {
        let mut found = expression.match_indices(name);
        found.any(|(at, _)| {
            let rest = &expression[at + name.len()..];
            let rest = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| rest.strip_prefix(end))
                .unwrap_or(rest);
            !expression[..at].ends_with(is_of_a_name) && !rest.starts_with(is_of_a_name)
        })
    };
    let alerts = alerts();
    let alerts = alerts.iter().filter(|alert| names(&alert.expression));
    let alerts = alerts.map(|alert| format!("**{}**", alert.name));
    let panels = panels();
    let panels = panels
        .iter()
        .filter(|panel| panel.expressions.iter().any(|text| names(text)));
    let panels = panels.map(|panel| format!("{}: {}", panel.row, panel.title));
    alerts.chain(panels).collect::<Vec<_>>().join("; ")
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut table =
        "| metric | type | unit | meaning | labels | seen in |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, family) in families {
        let (kind, help) = (&family.kind, family.help.trim_end_matches('.'));
        let unit = unit(name, family);
        let row = format!(
            "| `{name}` | {kind} | {unit} | {help} | {} | {} |",
            labels(family),
            seen_in(name)
        );
        writeln!(table, "{row}").unwrap();
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_metrics_is_what_a_gate_says() {
    let (mut setup, _app) = Setup::scene(&[&Sender::new("stripe")]).await;
    let Some((certificate, key)) = certificate(&setup) else {
        return;
    };
    setup.set("server.tls.certificate", &certificate.display().to_string());
    setup.set("server.tls.key", &key.display().to_string());
    let of_injector = injector(&certificate, &key).await;
    let gate = setup.start().await;
    let answer = gate.get("/metrics").await;
    gate.stop().await;
    let families = families(answer.text());
    assert!(families.len() > 40, "{}", families.len());

    let mut document = HEAD.to_owned();
    document += &table(&families);
    document += INJECTOR;
    let of_injector = self::families(&of_injector);
    let of_injector: BTreeMap<_, _> = of_injector
        .into_iter()
        .filter(|(name, _)| name.starts_with("hookgate_injector_"))
        .collect();
    assert!(of_injector.len() > 5, "{}", of_injector.len());
    document += &table(&of_injector);
    document += BUCKETS;
    document += "| histogram | upper bounds |\n|---|---|\n";
    for (name, family) in families
        .iter()
        .chain(&of_injector)
        .filter(|(_, family)| family.kind == "histogram")
    {
        writeln!(document, "| `{name}` | {} |", family.buckets.join(", ")).unwrap();
    }
    document += END;

    let path = Path::new(ROOT).join("docs/metrics.md");
    if std::env::var_os("HOOKGATE_TEST_WRITE").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    assert!(
        read("docs/metrics.md") == document,
        "docs/metrics.md is not current: HOOKGATE_TEST_WRITE=1 cargo nextest run -E 'test(document_of_metrics)'"
    );
}
