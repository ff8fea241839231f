//! The raw settings, checked and handed to the components' `Config` types.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use figment::Figment;

use super::faults::Faults;
use super::protection::{SHORT, is_short};
use super::raw::{self, Leaf, Raw};
use super::reader::Reader;
use super::units::FilePath;
use super::{Config, sources};
use crate::event::SourceName;
use crate::net::{Address, Passed};
use crate::secret::Secret;
use crate::{admin, forward, ingress, keys, server, store, telemetry};

const ADDRESS: &str = "write an address as \"host:port\" (an IPv6 host in brackets), \"unix:/path\" or \"systemd:NAME\"";
pub(super) const NETWORK: &str = "write a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";

const PUBLIC_URL: &str =
    "write the address as senders do, such as \"https://hooks.example.com\", without a query";

/// Each attempt under way has a worker with a connection of its own.
const CONCURRENCY_MAX: usize = 10_000;
/// Largest body that may be configured; the store could hold no more than 1 GiB in a record.
const BODY_MAX: usize = 256 << 20;
/// Memory for events that wait for a free worker; more is read back from disk.
const BACKLOG_BYTES_MAX: usize = 8 << 20;

const CONNECTIONS_MAX: &str = "server.connections_max";
const PER_PEER_MAX: &str = "server.connections_per_peer_max";

pub(super) fn resolve(figment: Figment) -> Result<Config, Faults> {
    let (mut reader, raw) = Reader::open(figment, &schemars::schema_for!(Raw));
    let Raw {
        providers_dir,
        server: raw_server,
        app,
        store,
        admin,
        ops,
        log,
        sources,
    } = raw;

    let listen = addresses(&mut reader, "server.listen", raw_server.listen);
    let body_max = reader.memory("server.body_max", raw_server.body_max);
    let defaults = sources::Defaults {
        body_max,
        public_url: public_url(&mut reader, raw_server.public_url),
        providers_dir: reader.want("providers_dir", providers_dir),
    };
    let resolved = sources::resolve(&mut reader, sources, &defaults);
    let trusted_proxies = reader.list(
        "server.trusted_proxies",
        raw_server.trusted_proxies,
        NETWORK,
    );
    let connections_max = reader.connections(CONNECTIONS_MAX, raw_server.connections_max);
    let config = Config {
        server: server::Config {
            trusted_proxies: trusted_proxies.clone(),
            connections_max,
            connections_per_peer_max: reader
                .connections(PER_PEER_MAX, raw_server.connections_per_peer_max),
            tls: tls(&mut reader, raw_server.tls),
        },
        keys: keys::Config::default(),
        ingress: ingress::Config {
            ack_deadline: reader.positive_span("server.ack_deadline", raw_server.ack_deadline),
            // The others are for those who are answered at once.
            waiting_max: (connections_max / 2).max(1),
            body_deadlines: ingress::BodyDeadlines::default(),
            bodies_in_flight_max: reader.memory(
                "server.bodies_in_flight_max",
                raw_server.bodies_in_flight_max,
            ),
            rejections_per_peer: rate(
                &mut reader,
                "server.rejections_per_peer",
                raw_server.rejections_per_peer,
            ),
            trusted_proxies,
            sources: resolved.sources,
            catalogue: resolved.catalogue,
        },
        grace: reader.span("server.grace", raw_server.grace),
        forward: app_config(&mut reader, app, resolved.app_paths, resolved.answering),
        store: store_config(&mut reader, store, resolved.dedup_windows),
        admin: admin_config(&mut reader, admin),
        ops_listen: reader.list("ops.listen", ops.listen, ADDRESS),
        drain_accept_for: reader.span("server.drain.accept_for", raw_server.drain.accept_for),
        log: log_config(&mut reader, log),
        trace: None,
        warnings: Vec::new(),
        passed: Passed::default(),
        listen,
    };
    finish(reader, config, body_max)
}

