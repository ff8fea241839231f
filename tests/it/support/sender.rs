//! Senders that sign as the shipped providers do, at a gate with a source for each.

use hookgate::clock::{Clock, UnixMillis};
use hookgate::providers::Kind;
use hookgate::verify::Unsigned;
use http::Method;

use super::senders::keys;
pub(crate) use super::senders::{PUBLIC_URL, Sender};

impl Sender {
    /// The same provider with a source of another name and another secret.
    pub(crate) fn named(provider: &str, source: &str) -> Self {
        let mut sender = Self::new(provider);
        source.clone_into(&mut sender.source);
        (sender.signing, sender.verifying) = keys(&sender.provider, source, 0);
        sender
    }

    pub(crate) fn kind(&self) -> Kind {
        self.scheme().kind
    }

    /// What the gate verifies with; where nothing is signed, the token in the path.
    pub(crate) fn secret(&self) -> &str {
        &self.verifying
    }

    /// The source's settings.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let key = |setting: &str| format!("sources.{}.{setting}", self.source);
        let mut settings = vec![(key("provider"), self.provider.id.clone())];
        if self.kind() == Kind::None {
            settings.push((key("unsigned"), "true".to_owned()));
            settings.push((key("path"), format!("{}/{{token}}", self.path())));
            settings.push((key("token"), self.verifying.clone()));
        } else {
            settings.push((key("secret"), self.verifying.clone()));
        }
        if let Some(variant) = &self.variant {
            settings.push((key("variant"), variant.clone()));
        }
        for (name, value) in &self.values {
            settings.push((key(&format!("values.{name}")), value.to_string()));
        }
        settings
    }

    pub(crate) fn path(&self) -> String {
        format!("/webhooks/{}", self.source)
    }

    /// Where it posts to: the path, with the token of a provider that signs nothing.
    pub(crate) fn target(&self) -> String {
        if self.kind() == Kind::None {
            format!("{}/{}", self.path(), self.secret())
        } else {
            self.path()
        }
    }

    /// The provider's first sample as an event with this id, signed now.
    pub(crate) fn event(&self, id: &str) -> Unsigned {
        let mut samples = self.provider.samples_of(self.variant.as_deref());
        let sample = samples.next().expect("a sample").with_id(id);
        let headers = sample.headers.into_iter().collect();
        self.signed(&self.target(), headers, sample.body.as_bytes(), id)
    }

    /// Any body, signed now.
    pub(crate) fn signed(
        &self,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
        id: &str,
    ) -> Unsigned {
        self.signed_at(target, headers, body, id, Clock::real().wall())
    }

    /// The request as it is sent to the target: some sign the whole address.
    pub(crate) fn signed_at(
        &self,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
        id: &str,
        at: UnixMillis,
    ) -> Unsigned {
        let mut request = Unsigned {
            method: Method::POST,
            url: format!("{PUBLIC_URL}{target}"),
            headers,
            body: body.to_vec().into(),
        };
        self.sign(&mut request, at, id);
        let target = request.url.strip_prefix(PUBLIC_URL);
        request.url = target.expect("the same address").to_owned();
        request
    }
}

/// The request as a sender writes it.
pub(crate) fn bytes(request: &Unsigned) -> Vec<u8> {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: hooks.example.com\r\n",
        request.method, request.url
    );
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", request.body.len());
    [text.as_bytes(), &request.body].concat()
}

/// The same with one bit of the body changed, as a forger would.
pub(crate) fn tampered(request: &Unsigned) -> Unsigned {
    let mut body = request.body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    Unsigned {
        body: body.into(),
        ..request.clone()
    }
}
