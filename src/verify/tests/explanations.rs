//! A verification told step by step agrees with the verdict, and gives nothing away.

use super::*;

fn told(verifier: &Verifier, request: impl Into<Received>, now: UnixMillis) -> (Vec<Step>, bool) {
    let explanation = verifier.explain(&request.into(), now);
    (explanation.steps, explanation.verdict.is_ok())
}

fn text(steps: &[Step]) -> String {
    let lines = steps
        .iter()
        .map(|step| format!("{:?} {}\n", step.mark, step.text));
    lines.collect()
}

fn stripe() -> (Sender, Unsigned) {
    let sender = Sender::new("stripe");
    let request = sender.request(sender.sample(), NOW, "x");
    (sender, request)
}

#[test]
fn a_good_request_has_only_good_steps_and_the_lengths_of_what_was_signed() {
    let (sender, request) = stripe();
    let body = request.body.len();
    let later = NOW.plus(Duration::from_secs(12));
    let (steps, verified) = told(&sender.verifier(), request, later);
    assert!(verified);
    let told = text(&steps);
    for part in [
        "found in header stripe-signature: `t` with 10 digits, `v1` with 64 hex digits",
        "hex of 32 bytes",
        &format!(
            "`{{timestamp}}.{{body}}`: timestamp 10 bytes, body {body} bytes, {} bytes in all",
            body + 11
        ),
        "12 s old, the tolerance 300 s",
        "secrets[0]: matches",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!steps.iter().any(|step| step.mark == Mark::Bad), "{told}");
}

#[test]
fn each_failure_is_told_where_it_is() {
    let (sender, request) = stripe();
    let bad = |request: Unsigned, now: UnixMillis| {
        let (steps, verified) = told(&sender.verifier(), request, now);
        assert!(!verified);
        let bad: Vec<_> = steps
            .into_iter()
            .filter(|step| step.mark == Mark::Bad)
            .collect();
        text(&bad)
    };
    let mut without = request.clone();
    without.headers.clear();
    assert!(bad(without, NOW).contains("looked for in header stripe-signature"));

    let mut changed = request.clone();
    changed.body = "{}".into();
    assert_eq!(bad(changed, NOW), "Bad secrets[0]: does not match\n");

    let mut cut = request.clone();
    cut.headers.last_mut().unwrap().1.pop();
    assert!(bad(cut, NOW).contains("parsed: "));

    let old = bad(request, NOW.plus(Duration::from_secs(301)));
    assert!(old.starts_with("Bad timestamp: 1735689600"), "{old}");
    assert_eq!(old.lines().count(), 1, "{old}");
}

#[test]
fn a_secret_that_another_one_made_up_for_is_no_failure() {
    let (sender, request) = stripe();
    let two = ["another", &*sender.verifying];
    let verifier = verifier(config(Arc::clone(&sender.provider), &two));
    let (steps, verified) = told(&verifier, request, NOW);
    assert!(verified);
    let told = text(&steps);
    assert!(told.contains("Note secrets[0]: does not match"), "{told}");
    assert!(told.contains("Good secrets[1]: matches"), "{told}");
}

#[test]
fn what_is_checked_beside_the_signature_is_told() {
    let scheme = serde_json::json!({
        "check": [{ "from": "header:X-Version", "equals": "1" }],
    });
    let provider = own_scheme(&scheme);
    let verifier = verifier(config(Arc::clone(&provider), &["s"]));
    let mut request = signed(&provider, "s", "/", &[]);
    let told_of = |request: Unsigned| text(&told(&verifier, request, NOW).0);
    assert!(told_of(request.clone()).contains("Good check: header:X-Version"));
    request.headers.retain(|(name, _)| name != "x-version");
    assert!(told_of(request).contains("Bad check: header:X-Version is missing"));
}

#[test]
fn networks_are_not_judged_and_observing_is_no_excuse() {
    let (sender, mut request) = stripe();
    let verifier = verifier(Config {
        allow_from: vec!["192.0.2.0/24".parse().unwrap()],
        observe: true,
        ..sender.config()
    });
    let (steps, verified) = told(&verifier, request.clone(), NOW);
    assert!(verified && text(&steps).contains("allow_from: not judged"));
    request.body = "{}".into();
    assert!(!told(&verifier, request, NOW).1);
}

#[test]
fn no_step_holds_a_secret_a_signature_or_a_token() {
    let canary = "CANARYcanaryCANARYcanaryCANARY12";
    for scheme in [
        serde_json::json!({}),
        serde_json::json!({ "signature": { "parse": "kv", "tag": "v1" } }),
        serde_json::json!({ "signature": { "parse": "list", "tag": "v1", "prefix": "x" } }),
        serde_json::json!({ "kind": "token", "signature": { "from": "header:X-Signature" } }),
        serde_json::json!({ "kind": "basic", "signature": { "from": "header:X-Signature" } }),
        serde_json::json!({ "kind": "jwt", "algorithms": ["HS256"],
                            "signature": { "from": "header:X-Signature" } }),
    ] {
        let verifier = verifier(config(own_scheme(&scheme), &[&format!("secret-{canary}")]));
        for value in [
            canary.to_owned(),
            format!("{canary}="),
            format!("v1,{canary}"),
            format!("v1={canary}"),
        ] {
            let request = received("/", &[("x-signature", &value)], BODY);
            let told = text(&told(&verifier, request, NOW).0);
            assert!(
                !told.contains(canary) && !told.is_empty(),
                "{value}: {told}"
            );
        }
    }
}

#[test]
fn the_login_in_a_public_url_is_not_told() {
    let provider = own_scheme(&serde_json::json!({ "content": "{url}{body}" }));
    let base = "https://user:canary@hooks.example.com";
    let verifier = verifier(Config {
        public_url: Some(base.to_owned()),
        ..config(Arc::clone(&provider), &["s"])
    });
    let request = signed(&provider, "s", &format!("{base}/in"), &[]);
    let (steps, verified) = told(&verifier, request, NOW);
    let told = text(&steps);
    assert!(verified, "{told}");
    assert!(told.contains("https://...@hooks.example.com/in"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}
