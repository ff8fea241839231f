//! `hookgate send`: sign an event as a provider does, and post it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;

use super::catalogue::{CatalogueArgs, find, name_and_value};
use super::http::{Client, block_on};
use super::{Failure, out};
use crate::clock::{Clock, UnixMillis};
use crate::event::EventId;
use crate::net::Address;
use crate::providers::{Kind, Provider, Sample};
use crate::secret::{Secret, SecretText, Values};
use crate::verify::{Unsigned, sign, test_key};

/// How far back `--stale` dates the signature: past every provider's tolerance.
const STALE: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Sign as this provider does (`hookgate providers` lists them)
    #[arg(long)]
    provider: String,
    /// The variant of its scheme
    #[arg(long)]
    variant: Option<String>,
    /// The secret to sign with; for a public-key scheme the private key (whsk_..., or PKCS #8 in
    /// PEM), without which one is made up and printed
    #[arg(
        long,
        env = "HOOKGATE_SEND_SECRET",
        hide_env_values = true,
        default_value = ""
    )]
    secret: SecretText,
    /// Where to send: http://host:port/path
    #[arg(long, value_name = "URL")]
    to: String,
    /// The address in front of the path as the scheme signs it [default: that of --to]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The event type, of those that `hookgate providers ID` names
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Send this file as the body
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The event's id; a new one each time if not given
    #[arg(long)]
    id: Option<String>,
    /// A value that the scheme asks for, such as message=...
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = name_and_value)]
    values: Vec<(String, SecretText)>,
    /// How many events to send
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Change the body after signing, as a forger would
    #[arg(long)]
    tamper: bool,
    /// Date the signature back by a day
    #[arg(long)]
    stale: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let catalogue = args.catalogue.load()?;
    let provider = find(&catalogue, &args.provider)?;
    let (address, target) = parse_url(&args.to).map_err(Failure::Usage)?;
    let base = args.public_url.as_deref().map_or_else(
        || args.to.strip_suffix(&target).unwrap_or_default(),
        |url| url.trim_end_matches('/'),
    );
    let url = format!("{base}{target}");
    let sample = sample(args, &provider)?;
    let secret = secret(args, &provider)?;
    let values = args.values.iter().cloned().collect();
    let sender = Sender {
        provider: &provider,
        variant: args.variant.as_deref(),
        secret: &secret,
        values: &values,
    };
    // What cannot be signed is said before anybody is bothered.
    sender.sign(&sample, &url, UnixMillis(0), &new_id(UnixMillis(0)))?;
    let sign = |now: UnixMillis| {
        let at = if args.stale { now.minus(STALE) } else { now };
        let id = args.id.clone().unwrap_or_else(|| new_id(now));
        let mut signed = sender.sign(&sample, &url, at, &id)?;
        if args.tamper {
            tamper(&mut signed);
        }
        request(&signed)
    };
    block_on(post(args, &address, sign))
}

/// Posts as many events as were asked for.
async fn post(
    args: &Args,
    address: &Address,
    sign: impl Fn(UnixMillis) -> Result<Request<Full<Bytes>>, Failure>,
) -> Result<(), Failure> {
    let clock = Clock::real();
    let connected = Client::connect(address).await;
    let mut client = connected
        .map_err(|error| Failure::Failed(format!("cannot connect to {address}: {error}")))?;
    let mut refused = 0_u32;
    for _ in 0..args.count {
        let response = client.send(sign(clock.wall())?).await;
        let response =
            response.map_err(|error| Failure::Failed(format!("{}: {error}", args.to)))?;
        refused += u32::from(!response.status().is_success());
        out::line(describe(&response));
    }
    match refused {
        0 => Ok(()),
        1 if args.count == 1 => Err(Failure::Failed("the event was not accepted".to_owned())),
        _ => Err(Failure::Failed(format!(
            "{refused} of {} events were not accepted",
            args.count
        ))),
    }
}

