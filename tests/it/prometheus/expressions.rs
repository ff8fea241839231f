//! What alerts and panels name is there: metrics, labels, values of labels, sections of documents.

use std::collections::{BTreeMap, BTreeSet};

use super::{alerts, certificate, dashboard, injector, panels, read, substituted};
use crate::support::gate::Setup;
use crate::support::sender::Sender;
use crate::support::setting;

/// What a scrape adds to each series, by its configuration.
const OF_A_SCRAPE: [&str; 4] = ["job", "instance", "namespace", "pod"];

/// The labels of each metric, and the values that they have from the start.
type There = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// All series of a gate with TLS, so that what is there only with it is there, too, and of an injector.
async fn there() -> There {
    let (mut setup, _app) = Setup::scene(&[&Sender::new("stripe")]).await;
    let mut of_injector = String::new();
    if let Some((certificate, key)) = certificate(&setup) {
        of_injector = injector(&certificate, &key).await;
        setup.set("server.tls.certificate", &certificate.display().to_string());
        setup.set("server.tls.key", &key.display().to_string());
    }
    let gate = setup.start().await;
    let answer = gate.get("/metrics").await;
    gate.stop().await;
    let mut there = There::from([("up".to_owned(), BTreeMap::new())]);
    let lines = answer.text().lines().chain(of_injector.lines());
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let known = there.entry(name.to_owned()).or_default();
        for label in labels
            .trim_end_matches('}')
            .split("\",")
            .filter(|label| !label.is_empty())
        {
            let (label, value) = label.split_once("=\"").unwrap();
            let values = known.entry(label.to_owned()).or_default();
            values.insert(value.trim_end_matches('"').to_owned());
        }
    }
    there
}

/// Label, operator and value.
type Matcher = (String, String, String);