fn finish(mut reader: Reader, config: Config, body_max: usize) -> Result<Config, Faults> {
    check_together(&mut reader, &config, body_max);
    if reader.faults.0.is_empty() {
        Ok(Config {
            warnings: reader.warnings,
            ..config
        })
    } else {
        Err(reader.faults)
    }
}

/// Settings that are each fine but not together.
fn check_together(reader: &mut Reader, config: &Config, body_max: usize) {
    reader.require(
        "server.body_max",
        body_max <= BODY_MAX,
        "must not be larger than \"256MiB\": a body is kept in memory while it is verified and stored",
    );
    let bodies_max = config.ingress.bodies_in_flight_max;
    if reader.is_sound("server.body_max") {
        reader.require(
            "server.bodies_in_flight_max",
            bodies_max >= body_max,
            "must not be smaller than server.body_max",
        );
    }
    for source in &config.ingress.sources {
        let key = |setting: &str| format!("sources.{}.{setting}", source.name);
        // The server's own limit has been looked at above.
        let fits = source.body_bytes_max <= bodies_max || source.body_bytes_max == body_max;
        let way_out = "must not be larger than server.bodies_in_flight_max and \"256MiB\"";
        reader.require(
            &key("body_max"),
            fits && source.body_bytes_max <= BODY_MAX,
            way_out,
        );
        let kept = config.store.keep.ids;
        if reader.is_set(&key("dedup.window")) && reader.is_sound("store.keep.ids") {
            let window = config.store.dedup_windows.get(&source.name);
            let fits = window.is_none_or(|window| *window <= kept);
            let way_out = "must not be longer than store.keep.ids, the time that ids are kept";
            reader.require(&key("dedup.window"), fits, way_out);
        }
    }
    let retry = &config.forward.retry;
    if reader.is_sound("app.retry.max") && reader.is_sound("app.retry.give_up_after") {
        reader.require(
            "app.retry.first",
            retry.first <= retry.max && retry.first <= retry.give_up_after,
            "must not be longer than app.retry.max and app.retry.give_up_after",
        );
    }
    check_addresses(reader, config);
}

/// Everybody has an address of their own.
fn check_addresses(reader: &mut Reader, config: &Config) {
    for (index, address) in config.listen.iter().enumerate() {
        let twice = config.listen.iter().skip(index + 1);
        let twice = twice.into_iter().any(|other| other.overlaps(address));
        let way_out = format!("has {address} twice");
        reader.require("server.listen", !twice, way_out);
        let shared = config
            .admin
            .listen
            .iter()
            .any(|admin| admin.overlaps(address));
        let way_out = format!("{address} is also in server.listen; give each its own");
        reader.require("admin.listen", !shared, way_out);
    }
    let others = config.listen.iter().chain(&config.admin.listen);
    let shared = others.filter(|own| config.ops_listen.iter().any(|ops| ops.overlaps(own)));
    for own in shared {
        let way_out = format!("{own} is also in server.listen or admin.listen; give each its own");
        reader.require("ops.listen", false, way_out);
    }
    let app = &config.forward.app;
    for (key, own) in [
        ("server.listen", &config.listen),
        ("admin.listen", &config.admin.listen),
        ("ops.listen", &config.ops_listen),
    ] {
        let own = app.is_local() && own.iter().any(|own| own.overlaps(app));
        let way_out = format!("is hookgate's own address ({key}); name the app's");
        reader.require("app.url", !own, way_out);
    }
}

fn public_url(reader: &mut Reader, leaf: raw::Leaf<String>) -> Option<String> {
    let url = reader.want("server.public_url", leaf)?;
    reader.require("server.public_url", is_public_url(&url), PUBLIC_URL);
    Some(url)
}

/// `https://host`, perhaps with a port and a path in front of the sources' own.
fn is_public_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte);
    host.is_some_and(|host| !host.is_empty()) && url.bytes().all(plain)
}

fn addresses(
    reader: &mut Reader,
    key: &str,
    leaf: raw::Leaf<super::units::TextList>,
) -> Vec<Address> {
    let list = reader.list(key, leaf, ADDRESS);
    reader.require(key, !list.is_empty(), ADDRESS);
    list
}