/// The secret given; where there is none and a public key verifies, a key pair for once.
fn secret(args: &Args, provider: &Provider) -> Result<Secret, Failure> {
    let given = |text: &str| Secret::new("--secret", text);
    if !args.secret.is_empty() {
        return Ok(given(&args.secret));
    }
    let variant = args.variant.as_deref();
    let mut schemes = provider.pinned(variant);
    if schemes
        .next()
        .is_none_or(|scheme| scheme.kind == Kind::None)
    {
        return Ok(given(""));
    }
    let key = test_key(provider, variant).map_err(|_| {
        Failure::Usage("--secret is missing: what the source verifies with".to_owned())
    })?;
    out::note(&format!(
        "a key pair was made up; the source's secret is its public key:\n{}\n\
         to send with it again, give --secret the private one:\n{}",
        key.public.trim_end(),
        key.private.trim_end()
    ));
    Ok(given(&key.private))
}

/// The sample of the type asked for, or the first; with `--data`, its headers around that body.
fn sample(args: &Args, provider: &Provider) -> Result<Sample, Failure> {
    let samples = || provider.samples_of(args.variant.as_deref());
    let types = || {
        samples()
            .map(|sample| sample.kind.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match &args.event_type {
        None => samples().next(),
        Some(wanted) => samples().find(|sample| sample.kind == *wanted),
    };
    let found = found.ok_or_else(|| {
        Failure::Usage(format!(
            "{} has samples of these types: {}",
            provider.id,
            types()
        ))
    })?;
    let Some(file) = &args.data else {
        return Ok(found.clone());
    };
    let body = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    Ok(Sample {
        id: None,
        body,
        ..found.clone()
    })
}

/// An id that looks like those of many providers.
pub(super) fn new_id(at: UnixMillis) -> String {
    EventId::new(at).to_string()
}

/// Who signs, and how.
pub(super) struct Sender<'a> {
    pub(super) provider: &'a Provider,
    pub(super) variant: Option<&'a str>,
    pub(super) secret: &'a Secret,
    pub(super) values: &'a Values,
}

impl Sender<'_> {
    /// The sample as an event of its own, signed at `at` for `url`.
    pub(super) fn sign(
        &self,
        sample: &Sample,
        url: &str,
        at: UnixMillis,
        id: &str,
    ) -> Result<Unsigned, Failure> {
        let sample = sample.with_id(id);
        let mut request = Unsigned {
            method: Method::POST,
            url: url.to_owned(),
            headers: sample.headers.into_iter().collect(),
            body: sample.body.into(),
        };
        sign(
            self.provider,
            self.variant,
            self.secret,
            self.values,
            &mut request,
            at,
            id,
        )
        .map_err(Failure::Usage)?;
        Ok(request)
    }
}

/// Puts a space behind the body: any change has to break the signature.
pub(super) fn tamper(signed: &mut Unsigned) {
    signed.body = [&*signed.body, b" "].concat().into();
}

/// The signed request, ready to go out.
pub(super) fn request(signed: &Unsigned) -> Result<Request<Full<Bytes>>, Failure> {
    let unfit = |what: &str| Failure::Usage(format!("{what:?} does not fit into a request"));
    let mut request = Request::new(Full::new(signed.body.clone()));
    *request.method_mut() = signed.method.clone();
    let url: Uri = signed.url.parse().map_err(|_| unfit(&signed.url))?;
    *request.uri_mut() = url
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into();
    for (name, value) in &signed.headers {
        let header = HeaderName::try_from(name).map_err(|_| unfit(name))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| unfit(name))?;
        value.set_sensitive(true);
        request.headers_mut().append(header, value);
    }
    Ok(request)
}

fn describe(response: &Response<Bytes>) -> String {
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let status = response.status();
    let mut text = status.to_string();
    for name in ["hookgate-status", "hookgate-event-id"] {
        if let Some(value) = header(name) {
            text = format!("{text}  {value}");
        }
    }
    if !status.is_success() {
        text = format!(
            "{text}: {}",
            String::from_utf8_lossy(response.body()).trim()
        );
    }
    text
}

/// Address and target of an `http://` URL.
fn parse_url(url: &str) -> Result<(Address, String), String> {
    if url.starts_with("https:") {
        return Err("send speaks plain http: send to hookgate itself rather than to what stands in front of it".to_owned());
    }
    let way_out = || format!("{url}: write http://host:port/path");
    let rest = url.strip_prefix("http://").ok_or_else(way_out)?;
    let (authority, path) = rest
        .find('/')
        .map_or((rest, "/"), |slash| rest.split_at(slash));
    let address = authority
        .parse()
        .or_else(|_| format!("{authority}:80").parse())
        .map_err(|_| way_out())?;
    Ok((address, path.to_owned()))
}
