//! Sessions of the page: logging in with a token, what the cookie is good for, and its end.

use crate::support::app::App;
use crate::support::gate::{Gate, Setup};
use crate::support::http::{Answer, Connection};
use crate::support::sender::Sender;

const FULL: &str = "full-token-0123456789abcdef0123456789";
const READ: &str = "read-token-0123456789abcdef0123456789";

/// A gate with both tokens and one delivered event: its id.
async fn guarded() -> (Setup, App, Gate, String) {
    let stripe = Sender::new("stripe");
    let (mut setup, app) = Setup::scene(&[&stripe]).await;
    for (key, token) in [("admin.token_file", FULL), ("admin.read_token_file", READ)] {
        let file = setup.file(key);
        std::fs::write(&file, token).unwrap();
        setup.set(key, &file.display().to_string());
    }
    let gate = setup.start().await;
    let id = gate
        .post(&stripe.event("evt_1"))
        .await
        .acknowledged("stored");
    (setup, app, gate, id)
}

async fn log_in(gate: &Gate, body: &str, headers: &str) -> Answer {
    let request = format!(
        "POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::open(&gate.admin).await;
    connection.ask(request.as_bytes()).await
}

/// The cookie of a session, as a browser sends it back.
async fn session(gate: &Gate, token: &str) -> String {
    let answer = log_in(gate, &format!("{{\"token\":\"{token}\"}}"), "").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    for rule in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(rule), "{cookie}");
    }
    let (pair, _) = cookie.split_once(';').unwrap();
    assert!(!pair.contains(token));
    pair.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_worth_its_token_until_it_ends() {
    let (_setup, _app, gate, id) = guarded().await;
    let (full, read) = (session(&gate, FULL).await, session(&gate, READ).await);
    let status = gate
        .ask("GET", "/api/v1/status", &[("cookie", &read)])
        .await;
    assert_eq!(status.json()["access"], "read");
    assert_eq!(status.json()["session"], true);
    let replay = format!("/api/v1/events/{id}/replay");
    let refused = gate.ask("POST", &replay, &[("cookie", &read)]).await;
    assert_eq!(refused.json()["error"]["code"], "read_only", "{refused:?}");
    let cookies = format!("theme=dark; {full}; x=y");
    let taken = gate.ask("POST", &replay, &[("cookie", &cookies)]).await;
    assert!(matches!(taken.status, 202 | 409), "{taken:?}");

    let out = gate
        .ask("DELETE", "/api/v1/session", &[("cookie", &full)])
        .await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(
        gate.ask("GET", "/api/v1/status", &[("cookie", &full)])
            .await
            .status,
        401
    );
    assert_eq!(
        gate.ask("GET", "/api/v1/status", &[("cookie", &read)])
            .await
            .status,
        200
    );
    gate.stop().await;
}

/// The live tail, as who has this cookie sees it; the connection ends with it.
async fn tail(gate: &Gate, cookie: &str) -> Connection {
    let request = format!(
        "GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    );
    let mut connection = Connection::open(&gate.admin).await;
    connection.write(request.as_bytes()).await;
    let head = connection.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_logs_out_is_told_nothing_more() {
    let (_setup, _app, gate, id) = guarded().await;
    let (one, other) = (session(&gate, FULL).await, session(&gate, FULL).await);
    let (ended, mut lasting) = (tail(&gate, &one).await, tail(&gate, &other).await);
    let out = gate
        .ask("DELETE", "/api/v1/session", &[("cookie", &one)])
        .await;
    assert_eq!(out.status, 204);
    ended.until_closed().await;
    let event = format!("/api/v1/events/{id}");
    let erased = gate.ask("DELETE", &event, &[("cookie", &other)]).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    lasting.until("\"change\":\"erased\"").await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_cannot_be_looked_at() {
    let (_setup, _app, gate, _id) = guarded().await;
    let answer = gate.ask("GET", "/api/v1/session", &[]).await;
    assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_logs_in_with_a_wrong_token_or_from_another_site() {
    let (_setup, _app, gate, _id) = guarded().await;
    for (body, status) in [
        ("{\"token\":\"wrong\"}", 401),
        ("{\"token\":\"\"}", 401),
        ("{\"token\":5}", 400),
        ("{}", 400),
        ("", 400),
        ("{\"token\":\"x\",\"more\":1}", 400),
    ] {
        let answer = log_in(&gate, body, "").await;
        assert_eq!(
            (answer.status, answer.header("set-cookie")),
            (status, None),
            "{body}: {answer:?}"
        );
    }
    let right = format!("{{\"token\":\"{FULL}\"}}");
    for headers in [
        "origin: http://evil.example\r\n",
        "sec-fetch-site: cross-site\r\n",
    ] {
        let answer = log_in(&gate, &right, headers).await;
        assert_eq!(answer.json()["error"]["code"], "cross_site");
    }
    gate.stop().await;
}
