//! The gate that the browser looks at, what was sent to it, and what can be sent while it looks.

use serde_json::{Value, json};

use crate::payloads;
use crate::support::app::{App, Reply};
use crate::support::gate::{Gate, Setup};
use crate::support::sender::{Sender, tampered};

/// More than fit on a page of the list.
const FILLING: usize = 55;
/// The longest body that is taken; the page shows its start.
const LONG_BODY: usize = 5 * 1024 * 1024;
/// Tries until the app takes what is tried often; more than the store remembers.
const OFTEN: u32 = 40;

pub(crate) struct Scene {
    gate: Gate,
    stripe: Sender,
    description: Value,
    _app: App,
    _setup: Setup,
}

impl Scene {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A gate that asks for a token.
    pub(crate) async fn locked() -> Self {
        let mut scene = Self::with(|setup| {
            for (setting, token) in [
                ("token_file", "open sesame"),
                ("read_token_file", "look at me"),
            ] {
                let file = setup.file(setting);
                std::fs::write(&file, token).expect("a file");
                setup.set(&format!("admin.{setting}"), &file.display().to_string());
            }
        })
        .await;
        scene.description = json!({ "base": scene.base() });
        scene
    }

    async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let (stripe, hmac) = (Sender::new("stripe"), Sender::new("hmac"));
        let (mut setup, app) = Setup::scene(&[&stripe, &hmac]).await;
        change(&mut setup);
        setup.set("server.rejections_per_peer.per_second", "0");
        setup.set("app.retry.max", "1ms");
        // What the event says is what the app answers, so that its words reach the page too.
        app.script(|delivery| {
            let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
            match body["answer"].as_str() {
                Some("once") if delivery.attempt() > 1 => Reply::ok(),
                Some("once") => answering(503, "not today"),
                Some("often") if delivery.attempt() < OFTEN => answering(503, "not now"),
                Some("never") => answering(410, body["type"].as_str().unwrap_or_default()),
                _ => Reply::ok(),
            }
        });
        Self {
            gate: setup.start().await,
            stripe,
            description: Value::Null,
            _app: app,
            _setup: setup,
        }
    }

    /// Events in every state, bodies of every kind, and refused requests.
    pub(crate) async fn usual() -> Self {
        let mut scene = Self::start().await;
        let hmac = Sender::new("hmac");
        for n in 0..FILLING {
            let answer = scene.gate.post(&hmac.event(&format!("filling-{n}"))).await;
            answer.acknowledged("stored");
        }
        let binary = scene.send(b"\xff\xfe{\0'\"\x80", &[]).await;
        let mut long = br#"{"id":"long","type":"long.body","text":""#.to_vec();
        long.resize(LONG_BODY - 2, b'x');
        long.extend(br#""}"#);
        let long = scene.send(&long, &[]).await;
        let tricky = r#"{"id":"it's","type":"quoted","big":12345678901234567890,"text":"@'$(hit)`hit`\n\"%s","a":1,"a":2}"#;
        let tricky = scene
            .send(
                tricky.as_bytes(),
                &[
                    ("x-quote", "it's $HOME `id`"),
                    ("authorization", "Basic c2VjcmV0"),
                ],
            )
            .await;
        let dead = scene.typed("evt_dead", "invoice.refused", "never").await;
        scene.gate.settled(&dead, "dead").await;
        let often = scene.typed("evt_often", "invoice.often", "often").await;
        scene.gate.settled(&often, "delivered").await;
        let retried = scene.typed("evt_retried", "invoice.retried", "once").await;
        scene.gate.settled(&retried, "delivered").await;
        scene.refuse("/webhooks/stripe").await;
        scene.description = json!({
            "binary": binary, "long": long, "tricky": tricky, "dead": dead, "retried": retried, "often": often,
            "filling": FILLING, "base": scene.base(),
        });
        scene
    }

    /// Payloads everywhere a sender, an app or a forger can write.
    pub(crate) async fn hostile() -> Self {
        let mut scene = Self::start().await;
        let mut events = Vec::new();
        for (n, payload) in payloads::all().into_iter().enumerate() {
            let body = json!({
                "id": format!("{n} {payload}"), "type": payload, "answer": "never",
                (payload.as_str()): [payload, { "text": payload }],
            });
            let plain: String = payload.chars().filter(char::is_ascii).collect();
            let headers = [
                ("x-payload", plain.as_str()),
                ("x-'-`$hit`-'|!#%&*", plain.as_str()),
            ];
            let id = scene.send(body.to_string().as_bytes(), &headers).await;
            scene.gate.settled(&id, "dead").await;
            events.push(json!({ "id": id, "payload": payload }));
            let query: String = plain
                .chars()
                .map(|c| if is_query(c) { c } else { '+' })
                .collect();
            scene
                .refuse(&format!("/webhooks/stripe?'-hit()-'={query}"))
                .await;
        }
        scene.description = json!({ "events": events, "base": scene.base() });
        scene
    }

    /// The page's address.
    fn base(&self) -> String {
        format!("http://{}", self.gate.admin)
    }

    pub(crate) fn description(&self) -> Value {
        self.description.clone()
    }

    /// What the script asks for; what came of it.
    pub(crate) async fn act(&self, what: &str) -> Value {
        let (word, name) = what.split_once(' ').expect("a word and a name");
        match word {
            "send" => json!({ "id": self.typed(name, "live.event", "").await }),
            "deliveries" => {
                let event = self.gate.event(name).await;
                json!({ "attempts": event["attempts_made"].as_array().map(Vec::len), "state": event["state"] })
            }
            unknown => panic!("the script asks for {unknown}"),
        }
    }

    async fn typed(&self, id: &str, event_type: &str, answer: &str) -> String {
        let body = json!({ "id": id, "type": event_type, "answer": answer });
        self.send(body.to_string().as_bytes(), &[]).await
    }

    /// A genuine event; our id of it.
    async fn send(&self, body: &[u8], headers: &[(&str, &str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let request = self
            .stripe
            .signed(&self.stripe.target(), headers.collect(), body, "");
        self.gate.post(&request).await.event_id()
    }

    /// A forgery.
    async fn refuse(&self, target: &str) {
        let headers = vec![("x-'hit'".to_owned(), "x".to_owned())];
        let request = self
            .stripe
            .signed(target, headers, br#"{"id":"forged"}"#, "");
        assert_eq!(self.gate.post(&tampered(&request)).await.status, 401);
    }
}

fn is_query(char: char) -> bool {
    char.is_ascii_alphanumeric() || "!$'()*,-./:;=?@_~`{|}".contains(char)
}

fn answering(status: u16, body: &str) -> Reply {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Reply::Answer([head.as_bytes(), body.as_bytes()].concat())
}
