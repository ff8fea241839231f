//! Every expression of the dashboard gives something on a real Prometheus that scrapes a gate at work.

use std::time::Duration;

use super::server::Server;
use super::{certificate, panels, substituted};
use crate::support::app::Reply;
use crate::support::gate::Setup;
use crate::support::sender::{Sender, tampered};
use crate::support::{eventually, setting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_shows_something_of_a_gate_at_work() {
    let Some(program) = setting("HOOKGATE_TEST_PROMETHEUS") else {
        return;
    };
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    // A listener for senders beside the one with TLS, which has a certificate to show.
    let Some((certificate, key)) = certificate(&setup) else {
        return;
    };
    let gate = setup.start().await;
    let mut with_tls = Setup::new();
    with_tls.source(&stripe);
    with_tls.set("server.tls.certificate", &certificate.display().to_string());
    with_tls.set("server.tls.key", &key.display().to_string());
    let with_tls = with_tls.start().await;
    app.script(|delivery| match delivery.attempt() {
        1 if delivery.body.ends_with(b"7\"}") => Reply::status(410),
        _ => Reply::ok(),
    });
    let gates = [("gate", &gate), ("tls", &with_tls)];
    let gates = gates.map(|(name, gate)| (name.to_owned(), gate.admin.to_string()));
    let prometheus = Server::start(&program, "groups: []\n", &gates);

    let mut sent = 0;
    let mut empty = Vec::new();
    eventually("something in every panel", async || {
        // Of all kinds, and now, since rates look at the last seconds.
        for _ in 0..20 {
            sent += 1;
            let event = stripe.event(&format!("evt_{sent}"));
            gate.post(&event).await;
            gate.post(&event).await;
            gate.post(&tampered(&stripe.event("evt_forged"))).await;
        }
        empty.clear();
        for panel in panels() {
            for expression in panel.expressions {
                let samples = prometheus.query(&substituted(&expression)).await;
                let shown = samples.iter().any(|(_, value)| value.is_finite());
                if !shown {
                    empty.push(format!("{}: {expression}", panel.title));
                }
            }
        }
        println!("without a sample: {empty:?}");
        tokio::time::sleep(Duration::from_millis(100)).await; // between two looks
        empty.is_empty()
    })
    .await;
    gate.stop().await;
    with_tls.stop().await;
}
