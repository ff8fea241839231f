//! What an app says about the webhooks it takes, checked as a whole.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{OnReject, Shared, Webhooks};
use crate::clock::Clock;
use crate::event::SourceName;
use crate::ingress::{BodyBudget, BodyDeadlines, Lines};
use crate::providers::{Catalogue, Kind, Place, Provider};
use crate::secret::{Secret, SecretText, Values};
use crate::verify::{self, Fault, Rejection, Verifier};

/// A larger body is refused, in bytes.
const BODY_MAX: usize = 5 << 20;

/// Memory for all bodies under way, in bytes.
const BODIES_IN_FLIGHT_MAX: usize = 16 << 20;

/// Sets up [`Webhooks`]. Nothing is checked before [`WebhooksBuilder::build`].
#[must_use]
pub struct WebhooksBuilder {
    name: SourceName,
    provider: Result<Arc<Provider>, Fault>,
    scheme: Option<String>,
    variant: Option<String>,
    secrets: Vec<Secret>,
    values: Values,
    public_url: Option<String>,
    tolerance: Option<Duration>,
    dedup_key: Option<Vec<String>>,
    body_max: usize,
    body_deadlines: BodyDeadlines,
    bodies_in_flight_max: usize,
    clock: Clock,
    on_reject: Option<OnReject>,
}

impl WebhooksBuilder {
    pub(super) fn known(id: &str) -> Self {
        let catalogue = Catalogue::embedded();
        let provider = catalogue.get(id).ok_or_else(|| {
            let message = match catalogue.suggest(id) {
                Some(near) => format!("no provider {id:?}; did you mean {near:?}?"),
                None => format!("no provider {id:?}; \"hmac\" fits any HMAC signature"),
            };
            fault("provider", message)
        });
        Self::with(id, provider)
    }

    pub(super) fn new(provider: Provider) -> Self {
        let id = provider.id.clone();
        Self::with(&id, Ok(Arc::new(provider)))
    }

    fn with(name: &str, provider: Result<Arc<Provider>, Fault>) -> Self {
        Self {
            name: name.into(),
            provider,
            scheme: None,
            variant: None,
            secrets: Vec::new(),
            values: Values::new(),
            public_url: None,
            tolerance: None,
            dedup_key: None,
            body_max: BODY_MAX,
            body_deadlines: BodyDeadlines::default(),
            bodies_in_flight_max: BODIES_IN_FLIGHT_MAX,
            clock: Clock::real(),
            on_reject: None,
        }
    }

