//! Secrets are told to nobody: the real program, with a secret of every kind, is made to say as much
//! as it can, and every byte that leaves it is searched for each of them in every spelling, and for
//! each signature that it computed and nobody had sent.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly, and say what they counted"
)]

mod cast;
mod crash;
mod forms;
#[path = "../program/mod.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod program;
mod provoke;
mod sinks;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

use cast::Cast;
use forms::{Canary, FORMS, Search};
use program::Home;
use provoke::Provocations;
use sinks::Sinks;
use support::app::App;
use support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_computed_signature_leaves_the_program() {
    let (mut sinks, mut canaries, mut bytes) = (0, 0, 0);
    for format in ["json", "text"] {
        let scene = Scene::played(format).await;
        let hits = scene.hits();
        assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
        sinks += scene.sinks.all().count();
        canaries += scene.canaries.len();
        bytes += scene.sinks.all().map(|(_, said)| said.len()).sum::<usize>();
    }
    println!(
        "canary: two runs, {sinks} sinks, {canaries} secrets and signatures in {} forms each, {bytes} bytes searched: 0 hits",
        FORMS.len()
    );
    assert!(sinks >= 2 * 14 && canaries >= 2 * 40, "{sinks} {canaries}");
}

/// What was said, and what must not have been.
struct Scene {
    sinks: Sinks,
    canaries: Vec<Canary>,
}

impl Scene {
    async fn played(format: &str) -> Self {
        let mut home = Home::empty();
        let cast = Cast::at(&mut home);
        home.set("log.level", "trace");
        home.set("log.format", format);
        home.set("server.listen", &format!("{},127.0.0.1:0", home.gate()));
        home.set("server.public_url", support::sender::PUBLIC_URL);
        home.set("server.rejections_per_peer.per_second", "0");
        let app = App::start(&home.app()).await;
        let provocations = Provocations::new(&cast);
        let mut sinks = Sinks::default();

        let program = home.start();
        home.ready().await;
        sinks.ask_the_gate(&home, &provocations).await;
        let (token, path) = (&*cast.admin_token, "/api/v1/rejections?limit=500");
        eventually("the examinations", async || {
            let list = sinks::ask_admin(&home, Some(token), "GET", path).await;
            !list.text().contains(r#""examination":"pending""#)
        })
        .await;
        sinks.ask_the_admin(&home, &cast).await;
        sinks.ask_the_commands(&home, &cast).await;
        sinks.keep_the_store(&home, "the store while it runs");
        program.terminate();
        assert_eq!(program.ended().await, Some(0), "{}", home.log());
        sinks.keep_the_store(&home, "the store");
        sinks.keep("the log", home.log().as_bytes());
        let out = std::fs::read(home.path().join("out")).expect("standard output");
        sinks.keep("standard output", &out);
        sinks.start_badly(&home, &cast);

        let mut canaries = cast.canaries;
        canaries.extend(provocations.computed);
        canaries.extend(sinks.keep_the_app(&app.stop().await));
        Self { sinks, canaries }
    }

    /// Where a canary was found that must not be there.
    fn hits(&self) -> Vec<String> {
        let search = Search::new(&self.canaries);
        let mut hits = Vec::new();
        for (sink, bytes) in self.sinks.all() {
            let found = search.find(bytes).into_iter();
            for hit in found.filter(|hit| !hit.canary.by_right.contains(&sink)) {
                let around = &bytes[hit.at.saturating_sub(80)..(hit.at + 60).min(bytes.len())];
                let around = String::from_utf8_lossy(around);
                let (name, form) = (&hit.canary.name, hit.form);
                hits.push(format!("{name} as {form} in {sink}: {around:?}"));
            }
        }
        hits
    }
}
