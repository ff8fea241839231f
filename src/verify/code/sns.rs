//! Amazon SNS: a JSON message with its signature inside, over some of its fields.
//!
//! The fields stand in the signed text line by line, name and value. Only the message itself may
//! have several lines: otherwise the text could be read as other fields than those that were signed.
//!
//! What is not signed: `UnsubscribeURL` and `MessageAttributes`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use super::texts::texts;
use super::{About, Claimed, Procedure, content, optional_header, signatures};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, Encoding};
use crate::verify::Verified;
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::view::View;

/// Headers that repeat a field of the body, and the field.
static REPEATED: [(HeaderName, &str); 3] = [
    (HeaderName::from_static("x-amz-sns-message-type"), "Type"),
    (HeaderName::from_static("x-amz-sns-message-id"), "MessageId"),
    (HeaderName::from_static("x-amz-sns-topic-arn"), "TopicArn"),
];

static ABOUT: About = About {
    label: "sns",
    algorithms: &[Algorithm::RsaPkcs1Sha256, Algorithm::RsaPkcs1Sha1],
    covers: "{body}",
    covered: "the message, its id, type, topic and timestamp",
    // A message is sent again for as long as the topic's delivery policy says.
    tolerance: None,
};

/// What a message that we sign names as its certificate.
const CERTIFICATE_URL: &str =
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-hookgate.pem";

/// The operator's value that pins the topic.
pub(in crate::verify) const TOPIC: &str = "topic_arn";

pub(super) struct Sns;

impl Procedure for Sns {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let message = Message::parse(view.body)?;
        let algorithm = match &*message.version {
            "1" => Algorithm::RsaPkcs1Sha1,
            "2" => Algorithm::RsaPkcs1Sha256,
            _ => return Err(Reason::Malformed.because("SignatureVersion is not known")),
        };
        if !is_certificate_url(&message.certificate_url) {
            let detail = "SigningCertURL is not a certificate of Amazon SNS";
            return Err(Reason::Malformed.because(detail));
        }
        let at = message.field("Timestamp").parse::<jiff::Timestamp>();
        let at = at.map_err(|_| Reason::Malformed.because("Timestamp is not RFC 3339"))?;
        let texts = [message.signature.as_bytes()];
        Ok(Claimed {
            contents: vec![content([message.signed_text().into_bytes().into()])],
            signatures: signatures(texts, Encoding::Base64, algorithm)?,
            algorithm,
            at: Some(UnixMillis(at.as_millisecond())),
            objection: objection(&message, view)?,
            kid: None,
        })
    }

    fn write(
        &self,
        request: &mut Unsigned,
        at: UnixMillis,
        signature: &[u8],
    ) -> Result<(), String> {
        let at = jiff::Timestamp::from_millisecond(at.0).map_err(|error| error.to_string())?;
        for (name, text) in [
            ("Timestamp", format!("{at:.3}")),
            ("SignatureVersion", "2".to_owned()),
            ("SigningCertURL", CERTIFICATE_URL.to_owned()),
            ("Signature", STANDARD.encode(signature)),
        ] {
            request.set_member(name, &text)?;
        }
        Ok(())
    }
}

/// What is wrong with a genuine message.
fn objection(message: &Message, view: &View<'_>) -> Result<Option<Rejection>, Rejection> {
    for (header, field) in &REPEATED {
        let value = optional_header(view, header)?;
        if value.is_some_and(|value| *value != *message.field(field).as_bytes()) {
            let detail = format!("{header} is not the {field} of the message");
            return Ok(Some(Reason::Check.because(detail)));
        }
    }
    let pinned = view.values.get(TOPIC);
    let other = pinned.is_some_and(|topic| **topic != *message.field("TopicArn"));
    Ok(other.then(|| Reason::Check.because("the message is of another topic than topic_arn")))
}