fn tls(reader: &mut Reader, tls: raw::Tls) -> Option<server::TlsFiles> {
    let certificate = reader.want("server.tls.certificate", tls.certificate);
    let key = reader.want("server.tls.key", tls.key);
    match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let files = server::TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
            };
            match files.check() {
                Ok(()) => {}
                Err(error @ server::TlsError::Certificate(_)) => {
                    reader.fault("server.tls.certificate", error);
                }
                Err(error @ server::TlsError::Key(_)) => reader.fault("server.tls.key", error),
            }
            Some(files)
        }
        (Some(_), None) => {
            reader.fault(
                "server.tls.key",
                "missing: TLS needs a certificate and its key, both PEM files",
            );
            None
        }
        (None, Some(_)) => {
            reader.fault(
                "server.tls.certificate",
                "missing: TLS needs a certificate and its key, both PEM files",
            );
            None
        }
    }
}

/// A rate; `per_second = 0` switches it off.
pub(super) fn rate(reader: &mut Reader, key: &str, rate: raw::Rate) -> Option<ingress::Rate> {
    let per_second_key = format!("{key}.per_second");
    let burst_key = format!("{key}.burst");
    let burst = reader.want(&burst_key, rate.burst).map(|burst| burst.0);
    let Some(per_second) = reader
        .want(&per_second_key, rate.per_second)
        .map(|rate| rate.0)
    else {
        if burst.is_some() {
            reader.fault(&per_second_key, "missing: a rate needs per_second");
        }
        return None;
    };
    let number = |value: u64| {
        u32::try_from(value)
            .ok()
            .and_then(std::num::NonZeroU32::new)
    };
    if per_second == 0 {
        return None;
    }
    match (number(per_second), number(burst.unwrap_or(per_second))) {
        (Some(per_second), Some(burst)) => Some(ingress::Rate { per_second, burst }),
        (None, _) => {
            reader.fault(&per_second_key, "is too large");
            None
        }
        (_, None) => {
            reader.fault(&burst_key, "must be at least 1 and below 4294967296");
            None
        }
    }
}

fn app_config(
    reader: &mut Reader,
    app: raw::App,
    app_paths: HashMap<SourceName, Box<str>>,
    answering: HashSet<SourceName>,
) -> forward::Config {
    let url = reader.text("app.url", app.url);
    let address = app_address(&url).unwrap_or_else(|way_out| {
        reader.require("app.url", false, way_out);
        Address::Unix("invalid".into())
    });
    let allowed = reader.flag("app.allow_remote", app.allow_remote);
    reader.require(
        "app.url",
        address.is_local() || allowed,
        "names another host; if that is meant, set app.allow_remote = true",
    );
    let signing = reader
        .want("app.sign_secret", app.sign_secret)
        .and_then(|secret| {
            let signing = forward::Signing::new(&secret);
            if signing.is_none() {
                reader.fault(
                    "app.sign_secret",
                    "write \"whsec_\" followed by the secret in base64",
                );
            }
            signing
        });
    let dead_letter_on = reader.want("app.dead_letter_on", app.dead_letter_on);
    forward::Config {
        app: address,
        timeout: reader.positive_span("app.timeout", app.timeout),
        concurrency: reader.count("app.concurrency", app.concurrency, CONCURRENCY_MAX),
        retry: forward::RetryPolicy {
            first: reader.positive_span("app.retry.first", app.retry.first),
            max: reader.positive_span("app.retry.max", app.retry.max),
            give_up_after: reader.positive_span("app.retry.give_up_after", app.retry.give_up_after),
        },
        dead_letter_on: dead_letter_on.map(|list| list.0).unwrap_or_default(),
        signing,
        app_paths,
        answering,
    }
}

