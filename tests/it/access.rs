//! Who may use the admin listener: every route with every method, token, name and page behind it.

use crate::support::app::App;
use crate::support::gate::{Gate, Setup};
use crate::support::http::Connection;
use crate::support::sender::Sender;

const TOKEN: &str = "an-admin-token-of-32-bytes-or-so";
const READ_TOKEN: &str = "a-token-for-looking-of-32-bytes-";
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const HOSTS: [&str; 4] = [
    "localhost",
    "127.0.0.1:9090",
    "evil.example",
    "127.0.0.1.evil.example",
];
/// What a browser adds, and whether a page of another site is behind it.
const PAGES: [(&str, bool); 6] = [
    ("", false),
    ("Sec-Fetch-Site: none\r\n", false),
    ("Origin: http://other.example\r\n", true),
    ("Origin: null\r\n", true),
    ("Sec-Fetch-Site: cross-site\r\n", true),
    ("Sec-Fetch-Site: same-site\r\n", true),
];

/// One request to the admin listener.
struct Cell {
    method: &'static str,
    path: String,
    token: Option<&'static str>,
    host: &'static str,
    page: (&'static str, bool),
}

impl Cell {
    /// All requests to these paths.
    fn all(paths: &[String]) -> Vec<Self> {
        let tokens = [
            None,
            Some(""),
            Some("wrong"),
            Some(&TOKEN[..31]),
            Some(READ_TOKEN),
            Some(TOKEN),
        ];
        let mut cells = Vec::new();
        for path in paths {
            for method in METHODS {
                for token in tokens {
                    for host in HOSTS {
                        let cell = |page| Self {
                            method,
                            path: path.clone(),
                            token,
                            host,
                            page,
                        };
                        cells.extend(PAGES.map(cell));
                    }
                }
            }
        }
        cells
    }

    /// Whether all is there that the listener asks for, with a token or without.
    fn may(&self, asks_for_token: bool) -> bool {
        let proven = match asks_for_token {
            true if self.method == "GET" => matches!(self.token, Some(TOKEN | READ_TOKEN)),
            true => self.token == Some(TOKEN),
            false => HOSTS[..2].contains(&self.host),
        };
        proven && !self.page.1
    }

    /// Whether it would change something.
    fn changes(&self) -> bool {
        let routes: &[&str] = match self.method {
            "POST" => &["/replay", "/hold", "/release"],
            "DELETE" => &["/captured-secret", "/replay"],
            _ => &[],
        };
        let erases = self.path.contains("/evt_") && self.path.matches('/').count() == 4;
        (erases && self.method == "DELETE") || routes.iter().any(|route| self.path.ends_with(route))
    }

