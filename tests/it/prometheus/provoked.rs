//! Each shipped alert fires on a real Prometheus when its trouble happens to a real gate, and no other does.
//!
//! The rules are the shipped ones with every duration in them (`for:`, ranges, offsets) divided by
//! [`SHORTER`], and none below two seconds, which is four looks. Nothing else is changed: thresholds, labels and expressions are those
//! that an operator gets.

use std::collections::{BTreeMap, BTreeSet};

use super::scenes::{Scene, all};
use super::server::Server;
use super::{alerts, read};
use crate::support::{eventually, setting};

/// Five minutes become one second.
const SHORTER: u64 = 300;

/// Alerts that no scene provokes, and why. `promtool test rules` has cases for them.
const NOT_PROVOKED: [(&str, &str); 4] = [
    (
        "HookgateBug",
        "a panic in a handler is a bug of hookgate, and none is known",
    ),
    ("HookgateInjectorDown", OF_INJECTOR),
    ("HookgateInjectorSkips", OF_INJECTOR),
    ("HookgateInjectorCertificateExpiring", OF_INJECTOR),
];
const OF_INJECTOR: &str = "the scenes are gates; an injector has an API server in front of it";

/// A duration such as `5m`, shorter, in milliseconds.
fn shorter(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: u64 = number.parse().expect("a number");
    let seconds = match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3_600,
        "d" => number * 86_400,
        _ => panic!("{duration}"),
    };
    format!("{}ms", (seconds * 1_000 / SHORTER).max(2_000))
}

/// The shipped rules, in a hurry.
fn hurried(rules: &str) -> String {
    let mut hurried = rules.to_owned();
    for (before, after) in [
        ("for: ", "\n"),
        ("[", "]"),
        (" offset ", ")"),
        (" offset ", "\n"),
    ] {
        let mut done = String::new();
        let mut rest = hurried.as_str();
        while let Some((head, tail)) = rest.split_once(before) {
            let (duration, tail) = tail.split_at(tail.find(after).expect("an end"));
            let is_duration = duration.len() > 1
                && duration.ends_with(|unit: char| "smhd".contains(unit))
                && duration[..duration.len() - 1]
                    .bytes()
                    .all(|byte| byte.is_ascii_digit());
            done += head;
            done += before;
            done += &if is_duration {
                shorter(duration)
            } else {
                duration.to_owned()
            };
            rest = tail;
        }
        done += rest;
        hurried = done;
    }
    hurried
}

#[test]
fn rules_are_hurried_in_their_durations_only() {
    let shipped = "for: 10m\nexpr: (rate(x{a=\"5m\"}[5m]) > 900 unless x offset 1h)\n";
    assert_eq!(
        hurried(shipped),
        "for: 2000ms\nexpr: (rate(x{a=\"5m\"}[2000ms]) > 900 unless x offset 12000ms)\n"
    );
    let rules = read("config/prometheus/alerts.yaml");
    let hurried = hurried(&rules);
    for unit in ["m", "h", "d"] {
        for digit in 0..10 {
            for end in ["]", "\n", ")"] {
                let left = format!("{digit}{unit}{end}");
                assert!(!hurried.contains(&left), "{left:?} is left");
            }
        }
    }
}

fn every_alert_has_a_scene(scenes: &[Scene]) {
    let expected: BTreeSet<_> = scenes
        .iter()
        .flat_map(|scene| scene.fires.iter().copied())
        .collect();
    let mut skipped: BTreeSet<_> = NOT_PROVOKED
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if !scenes.iter().any(|scene| scene.name == "certificate") {
        skipped.extend(
            ["HookgateCertificateExpiring", "HookgateTlsReloadFailed"].map(ToOwned::to_owned),
        );
    }
    if !scenes.iter().any(|scene| scene.name == "volatile") {
        skipped.insert("HookgateStoreVolatile".to_owned());
    }
    for alert in alerts() {
        let is_provoked = expected.contains(&*alert.name);
        assert!(
            is_provoked || skipped.contains(&alert.name),
            "no scene for {}",
            alert.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_fires_when_its_trouble_happens_and_no_other_does() {
    let Some(program) = setting("HOOKGATE_TEST_PROMETHEUS") else {
        return;
    };
    let mut scenes = Box::pin(all()).await;
    every_alert_has_a_scene(&scenes);

    let gates: Vec<_> = scenes
        .iter()
        .map(|scene| (scene.name.to_owned(), scene.scraped_at.clone()))
        .collect();
    let rules = hurried(&read("config/prometheus/alerts.yaml"));
    let prometheus = Server::start(&program, &rules, &gates);
    eventually("a first look at every gate", async || {
        prometheus.query("up == 1").await.len() == gates.len()
    })
    .await;
    for scene in &mut scenes {
        scene.begin().await;
    }

    let mut fired: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    eventually("every alert", async || {
        for (gate, alert) in prometheus.firing().await {
            fired.entry(gate).or_default().insert(alert);
        }
        let before = std::mem::take(&mut missing);
        for scene in &scenes {
            let seen = fired.get(scene.name).cloned().unwrap_or_default();
            let not_yet = scene.fires.iter().filter(|alert| !seen.contains(**alert));
            missing.extend(not_yet.map(|alert| format!("{}: {alert}", scene.name)));
        }
        if missing != before {
            println!("not yet: {missing:?}");
        }
        if !missing.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await; // between two looks
        }
        missing.is_empty()
    })
    .await;

    for scene in &scenes {
        let seen = fired.remove(scene.name).unwrap_or_default();
        let more: Vec<_> = seen.iter().filter(|alert| !scene.may_fire(alert)).collect();
        assert!(more.is_empty(), "{}: {more:?} fired, too", scene.name);
        println!(
            "{}: {}",
            scene.name,
            seen.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    for scene in scenes {
        scene.end().await;
    }
}
