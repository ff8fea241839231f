//! A gate on a Unix socket with an app behind it, and the proof after each case that both are well.

use hookgate::net::Address;
use hookgate::verify::Unsigned;

use crate::bytes::Parts;
use crate::support::app::{App, Delivery};
use crate::support::gate::{Gate, Setup};
use crate::support::http::find;
use crate::support::sender::Sender;
use crate::wire::{Wire, in_real_time};

/// Names that must never reach an app: they belong to one connection, or are ours to say.
const NEVER_FORWARDED: [&str; 13] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-trailer",
];

/// What we say to the app.
const OURS: [&str; 8] = [
    "hookgate-event-id",
    "hookgate-source",
    "hookgate-provider-event-id",
    "hookgate-event-type",
    "hookgate-received-at",
    "hookgate-attempt",
    "hookgate-replay",
    "hookgate-verified",
];

pub(crate) struct Scene {
    sender: Sender,
    _setup: Setup,
    app: App,
    gate: Gate,
    events: usize,
    /// How many should be stored by now.
    pub(crate) stored: usize,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let sender = Sender::new("stripe");
        let (mut setup, app) = Setup::scene(&[&sender]).await;
        let socket = Address::Unix(setup.file("gate.sock"));
        setup.set("server.listen", &socket.to_string());
        setup.set("sources.stripe.body_max", "64KiB");
        for (key, value) in settings {
            setup.set(key, value);
        }
        let gate = setup.start().await;
        Self {
            sender,
            _setup: setup,
            app,
            gate,
            events: 0,
            stored: 0,
        }
    }

    /// From now on the app answers nobody.
    pub(crate) fn hush(&self) {
        self.app.script(|_| crate::support::app::Reply::Held);
    }

    /// Waits until so many requests have come to the app.
    pub(crate) async fn asked(&self, count: usize) {
        let asked = in_real_time(self.app.received(count)).await;
        asked.expect("the app is asked");
    }

    pub(crate) fn address(&self) -> &Address {
        &self.gate.address
    }

    /// A genuine event that has not been sent yet.
    pub(crate) fn event(&mut self) -> Unsigned {
        self.events += 1;
        self.sender.event(&format!("evt_{}", self.events))
    }

    /// How many connections of senders are open.
    pub(crate) async fn connections(&self) -> usize {
        self.metric("hookgate_connections").await
    }

    /// How many requests have been answered 404.
    pub(crate) async fn unknown_paths(&self) -> usize {
        let series = r#"hookgate_unrouted_requests_total{reason="not_found"}"#;
        self.metric(series).await
    }

    async fn metric(&self, series: &str) -> usize {
        let value = in_real_time(self.gate.metric(series)).await.flatten();
        let value = value.map(|value| value.to_string());
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Says what is wrong with the gate, if anything: it answers a good request on a connection of
    /// its own, and has stored what it should have.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        let event = self.event();
        let mut wire = Wire::open(self.address()).await;
        wire.write(&Parts::of(&event).fill("<good>")).await;
        wire.until(|seen| seen.closed || find(&seen.bytes, b"\r\n\r\n").is_some())
            .await;
        if !wire.seen().bytes.starts_with(b"HTTP/1.1 200 ") {
            return Err("a good request was not answered 200 afterwards".to_owned());
        }
        self.stored += 1;
        let series = r#"hookgate_requests_total{outcome="stored",source="stripe"}"#;
        let stored = self.metric(series).await;
        let expected = std::mem::replace(&mut self.stored, stored);
        if stored == expected {
            Ok(())
        } else {
            Err(format!("{stored} events are stored and not {expected}"))
        }
    }

    /// Stops all; the app must have got what was stored, and nothing that it must not see.
    pub(crate) async fn stop(self) -> usize {
        let received = in_real_time(self.app.received(self.stored)).await;
        received.expect("all that was stored reaches the app");
        self.gate.stop().await;
        let deliveries = self.app.stop().await;
        assert_eq!(deliveries.len(), self.stored);
        for delivery in &deliveries {
            only_what_an_app_may_see(delivery);
        }
        deliveries.len()
    }
}

fn only_what_an_app_may_see(delivery: &Delivery) {
    let head = String::from_utf8_lossy(&delivery.head);
    assert_eq!(delivery.all("host").len(), 1, "{head}");
    assert_eq!(delivery.all("content-length").len(), 1, "{head}");
    for (name, _) in delivery.headers() {
        let folded = name.to_ascii_lowercase().replace('_', "-");
        assert!(!NEVER_FORWARDED.contains(&folded.as_str()), "{head}");
        if folded.starts_with("hookgate-") {
            assert!(OURS.contains(&name.as_str()), "{head}");
        }
    }
    for name in OURS {
        assert!(delivery.all(name).len() < 2, "{head}");
    }
}