    fn bytes(&self) -> Vec<u8> {
        let (method, path, host, page) = (self.method, &self.path, self.host, self.page.0);
        let token = self
            .token
            .map(|token| format!("Authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}{page}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }
}

/// A gate with an event that was delivered and a secret that was captured.
struct Scene {
    setup: Setup,
    app: App,
    gate: Gate,
    event: String,
}

impl Scene {
    async fn new(asks_for_token: bool) -> Self {
        let github = Sender::new("github");
        let (mut setup, app) = Setup::scene(&[&github]).await;
        setup.set("sources.asana.provider", "asana");
        setup.set("sources.asana.capture", "true");
        let tokens = [
            ("admin.token_file", TOKEN),
            ("admin.read_token_file", READ_TOKEN),
        ];
        for (key, token) in tokens.into_iter().filter(|_| asks_for_token) {
            let file = setup.file(key);
            std::fs::write(&file, token).unwrap();
            setup.set(key, &file.display().to_string());
        }
        let gate = setup.start().await;
        let handshake = b"POST /webhooks/asana HTTP/1.1\r\nHost: a\r\nX-Hook-Secret: a-captured-secret\r\nContent-Length: 0\r\n\r\n";
        let answer = Connection::open(&gate.address).await.ask(handshake).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let event = gate.post(&github.event("1")).await.acknowledged("stored");
        app.received(1).await;
        let scene = Self {
            setup,
            app,
            gate,
            event,
        };
        crate::support::eventually("the delivery", async || {
            let shown = scene.state().await;
            shown.contains(r#""state":"delivered""#)
        })
        .await;
        scene
    }

    /// All that the API describes but logging in and out, which is for everybody; and what is beside it.
    async fn paths(&self) -> Vec<String> {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*token)];
        let described = self.gate.ask("GET", "/api/v1/openapi.json", &headers).await;
        let described = described.json();
        let routes = described["paths"].as_object().unwrap().keys();
        let routes = routes.filter(|route| *route != "/api/v1/session");
        let named = routes.map(|route| {
            let route = route.replace("{id}", &self.event);
            route.replace("{name}", "asana")
        });
        let beside = [
            "/livez",
            "/readyz",
            "/metrics",
            "/nowhere",
            "/api/v1/nowhere",
        ];
        let paths: Vec<_> = named.chain(beside.map(ToOwned::to_owned)).collect();
        assert!(paths.len() >= 19, "{paths:?}");
        paths
    }

    /// All that a request could change.
    async fn state(&self) -> String {
        let captured = std::fs::read(self.setup.store().join("captured/asana"));
        let headers = [("authorization", &*format!("Bearer {TOKEN}"))];
        let path = format!("/api/v1/events/{}", self.event);
        let event = self.gate.ask("GET", &path, &headers).await;
        let held = self
            .gate
            .ask("GET", "/api/v1/sources", &headers)
            .await
            .json();
        let held = held["sources"].as_array().unwrap().iter();
        let held: Vec<_> = held.map(|source| source["held"].clone()).collect();
        format!(
            "{} {captured:?} {held:?} {}",
            event.text(),
            self.app.deliveries().len()
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_or_told_without_all_that_is_asked_for() {
    let (mut refused, mut allowed) = (0, 0);
    for asks_for_token in [true, false] {
        let scene = Scene::new(asks_for_token).await;
        let before = scene.state().await;
        let cells = Cell::all(&scene.paths().await);
        let (changing, harmless): (Vec<_>, Vec<_>) = cells
            .iter()
            .partition(|cell| cell.changes() && cell.may(asks_for_token));
        for cell in harmless {
            let answer = Connection::open(&scene.gate.admin)
                .await
                .ask(&cell.bytes())
                .await;
            let what = format!("{} {answer:?}", String::from_utf8_lossy(&cell.bytes()));
            let is_api = cell.path.starts_with("/api/") && !cell.path.ends_with("/nowhere");
            if is_api && !cell.may(asks_for_token) {
                // That a route does not take a method is no secret.
                assert!(matches!(answer.status, 401 | 403 | 405), "{what}");
                assert!(answer.json()["error"]["code"].is_string(), "{what}");
                refused += 1;
            } else {
                assert!(!matches!(answer.status, 401 | 403), "{what}");
                allowed += 1;
            }
            // No site may ever read an answer, or ask whether it may.
            let told = answer
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control-"));
            assert!(!told, "{what}");
        }
        assert_eq!(scene.state().await, before);
        assert!(!changing.is_empty());
        allowed += changing.len();
        for cell in changing {
            let answer = Connection::open(&scene.gate.admin)
                .await
                .ask(&cell.bytes())
                .await;
            // What is gone cannot be replayed, a bulk replay wants a filter, and not all
            // of these take every method.
            assert!(
                matches!(answer.status, 200 | 202 | 400 | 404 | 405 | 409),
                "{answer:?}"
            );
        }
        assert_ne!(scene.state().await, before);
        scene.gate.stop().await;
    }
    println!("admin: {refused} requests refused without a change, {allowed} allowed");
    assert!(refused > 5_000, "{refused}");
}
