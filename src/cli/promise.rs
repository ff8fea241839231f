//! What a 200 of this gate is worth, in words: from when its sources answer, and from what the store lies on.

use crate::config::Config;
use crate::store::{Volume, VolumeKind};

/// The sources that answer at the same moment, and what their 200 means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// `sources.NAME.ack`.
    pub(super) ack: &'static str,
    /// Their names.
    pub(super) sources: String,
    /// In a sentence or two.
    pub(super) meaning: String,
    /// Acknowledged events can be gone without anything breaking.
    pub(super) is_weak: bool,
}

/// One for each value of `ack` that is in use.
pub(super) fn promises(config: &Config, volume: &Volume) -> Vec<Promise> {
    let of = |ack: &'static str| {
        let sources = config.ingress.sources.iter();
        let sources = sources.filter(|source| source.ack.name() == ack);
        let names: Vec<_> = sources.map(|source| source.name.as_str()).collect();
        let (meaning, is_weak) = match ack {
            "handled" => (handled(volume), false),
            "app" => (app(volume), false),
            _ => stored(volume),
        };
        (!names.is_empty()).then(|| Promise {
            ack,
            sources: names.join(", "),
            meaning,
            is_weak,
        })
    };
    [of("stored"), of("handled"), of("app")]
        .into_iter()
        .flatten()
        .collect()
}

/// What it means where senders are answered once the event is on disk, and whether that is little.
fn stored(volume: &Volume) -> (String, bool) {
    let kind = volume.kind();
    let way_out = if kind.may_go_with_its_owner() {
        ". Put store.path on a persistent volume, or let \"hookgate drain --wait\" hand over what is pending before \
         the end, or choose ack = \"handled\""
    } else {
        ""
    };
    // An emptyDir with a drain is a mode of its own, which the log cannot see.
    let is_weak = kind.may_go_with_its_owner() && kind != VolumeKind::EmptyDir;
    let meaning = format!(
        "a 200 means that the event is written to {} ({}) and will reach the app or a dead letter. It {}{way_out}",
        kind.what(),
        volume.filesystem(),
        kind.survives(),
    );
    (meaning, is_weak)
}

/// What it means where they are answered once the app has taken it, too.
fn handled(volume: &Volume) -> String {
    format!(
        "a 200 means that the event is stored and the app has taken it, or refused it for good: none that was answered \
         200 waits for the app. \
         What is lost with it ({}, {}) is which events are known as repeats; senders repeat the others",
        volume.kind().what(),
        volume.filesystem(),
    )
}

/// What it means where they get the app's own answer.
fn app(volume: &Volume) -> String {
    format!(
        "a success means that the event is stored and the app has taken it, in the app's own words where it said so \
         lately: none waits for the app. \
         What is lost with it ({}, {}) is which events are known as repeats; senders repeat the others",
        volume.kind().what(),
        volume.filesystem(),
    )
}