    /// What logs call these webhooks, and [`Verified::source`](crate::Verified::source); the
    /// provider's id unless set.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// A secret as the provider shows it. Given several times, each of them may verify, so that a
    /// secret can be rotated without a gap.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        let label = format!("secrets[{}]", self.secrets.len());
        self.secrets.push(Secret::new(&label, secret));
        self
    }

    /// Which of the provider's schemes to insist on; the first unless set.
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// Parts of the signature scheme that differ from the provider's, in the language of its file
    /// (TOML), such as `signature = { from = "header:X-Signature", prefix = "sha256=" }`.
    pub fn scheme(mut self, toml: impl Into<String>) -> Self {
        self.scheme = Some(toml.into());
        self
    }

    /// A value that the scheme asks for as `config:NAME`.
    pub fn value(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values
            .insert(name.into(), SecretText::from(value.into()));
        self
    }

    /// The address as senders write it, such as `https://hooks.example.com`, for schemes that sign
    /// the URL.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Accepted distance of a signed timestamp from now, both ways; the provider's unless set, or
    /// five minutes.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// What [`Verified::dedup_id`](crate::Verified::dedup_id) is made of, such as `json:/id`; the
    /// provider's rule unless set.
    pub fn dedup_key<T: Into<String>>(mut self, sources: impl IntoIterator<Item = T>) -> Self {
        self.dedup_key = Some(sources.into_iter().map(Into::into).collect());
        self
    }

    /// Largest body in bytes, 5 MiB unless set: a larger one is answered 413.
    pub fn body_max(mut self, bytes: usize) -> Self {
        self.body_max = bytes;
        self
    }

    /// Longest time for a whole body, 30 s unless set: a slower one is answered 408, and so is one
    /// that is silent for 10 s.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_deadlines.total = timeout;
        self
    }

    /// Memory for the bodies of all requests under way, in bytes, 16 MiB unless set, and a quarter
    /// more for small ones: at the limit senders get 503, and come back later.
    pub fn bodies_in_flight_max(mut self, bytes: usize) -> Self {
        self.bodies_in_flight_max = bytes;
        self
    }

    /// The clock that timestamps are compared with; the machine's unless set. For tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Called for each request that fails verification, to count it, say. Without it too, they are
    /// written to the log (`tracing`, level `warn`), at most five lines a second.
    pub fn on_reject(mut self, call: impl Fn(&Rejection) + Send + Sync + 'static) -> Self {
        self.on_reject = Some(Box::new(call));
        self
    }

    /// The webhooks, ready for requests.
    ///
    /// # Errors
    /// All that cannot work, together.
    pub fn build(self) -> Result<Webhooks, SetupError> {
        let mut faults = self.senseless();
        match self.verifier() {
            Err(more) => faults.extend(more),
            Ok((verifier, path_token)) if faults.is_empty() => {
                return Ok(Webhooks(Arc::new(Shared {
                    source: self.name,
                    verifier: Arc::new(verifier),
                    path_token,
                    body_bytes_max: self.body_max,
                    body_deadlines: self.body_deadlines,
                    budget: BodyBudget::new(self.bodies_in_flight_max),
                    clock: self.clock,
                    rejection_lines: Lines::new(),
                    on_reject: self.on_reject,
                })));
            }
            Ok(_) => {}
        }
        Err(SetupError {
            name: self.name,
            faults,
        })
    }

    /// What checks the requests, and whether it looks for a token in the path.
    fn verifier(&self) -> Result<(Verifier, bool), Vec<Fault>> {
        let variant = self.variant.as_deref();
        let provider = self.signing_provider().map_err(|fault| vec![fault])?;
        let path_token = reads_path_token(&provider, variant);
        if self.fetches(&provider) {
            let way_out = "is missing: the layer fetches no keys; give the sender's public key";
            return Err(vec![fault("secret", way_out)]);
        }
        let verifier = Verifier::new(verify::Config {
            source: self.name.clone(),
            provider,
            variant: self.variant.clone(),
            secrets: self.secrets.clone(),
            values: self.values.clone(),
            public_url: self.public_url.clone(),
            tolerance: self.tolerance,
            dedup_key: self.dedup_key.clone(),
            allow_from: Vec::new(),
            observe: false,
            capture: false,
            confirm: false,
        })?;
        Ok((verifier, path_token))
    }

    /// The provider as this app takes it. One that proves nothing is refused: a layer that believes
    /// everybody would only look like protection.
    fn signing_provider(&self) -> Result<Arc<Provider>, Fault> {
        let known = self.provider.clone()?;
        let provider = match &self.scheme {
            Some(toml) => with_scheme(&known, toml)?,
            None => known,
        };
        let variant = self.variant.as_deref();
        if provider
            .pinned(variant)
            .all(|scheme| scheme.kind != Kind::None)
        {
            return Ok(provider);
        }
        let message = format!(
            "{} signs nothing: say with `scheme` where it repeats a secret of yours, such as \
             kind = \"token\" and signature = {{ from = \"query:token\" }}",
            provider.title
        );
        Err(fault("provider", message))
    }

    /// Nothing is fetched inside an app: a public key has to be given.
    fn fetches(&self, provider: &Provider) -> bool {
        let mut schemes = provider.pinned(self.variant.as_deref());
        self.secrets.is_empty() && schemes.any(|scheme| scheme.fetch.is_some())
    }

    /// Settings that make no sense whoever the provider is.
    fn senseless(&self) -> Vec<Fault> {
        let blank = |secret: &&Secret| {
            let bytes = secret.expose();
            !bytes.is_empty() && bytes.trim_ascii().is_empty()
        };
        let blanks = self.secrets.iter().filter(blank);
        let mut faults: Vec<_> = blanks
            .map(|secret| {
                fault(
                    &secret.label,
                    "is blank: without a secret anybody could sign",
                )
            })
            .collect();
        let limits = [
            ("tolerance", self.tolerance != Some(Duration::ZERO)),
            ("body_max", self.body_max > 0),
            ("body_timeout", !self.body_deadlines.total.is_zero()),
        ];
        for (key, _) in limits.iter().filter(|(_, is_right)| !is_right) {
            faults.push(fault(key, "must be more than 0"));
        }
        if self.bodies_in_flight_max < self.body_max {
            faults.push(fault(
                "bodies_in_flight_max",
                "must hold one body of body_max",
            ));
        }
        faults
    }
}