/// A message as far as it concerns its signature.
struct Message {
    /// The signed fields in order.
    fields: Vec<(&'static str, String)>,
    signature: String,
    version: String,
    certificate_url: String,
}

impl Message {
    fn parse(body: &[u8]) -> Result<Self, Rejection> {
        let names = [
            "Message",
            "MessageId",
            "Subject",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
            "Signature",
            "SignatureVersion",
            "SigningCertURL",
        ];
        let odd = || Reason::Malformed.because("the body is not a message of Amazon SNS");
        let [
            message,
            id,
            subject,
            subscribe_url,
            timestamp,
            token,
            topic,
            kind,
            signature,
            version,
            certificate_url,
        ] = texts(body, names).ok_or_else(odd)?;
        let needed = |field: Option<String>| {
            field.ok_or_else(|| Reason::NoHeader.because("a field of the message is missing"))
        };
        let kind = needed(kind)?;
        let mut fields = vec![("Message", needed(message)?), ("MessageId", needed(id)?)];
        match &*kind {
            "Notification" => fields.extend(subject.map(|subject| ("Subject", subject))),
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
                fields.push(("SubscribeURL", needed(subscribe_url)?));
            }
            _ => return Err(odd()),
        }
        fields.push(("Timestamp", needed(timestamp)?));
        if kind != "Notification" {
            fields.push(("Token", needed(token)?));
        }
        fields.extend([("TopicArn", needed(topic)?), ("Type", kind)]);
        let mut single_lines = fields.iter().filter(|(name, _)| *name != "Message");
        if single_lines.any(|(_, value)| value.contains('\n')) {
            return Err(Reason::Malformed.because("a field of the message has several lines"));
        }
        Ok(Self {
            fields,
            signature: needed(signature)?,
            version: needed(version)?,
            certificate_url: needed(certificate_url)?,
        })
    }

    /// A signed field; empty if there is none.
    fn field(&self, wanted: &str) -> &str {
        let mut fields = self.fields.iter();
        let found = fields.find(|(name, _)| *name == wanted);
        found.map_or("", |(_, value)| value)
    }

    fn signed_text(&self) -> String {
        let fields = self.fields.iter();
        fields
            .flat_map(|(name, value)| [name, "\n", value, "\n"])
            .collect()
    }
}

/// The address that confirms a subscription, if this is a genuine request for that. It is one of
/// Amazon SNS.
pub(in crate::verify) fn subscribe_url(verified: &Verified) -> Option<String> {
    let genuine = verified.scheme() == ABOUT.label;
    let message = genuine.then(|| Message::parse(verified.body()).ok())??;
    let url = message.field("SubscribeURL");
    let asks = message.field("Type") == "SubscriptionConfirmation" && path_at_sns(url).is_some();
    asks.then(|| url.to_owned())
}

fn is_certificate_url(url: &str) -> bool {
    path_at_sns(url).is_some_and(|path| path.ends_with(".pem") && !path.contains('?'))
}

/// Path and query of an `https` address of Amazon SNS, with nothing around its host.
fn path_at_sns(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at_checked(rest.find('/')?)?;
    let region = host.strip_prefix("sns.")?;
    let region = region.strip_suffix(".cn").unwrap_or(region);
    let region = region.strip_suffix(".amazonaws.com")?;
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\');
    let sound = region.len() >= 3 && region.bytes().all(known) && path.bytes().all(plain);
    sound.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_own_addresses_are_taken() {
        for (url, expected) in [
            ("https://sns.us-east-1.amazonaws.com/S-1.pem", true),
            ("https://sns.cn-north-1.amazonaws.com.cn/S-1.pem", true),
            ("http://sns.us-east-1.amazonaws.com/S-1.pem", false),
            ("https://sns.us-east-1.amazonaws.com/S-1.pem?x=1", false),
            ("https://sns.us-east-1.amazonaws.com/S-1.pem#x", false),
            ("https://sns.us-east-1.amazonaws.com/x?.pem", false),
            ("https://sns.us-east-1.amazonaws.com/x#.pem", false),
            ("https://sns.us-east-1.amazonaws.com/S-1.txt", false),
            ("https://sns.us-east-1.amazonaws.com:444/S-1.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com.evil.example/S.pem",
                false,
            ),
            (
                "https://sns.us-east-1.amazonaws.com@evil.example/S.pem",
                false,
            ),
            (
                "https://evil.example/sns.us-east-1.amazonaws.com/S.pem",
                false,
            ),
            (
                "https://evil.example?sns.us-east-1.amazonaws.com/S.pem",
                false,
            ),
            ("https://evil.sns.us-east-1.amazonaws.com/S.pem", false),
            ("https://sns.evil.example#.amazonaws.com/S.pem", false),
            ("https://sns.a.b.amazonaws.com/S.pem", false),
            ("https://sns.us.amazonaws.com/S.pem", false),
            ("https://sns..amazonaws.com/S.pem", false),
            ("https://SNS.us-east-1.amazonaws.com/S.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com\\@evil.example/S.pem",
                false,
            ),
            ("https://sns.us-east-1.amazonaws.com/ S.pem", false),
            ("https://sns.us-east-1.amazonaws.com", false),
            ("//sns.us-east-1.amazonaws.com/S.pem", false),
            ("", false),
        ] {
            assert_eq!(is_certificate_url(url), expected, "{url}");
        }
    }
}
