//! Amazon SNS, with messages signed by a key of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::*;
use crate::verify::code::subscribe_url;

/// The public half of the key in tests/keys.
pub(super) fn public_pem() -> String {
    let vectors = include_str!("../../../../tests/keys/vectors.json");
    let vectors: Vec<BTreeMap<String, String>> = serde_json::from_str(vectors).unwrap();
    let vector = vectors.iter().find(|v| v["name"] == "openssl, PUBLIC KEY");
    vector.unwrap()["key"].clone()
}

fn signature(text: &str) -> String {
    let pem = include_bytes!("../../../../tests/keys/rsa.pem");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    STANDARD.encode(signature)
}

const CONFIRM: &str = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";

/// The fields that are signed, in order.
fn notification() -> Vec<(&'static str, String)> {
    [
        ("Message", "hello\nworld"),
        ("MessageId", "m-1"),
        ("Timestamp", "2025-01-01T00:00:00.000Z"),
        ("TopicArn", "arn:aws:sns:us-east-1:1:t"),
        ("Type", "Notification"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn confirmation(kind: &str, url: &str) -> Vec<(&'static str, String)> {
    let mut fields = notification();
    fields.insert(2, ("SubscribeURL", url.to_owned()));
    fields.insert(4, ("Token", "t".to_owned()));
    kind.clone_into(&mut fields.last_mut().unwrap().1);
    fields
}

/// A message with these fields, signed as `signed_as`.
fn message(fields: &[(&str, String)], signed_as: &[(&str, String)]) -> Map<String, Value> {
    let lines = signed_as
        .iter()
        .map(|(name, value)| format!("{name}\n{value}\n"));
    let certificate = "https://sns.us-east-1.amazonaws.com/S.pem";
    let around = [
        ("SignatureVersion", "2".to_owned()),
        ("SigningCertURL", certificate.to_owned()),
        ("Signature", signature(&lines.collect::<String>())),
    ];
    let members = fields.iter().chain(&around);
    members
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect()
}

fn genuine_message(fields: &[(&str, String)]) -> Map<String, Value> {
    message(fields, fields)
}

fn verified(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Verified, Rejection> {
    let values = [("topic_arn".to_owned(), "arn:aws:sns:us-east-1:1:t".into())];
    let verifier = verifier(Config {
        values: values.into(),
        ..config(scheme("sns"), &[&public_pem()])
    });
    verifier.verify(received("/", headers, body), NOW)
}

fn outcome(body: impl Into<Bytes>) -> Option<Reason> {
    verified(&[], body).err().map(|rejection| rejection.reason)
}

fn outcome_of(message: &Map<String, Value>) -> Option<Reason> {
    outcome(serde_json::to_string(message).unwrap())
}

#[test]
fn every_kind_of_message_is_verified_over_its_own_fields() {
    let mut with_subject = notification();
    with_subject.insert(2, ("Subject", "s".to_owned()));
    for fields in [
        notification(),
        with_subject,
        confirmation("SubscriptionConfirmation", CONFIRM),
        confirmation("UnsubscribeConfirmation", CONFIRM),
    ] {
        assert_eq!(outcome_of(&genuine_message(&fields)), None, "{fields:?}");
        for (name, value) in &fields {
            let mut changed = genuine_message(&fields);
            let other = match *name {
                "Timestamp" => "2025-01-01T00:00:00.001Z".to_owned(),
                _ => format!("{value}x"),
            };
            changed[*name] = json!(other);
            let expected = match *name {
                "Type" => Reason::Malformed,
                _ => Reason::Mismatch,
            };
            assert_eq!(outcome_of(&changed), Some(expected), "{name}");
            changed.remove(*name);
            let expected = match *name {
                "Subject" => Reason::Mismatch,
                _ => Reason::NoHeader,
            };
            assert_eq!(outcome_of(&changed), Some(expected), "without {name}");
        }
    }
}

#[test]
fn a_message_is_not_read_as_one_of_another_type() {
    let mut changed = genuine_message(&confirmation("SubscriptionConfirmation", CONFIRM));
    changed["Type"] = json!("UnsubscribeConfirmation");
    assert_eq!(outcome_of(&changed), Some(Reason::Mismatch));
    changed["Type"] = json!("Notification");
    assert_eq!(outcome_of(&changed), Some(Reason::Mismatch));
}

#[test]
fn lines_of_a_message_cannot_become_other_fields() {
    let text = "hello\nMessageId\nm-2\nSubject\nforged";
    let mut signed = notification();
    text.clone_into(&mut signed[0].1);
    assert_eq!(outcome_of(&genuine_message(&signed)), None);
    // The very same text with its lines dealt out anew.
    let mut read = signed.clone();
    "hello".clone_into(&mut read[0].1);
    "m-2".clone_into(&mut read[1].1);
    read.insert(2, ("Subject", "forged\nMessageId\nm-1".to_owned()));
    let forged = message(&read, &signed);
    assert_eq!(outcome_of(&forged), Some(Reason::Malformed));
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let genuine = serde_json::to_string(&genuine_message(&notification())).unwrap();
    assert_eq!(outcome(genuine.clone()), None);
    for more in [
        r#""Message":"evil","#,
        r#""message":"evil","#,
        r#""\u004dessage":"evil","#,
        r#""SigningCertURL":"https://evil.example/x.pem","#,
    ] {
        let body = genuine.replacen('{', &format!("{{{more}"), 1);
        assert_eq!(outcome(body), Some(Reason::Malformed), "{more}");
    }
    let other = genuine.replacen('{', r#"{"UnsubscribeURL":"x","MessageAttributes":{},"#, 1);
    assert_eq!(outcome(other), None);
}

#[test]
fn only_known_versions_and_amazons_certificates_are_looked_at() {
    for (field, value) in [
        ("SignatureVersion", "3"),
        ("SignatureVersion", ""),
        (
            "SigningCertURL",
            "https://sns.us-east-1.amazonaws.com.evil.example/S.pem",
        ),
        ("Signature", "***"),
        ("Signature", ""),
        ("Timestamp", "yesterday"),
    ] {
        let mut changed = genuine_message(&notification());
        changed[field] = json!(value);
        assert_eq!(
            outcome_of(&changed),
            Some(Reason::Malformed),
            "{field} {value}"
        );
    }
    let mut older = genuine_message(&notification());
    older["SignatureVersion"] = json!("1");
    assert_eq!(outcome_of(&older), Some(Reason::Mismatch));
}

#[test]
fn the_largest_message_is_read() {
    let mut fields = notification();
    fields[0].1 = "\u{1}\u{e9}\"\n".repeat(256 * 1024 / 5);
    assert_eq!(outcome_of(&genuine_message(&fields)), None);
}

#[test]
fn headers_and_topic_have_to_be_those_of_the_message() {
    let body = serde_json::to_string(&genuine_message(&notification())).unwrap();
    let outcome = |headers: &[(&str, &str)]| {
        let rejection = verified(headers, body.clone()).err();
        rejection.map(|rejection| rejection.reason)
    };
    let kind = ("x-amz-sns-message-type", "Notification");
    assert_eq!(outcome(&[kind, ("x-amz-sns-message-id", "m-1")]), None);
    let other_kind = ("x-amz-sns-message-type", "SubscriptionConfirmation");
    assert_eq!(outcome(&[other_kind]), Some(Reason::Check));
    assert_eq!(outcome(&[kind, other_kind]), Some(Reason::Malformed));
    assert_eq!(
        outcome(&[("x-amz-sns-message-id", "m-2")]),
        Some(Reason::Check)
    );
    let mut elsewhere = notification();
    "arn:aws:sns:us-east-1:1:other".clone_into(&mut elsewhere[3].1);
    assert_eq!(
        outcome_of(&genuine_message(&elsewhere)),
        Some(Reason::Check)
    );
    // Whoever cannot sign learns nothing about the topic.
    let forged = message(&elsewhere, &notification());
    assert_eq!(outcome_of(&forged), Some(Reason::Mismatch));
}

#[test]
fn ids_come_from_the_signed_message_and_not_from_headers() {
    let mut provider = Provider::clone(&scheme("sns"));
    let sources = ["header:x-amz-sns-message-id", "json:/MessageId"];
    provider.event.key.clear();
    provider.event.id.0 = sources.map(|source| source.parse().unwrap()).into();
    let verifier = verifier(config(Arc::new(provider), &[&public_pem()]));
    let body = serde_json::to_string(&genuine_message(&notification())).unwrap();
    let [with, without] = [&[("x-amz-sns-message-id", "m-1")][..], &[]].map(|headers| {
        let verified = verifier.verify(received("/", headers, body.clone()), NOW);
        verified
            .unwrap_or_else(|r| panic!("{r:?}"))
            .dedup_id()
            .to_vec()
    });
    assert_eq!(with, without);
    assert!(with.ends_with(b"m-1"));
}

#[test]
fn age_matters_only_where_the_source_says_so() {
    let mut old = notification();
    "2024-12-31T00:00:00Z".clone_into(&mut old[2].1);
    let body = serde_json::to_string(&genuine_message(&old)).unwrap();
    for (tolerance, expected) in [(None, None), (Some(3600), Some(Reason::Stale))] {
        let verifier = verifier(Config {
            tolerance: tolerance.map(Duration::from_secs),
            ..config(scheme("sns"), &[&public_pem()])
        });
        assert_eq!(
            reason(&verifier, received("/", &[], body.clone())),
            expected
        );
    }
}

#[test]
fn only_a_genuine_confirmation_has_an_address_to_confirm_at() {
    let url = |fields: &[(&str, String)]| {
        let body = serde_json::to_string(&genuine_message(fields)).unwrap();
        subscribe_url(&verified(&[], body).unwrap_or_else(|r| panic!("{r:?}")))
    };
    let subscription = "SubscriptionConfirmation";
    assert_eq!(
        url(&confirmation(subscription, CONFIRM)).as_deref(),
        Some(CONFIRM)
    );
    assert_eq!(url(&confirmation("UnsubscribeConfirmation", CONFIRM)), None);
    assert_eq!(url(&notification()), None);
    let elsewhere = "https://sns.us-east-1.amazonaws.com.evil.example/?x";
    assert_eq!(url(&confirmation(subscription, elsewhere)), None);
    assert_eq!(
        url(&confirmation(
            subscription,
            &CONFIRM.replace("https", "http")
        )),
        None
    );
    // Let through without proof, it is not to be followed.
    let forged = message(&confirmation(subscription, CONFIRM), &notification());
    let verifier = verifier(Config {
        observe: true,
        ..config(scheme("sns"), &[&public_pem()])
    });
    let body = serde_json::to_string(&forged).unwrap();
    let observed = verifier.verify(received("/", &[], body), NOW);
    assert_eq!(
        subscribe_url(&observed.unwrap_or_else(|r| panic!("{r:?}"))),
        None
    );
}