fn with_scheme(provider: &Provider, text: &str) -> Result<Arc<Provider>, Fault> {
    let overrides: serde_json::Value =
        toml::from_str(text).map_err(|error| fault("scheme", error.message()))?;
    provider
        .with_scheme(&overrides)
        .map(Arc::new)
        .map_err(|message| match message.split_once(": ") {
            Some((key, message)) => fault(key, message),
            None => fault("scheme", message),
        })
}

fn reads_path_token(provider: &Provider, variant: Option<&str>) -> bool {
    let schemes = provider.pinned(variant);
    let mut places = schemes
        .filter_map(|scheme| scheme.signature.as_ref())
        .flat_map(|rule| &rule.from.0);
    places.any(|from| from.place == Place::PathToken)
}

fn fault(key: &str, message: impl Into<String>) -> Fault {
    Fault {
        key: key.to_owned(),
        message: message.into(),
    }
}

/// Why webhooks cannot be verified as they were set up; never with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    name: SourceName,
    faults: Vec<Fault>,
}

impl SetupError {
    /// Everything that is wrong; never empty.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot verify webhooks of {}", self.name)?;
        let mut mark = ": ";
        for fault in &self.faults {
            write!(f, "{mark}{}: {}", fault.key, fault.message)?;
            mark = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(builder: WebhooksBuilder) -> Vec<String> {
        let error = builder.build().unwrap_err();
        error.faults.into_iter().map(|fault| fault.key).collect()
    }

    fn stripe() -> WebhooksBuilder {
        Webhooks::provider("stripe").secret("whsec_1")
    }

    fn hmac() -> WebhooksBuilder {
        Webhooks::provider("hmac").secret("s")
    }

    #[test]
    fn everything_that_cannot_work_is_named_at_once() {
        let none: [&str; 0] = [];
        for (builder, keys) in [
            (Webhooks::provider("stripe"), vec!["secret"]),
            (Webhooks::provider("stripe").secret(""), vec!["secrets[0]"]),
            (stripe().secret("  \n"), vec!["secrets[1]"]),
            (stripe().variant("v9"), vec!["variant"]),
            (stripe().dedup_key(none), vec!["dedup.key"]),
            (stripe().scheme("contnt = '{body}'"), vec!["scheme.contnt"]),
            (stripe().scheme("content ="), vec!["scheme"]),
            (hmac().scheme("content = '{url}'"), vec!["scheme.content"]),
            (Webhooks::provider("sieve"), vec!["provider"]),
            (Webhooks::provider("fal"), vec!["secret"]),
            (stripe().body_max(17 << 20), vec!["bodies_in_flight_max"]),
            (
                Webhooks::provider("strip")
                    .tolerance(Duration::ZERO)
                    .body_timeout(Duration::ZERO)
                    .body_max(0),
                vec!["tolerance", "body_max", "body_timeout", "provider"],
            ),
        ] {
            assert_eq!(faults(builder), keys);
        }
    }

    #[test]
    fn an_error_reads_as_one_line_without_the_secret() {
        let misspelt = Webhooks::provider("Strip").secret("s3cret").body_max(0);
        assert_eq!(
            misspelt.build().unwrap_err().to_string(),
            "cannot verify webhooks of Strip: body_max: must be more than 0; \
             provider: no provider \"Strip\"; did you mean \"stripe\"?"
        );
        let wrong = Webhooks::provider("standard-webhooks").secret("s3cret!");
        let error = wrong.build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}
