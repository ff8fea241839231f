//! What following HTTP/1 framing in front of hyper costs, beside the hash of 1 KiB that the plainest
//! verification contains. Only ratios within one run mean something.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use hookgate::server::bench::FramingBench;

/// A webhook as it comes through a proxy, and the same in chunks: a head of about 700 bytes, a body
/// of 1 KiB.
fn requests() -> [(&'static str, Vec<u8>); 2] {
    let head = format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: Stripe/1.0\r\n\
         Content-Type: application/json; charset=utf-8\r\nAccept: */*; q=0.5, application/xml\r\n\
         Cache-Control: no-cache\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
         X-Request-Id: {}\r\nTraceparent: 00-{}-{}-01\r\n\
         Stripe-Signature: t=1735689600,v1={},v0={}\r\n",
        "1".repeat(36),
        "2".repeat(32),
        "3".repeat(16),
        "4".repeat(64),
        "5".repeat(64)
    );
    let body = "x".repeat(1024);
    let whole = format!("{head}Content-Length: 1024\r\n\r\n{body}");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n400\r\n{body}\r\n0\r\n\r\n");
    [("a length", whole.into()), ("chunks", chunked.into())]
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    for (name, mut request) in requests() {
        let mut connection = FramingBench::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| connection.pass(black_box(&mut request)));
        });
        assert_eq!(connection.pass(&mut request), request.len());
    }
    let mac = Hmac::<sha2::Sha256>::new_from_slice(b"secret");
    let (Ok(mac), body) = (mac, [b'x'; 1024]) else {
        return;
    };
    group.bench_function("hmac-sha256 of 1 KiB", |bencher| {
        bencher.iter(|| {
            let mut mac = mac.clone();
            mac.update(black_box(&body));
            mac.finalize()
        });
    });
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