/// The selectors in an expression: a metric and its matchers.
fn selectors(expression: &str) -> Vec<(String, Vec<Matcher>)> {
    let is_of_a_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let mut found = Vec::new();
    for prefix in ["hookgate_", "process_"] {
        for (at, _) in expression.match_indices(prefix) {
            if expression[..at].ends_with(is_of_a_name) {
                continue;
            }
            let rest = &expression[at..];
            let end = rest.find(|byte| !is_of_a_name(byte)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let inside = rest
                .strip_prefix('{')
                .and_then(|rest| rest.split('}').next());
            let matchers = inside.unwrap_or_default().split(',').map(str::trim);
            let matchers = matchers
                .filter(|matcher| !matcher.is_empty())
                .map(|matcher| {
                    let (label, rest) = matcher.split_at(matcher.find(['=', '!']).unwrap());
                    let (operator, value) = rest.split_at(rest.find('"').unwrap());
                    let value = value.trim_matches('"');
                    (label.to_owned(), operator.to_owned(), value.to_owned())
                });
            found.push((name.to_owned(), matchers.collect()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_panels_are_made_of_metrics_labels_and_values_that_there_are() {
    let there = there().await;
    let of_alerts = alerts();
    let of_alerts = of_alerts
        .iter()
        .map(|alert| (&alert.name, &alert.expression));
    let of_panels = panels();
    let of_panels = of_panels.iter();
    let of_panels =
        of_panels.flat_map(|panel| panel.expressions.iter().map(|text| (&panel.title, text)));
    let (mut used, mut matchers) = (BTreeSet::new(), 0);
    for (place, expression) in of_alerts.chain(of_panels) {
        let selectors = selectors(expression);
        assert!(
            !selectors.is_empty(),
            "{place} selects nothing: {expression}"
        );
        for (name, wanted) in selectors {
            let labels = there
                .get(&name)
                .unwrap_or_else(|| panic!("{place}: there is no {name}"));
            used.insert(name.clone());
            for (label, operator, value) in wanted {
                matchers += 1;
                if OF_A_SCRAPE.contains(&&*label) {
                    continue;
                }
                let values = labels.get(&label);
                let values = values.unwrap_or_else(|| panic!("{place}: {name} has no {label}"));
                assert!(
                    operator.ends_with('~') || values.contains(&value),
                    "{place}: {name} never has {label}={value:?}"
                );
            }
        }
        for list in expression.split("by (").skip(1) {
            let list = list.split(')').next().unwrap();
            for label in list.split(',').map(str::trim) {
                let known = there.values().any(|labels| labels.contains_key(label));
                assert!(known || OF_A_SCRAPE.contains(&label), "{place}: by {label}");
            }
        }
    }
    assert!(
        used.len() > 30 && matchers > 100,
        "{} {matchers}",
        used.len()
    );
    // What is nowhere to be seen helps nobody. The injector has no dashboard.
    let base = |name: &str| {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        name.to_owned()
    };
    let used: BTreeSet<_> = used.iter().map(|name| base(name)).collect();
    let ours = there
        .keys()
        .filter(|name| name.starts_with("hookgate_") && !name.starts_with("hookgate_injector_"));
    let ours = ours.map(|name| base(name));
    let unused: BTreeSet<_> = ours.filter(|name| !used.contains(name)).collect();
    assert_eq!(unused, BTreeSet::new(), "neither alert nor panel");
    println!(
        "{} metrics in alerts and panels, {matchers} matchers",
        used.len()
    );
}

#[test]
fn every_alert_leads_to_a_section_that_there_is() {
    let alerts = read("config/prometheus/alerts.yaml");
    let runbooks = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: "));
    let mut seen = 0;
    for runbook in runbooks {
        let (file, section) = runbook.split_once(", ").unwrap();
        let heading = match section.strip_prefix("question ") {
            Some(number) => format!("\n## {number}. "),
            None => format!("\n## {section}\n"),
        };
        assert!(read(file).contains(&heading), "{runbook}");
        seen += 1;
    }
    assert_eq!(seen, alerts.matches("- alert: ").count());
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "hookgate");
    assert!(dashboard["id"].is_null());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["datasource", "namespace", "pod", "instance", "source"]
    );
    assert_eq!(dashboard["__inputs"][0]["name"], "DS_PROMETHEUS");
    let (mut ids, mut sources, mut places) = (BTreeSet::new(), 0, BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = &panel["gridPos"];
        let (x, y) = (place["x"].as_u64().unwrap(), place["y"].as_u64().unwrap());
        let (w, h) = (place["w"].as_u64().unwrap(), place["h"].as_u64().unwrap());
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(places.insert(cell), "{title} covers another panel");
        }
        assert!(x + w <= 24, "{title}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            !panel["description"].as_str().unwrap().is_empty(),
            "{title}"
        );
        let targets = panel["targets"].as_array().unwrap();
        for asked in targets.iter().chain([panel]) {
            assert_eq!(asked["datasource"]["uid"], "${datasource}", "{title}");
            sources += 1;
        }
    }
    assert!(sources > 60, "{sources}");
    let rows: BTreeSet<_> = panels().into_iter().map(|panel| panel.row).collect();
    let expected = [
        "Overview",
        "Verification",
        "Queue",
        "Delivery",
        "Store",
        "Runtime",
    ];
    assert_eq!(rows, expected.map(ToOwned::to_owned).into());
}

/// Each expression of the dashboard, as a rule that Prometheus' own tool reads.
#[test]
fn every_expression_of_the_dashboard_parses() {
    let Some(promtool) = setting("HOOKGATE_TEST_PROMTOOL") else {
        return;
    };
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    let mut count = 0;
    for panel in panels() {
        for expression in panel.expressions {
            // JSON is YAML.
            let expression = serde_json::json!(substituted(&expression));
            rules += &format!("      - {{record: 'panel:{count}', expr: {expression}}}\n");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("panels.yaml");
    std::fs::write(&file, rules).unwrap();
    let output = std::process::Command::new(promtool)
        .args(["check", "rules"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{count} expressions parse");
}
