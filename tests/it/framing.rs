//! How the sender framed its request is between it and the gate: the app hears of none of it.

use hookgate::verify::Unsigned;

use crate::support::gate::Setup;
use crate::support::http::Connection;
use crate::support::sender::Sender;

/// Ways to frame this body that are one message to everybody: what stands behind the sender's own headers.
fn framings(body: &str) -> [String; 5] {
    let (size, length) = (format!("{:x}", body.len()), body.len());
    let (first, rest) = body.split_at(7);
    let rest_size = format!("{:x}", rest.len());
    [
        format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\n{body}\r\n0\r\n\r\n"),
        format!(
            "transfer-encoding:CHUNKED\r\nTrailer: X-Smuggled\r\nTE: trailers\r\nConnection: te\r\n\r\n\
             7;smuggled=1\r\n{first}\r\n{rest_size}\r\n{rest}\r\n0;smuggled\r\nX-Smuggled: 1\r\nContent-Length: 0\r\n\
             Transfer-Encoding: chunked\r\nHookgate-Event-Id: smuggled\r\nHookgate_Verified: smuggled\r\n\
             Host: smuggled\r\nStripe-Signature: smuggled\r\n\r\n"
        ),
        format!(
            "Transfer_Encoding: chunked, smuggled\r\nContent_Length: 1\r\nTrailer: X-Smuggled\r\n\
             Proxy_Smuggled: 1\r\nKeep_Alive: smuggled\r\nhOOKGATE_eVENT-iD: smuggled\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "Connection: content-length, transfer-encoding, X-SMUGGLED\r\nConnection: hookgate-verified ,\tx_smuggled\r\n\
             X-Smuggled: smuggled\r\nx_smuggled: smuggled\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
        format!(
            "Upgrade: smuggled\r\nHTTP2-Settings: smuggled\r\nProxy: smuggled\r\nProxy-Smuggled: 1\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    ]
}

/// Request line, host and the headers that the sender signs with.
fn head(event: &Unsigned) -> String {
    let headers = event.headers.iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("POST {} HTTP/1.1\r\nHost: a\r\n{headers}", event.url)
}

/// The app hears one length, which is right, and reads one request, whatever the sender wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_framing_of_a_request_is_ours_and_nothing_of_the_senders_is_left_in_it() {
    let stripe = Sender::new("stripe");
    let (setup, app) = Setup::scene(&[&stripe]).await;
    let gate = setup.start().await;
    let ways = framings(std::str::from_utf8(&stripe.event("evt_0").body).unwrap()).len();
    for n in 0..ways {
        let event = stripe.event(&format!("evt_{n}"));
        let body = std::str::from_utf8(&event.body).unwrap();
        let request = head(&event) + &framings(body)[n];
        let mut connection = Connection::open(&gate.address).await;
        connection
            .ask(request.as_bytes())
            .await
            .acknowledged("stored");

        let delivery = app.delivery(n).await;
        let raw = String::from_utf8_lossy(&delivery.head).to_lowercase();
        for never in [
            "smuggled",
            "chunked",
            "transfer",
            "trailer",
            "\r\nte:",
            "connection",
            "upgrade",
        ] {
            assert!(!raw.contains(never), "{never} in {raw}");
        }
        assert_eq!(delivery.all("content-length"), [body.len().to_string()]);
        assert_eq!(delivery.all("host"), ["a"]);
        assert_eq!(delivery.body, event.body);
    }
    let event = stripe.event("evt_never");
    let body = String::from_utf8(event.body.to_vec()).unwrap();
    let length = format!("Content-Length: {}\r\n", body.len());
    for twice in [
        length.repeat(2),
        format!("{length}Content-Length: 0\r\n"),
        format!("{length}Transfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\n{length}"),
        format!("{length}Transfer-Encoding: identity\r\n"),
    ] {
        let request = format!("{}{twice}\r\n{body}", head(&event));
        let mut connection = Connection::open(&gate.address).await;
        let answer = connection.ask(request.as_bytes()).await;
        assert_eq!(answer.status, 400, "{twice}");
    }
    gate.stop().await;
    assert_eq!(app.stop().await.len(), ways);
}