/// `http://host:port`, or `unix:/path`.
fn app_address(url: &str) -> Result<Address, &'static str> {
    const WAY_OUT: &str = "write \"http://host:port\" or \"unix:/path\"; a path for the app is set per source (app_path)";
    if url.starts_with("unix:") {
        return url.parse().map_err(|_| WAY_OUT);
    }
    if url.starts_with("https:") {
        return Err("TLS to the app is not supported: the app is meant to be on this host");
    }
    let authority = url.strip_prefix("http://").ok_or(WAY_OUT)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    match authority
        .parse()
        .or_else(|_| format!("{authority}:80").parse())
    {
        Ok(Address::Tcp { port: 0, .. } | Address::Passed(_)) | Err(_) => Err(WAY_OUT),
        Ok(address) => Ok(address),
    }
}

fn store_config(
    reader: &mut Reader,
    store: raw::Store,
    dedup_windows: HashMap<SourceName, Duration>,
) -> store::Config {
    let kind = reader.text("store.kind", store.kind);
    let way_out = format!("{kind:?}: there is only \"embedded\"");
    reader.require("store.kind", kind == "embedded", way_out);
    let path = reader.text("store.path", store.path);
    let way_out = "write the directory that events are kept in";
    reader.require("store.path", !path.is_empty(), way_out);
    let bytes_max = reader.size("store.bytes_max", store.bytes_max);
    let enough = bytes_max >= 16 << 20;
    reader.require("store.bytes_max", enough, "must be at least \"16MiB\"");
    store::Config {
        path: path.into(),
        bytes_max,
        low_space_bytes: reader.size("store.low_space", store.low_space),
        allow_volatile: reader.flag("store.allow_volatile", store.allow_volatile),
        keep: store::Keep {
            delivered: reader.span("store.keep.delivered", store.keep.delivered),
            dead: reader.positive_span("store.keep.dead", store.keep.dead),
            ids: reader.positive_span("store.keep.ids", store.keep.ids),
        },
        backlog_bytes_max: BACKLOG_BYTES_MAX,
        dedup_windows,
        disk: None,
    }
}

fn admin_config(reader: &mut Reader, admin: raw::Admin) -> admin::Config {
    let listen = addresses(reader, "admin.listen", admin.listen);
    let tokens = admin::Tokens {
        full: token(reader, "admin.token_file", admin.token_file),
        read: token(reader, "admin.read_token_file", admin.read_token_file),
    };
    let remote = listen.iter().find(|address| !address.is_local());
    if let (Some(address), None, None) = (remote, &tokens.full, &tokens.read) {
        reader.require(
            "admin.token_file",
            false,
            format_args!("missing: admin.listen = \"{address}\" can be reached from outside; name a file with a token, or listen on 127.0.0.1"),
        );
    }
    let alike = tokens.full.as_ref().zip(tokens.read.as_ref());
    reader.require(
        "admin.read_token_file",
        alike.is_none_or(|(full, read)| !full.is(read.expose())),
        "the same token as in admin.token_file; give each its own",
    );
    admin::Config { listen, tokens }
}

fn token(reader: &mut Reader, key: &str, file: Leaf<FilePath>) -> Option<Secret> {
    let file = reader.want(key, file)?;
    let token = reader.secret_file(key, &file)?;
    if is_short(&token) {
        reader.warnings.push(format!("{key} {SHORT}"));
    }
    Some(Secret::new(key, token.to_vec()))
}

fn log_config(reader: &mut Reader, log: raw::Log) -> telemetry::Config {
    let format = reader.text("log.format", log.format);
    let format = match format.as_str() {
        "auto" => telemetry::Format::Auto,
        "text" => telemetry::Format::Text,
        "json" => telemetry::Format::Json,
        _ => {
            let way_out = format!("{format:?}: write \"auto\", \"text\" or \"json\"");
            reader.require("log.format", false, way_out);
            telemetry::Format::Auto
        }
    };
    let level = reader.text("log.level", log.level);
    let way_out = "write \"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or a filter such as \"info,hookgate::forward=debug\"";
    reader.require("log.level", telemetry::is_level(&level), way_out);
    telemetry::Config { format, level }
}
