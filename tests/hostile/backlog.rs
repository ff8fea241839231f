//! An app that was away for long: the gate starts with all it has kept, in little memory.

use std::time::Instant;

use crate::machine::{Cgroup, figure};
use crate::program::{Home, Program};
use crate::size;
use crate::support::app::App;
use crate::support::eventually;
use crate::support::http::Connection;
use crate::support::sender::{Sender, bytes};

const PENDING: &str = r#"hookgate_events{source="stripe",state="pending"}"#;
const CONNECTIONS: usize = 16;

async fn fill(home: &Home, sender: &Sender, count: usize) {
    let mut senders = tokio::task::JoinSet::new();
    for lane in 0..CONNECTIONS {
        let (gate, sender) = (home.gate(), sender.clone());
        senders.spawn(async move {
            let mut connection = Connection::open(&gate).await;
            for n in (lane..count).step_by(CONNECTIONS) {
                let body = format!(r#"{{"id":"evt_{n}","object":"event","pad":"{n:02000}"}}"#);
                let request = sender.signed("/webhooks/stripe", vec![], body.as_bytes(), "");
                let answer = connection.ask(&bytes(&request)).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        });
    }
    senders.join_all().await;
}

fn high_water_mib(program: &Program) -> u64 {
    figure(program.pid(), "status", "VmHWM") / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_starts_serves_and_drains_in_little_memory() {
    let Some(cgroup) = Cgroup::new(size("MEMORY_MIB", 64)) else {
        return;
    };
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let count = size("BACKLOG_EVENTS", 10_000);
    let program = home.start_under(&cgroup.around());
    home.ready().await;
    fill(&home, &stripe, count).await;
    let filling = high_water_mib(&program);
    program.kill();

    let began = Instant::now();
    let program = home.start_under(&cgroup.around());
    home.ready().await;
    let ready = began.elapsed();
    let page = Instant::now();
    assert_eq!(home.get("/api/v1/events?limit=50").await.status, 200);
    let page = page.elapsed();
    let mut connection = Connection::open(&home.gate()).await;
    let event = connection.ask(&bytes(&stripe.event("evt_new"))).await;
    event.acknowledged("stored");

    let (app, draining) = (App::start(&home.app()).await, Instant::now());
    eventually("the end of the backlog", async || {
        app.received(0).await;
        home.metric(PENDING).await == 0.0
    })
    .await;
    let drained = draining.elapsed();
    let deliveries = app.stop().await;
    let ids: std::collections::HashSet<_> = deliveries
        .iter()
        .map(|delivery| delivery.event_id())
        .collect();
    println!(
        "backlog: {count} events of 2 KiB; ready after {} ms, a page of events after {} ms, drained in \
         {:.1} s; {} of {} delivered; {filling} MiB resident at most while filling, {} MiB while draining, \
         {:.1} MiB of the group, {} killed",
        ready.as_millis(),
        page.as_millis(),
        drained.as_secs_f64(),
        ids.len(),
        count + 1,
        high_water_mib(&program),
        cgroup.peak_mib(),
        cgroup.killed(),
    );
    assert_eq!((ids.len(), cgroup.killed()), (count + 1, 0));
}
