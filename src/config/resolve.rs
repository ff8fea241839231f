//! The raw settings, checked and handed to the components' `Config` types.

use std::collections::HashMap;

use super::faults::Faults;
use super::layers::{self, Inputs};
use super::raw::{self, Raw};
use super::reader::Reader;
use super::{Config, sources};
use crate::net::Address;
use crate::secret::Secret;
use crate::{admin, forward, ingress, server, store, telemetry};

const ADDRESS: &str =
    "write an address as \"host:port\" (an IPv6 host in brackets) or \"unix:/path\"";
const NETWORK: &str = "write a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";

/// Memory for events that wait for a free worker; more is read back from disk.
const BACKLOG_BYTES_MAX: usize = 8 << 20;

pub(super) fn resolve(inputs: &Inputs) -> Result<Config, Faults> {
    let figment = layers::stack(inputs)?;
    let (mut reader, raw) = Reader::open(figment, &schemars::schema_for!(Raw));
    let Raw {
        providers_dir,
        server: raw_server,
        app,
        store,
        admin,
        log,
        sources,
    } = raw;

    let listen = addresses(&mut reader, "server.listen", raw_server.listen);
    let providers_dir = reader.want("providers_dir", providers_dir);
    let body_max = reader.memory("server.body_max", raw_server.body_max);
    let public_url = reader.want("server.public_url", raw_server.public_url);
    let defaults = sources::Defaults {
        body_max,
        public_url,
        providers_dir,
    };
    let resolved = sources::resolve(&mut reader, sources, &defaults);
    let config = Config {
        server: server::Config {
            connections_max: reader.count("server.connections_max", raw_server.connections_max),
            connections_per_peer_max: reader.count(
                "server.connections_per_peer_max",
                raw_server.connections_per_peer_max,
            ),
            tls: tls(&mut reader, raw_server.tls),
        },
        ingress: ingress::Config {
            ack_deadline: reader.positive_span("server.ack_deadline", raw_server.ack_deadline),
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
            trusted_proxies: reader.list(
                "server.trusted_proxies",
                raw_server.trusted_proxies,
                NETWORK,
            ),
            sources: resolved.sources,
        },
        grace: reader.span("server.grace", raw_server.grace),
        forward: app_config(&mut reader, app, resolved.app_paths),
        store: store_config(&mut reader, store),
        admin: admin_config(&mut reader, admin),
        log: log_config(&mut reader, log),
        warnings: Vec::new(),
        listen,
    };
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
    if config.ingress.bodies_in_flight_max < body_max {
        reader.fault(
            "server.bodies_in_flight_max",
            "must not be smaller than server.body_max",
        );
    }
    let retry = &config.forward.retry;
    if retry.first > retry.max {
        reader.fault("app.retry.first", "must not be longer than app.retry.max");
    }
    let shared = config.listen.iter().find(|address| {
        let any_port = matches!(address, Address::Tcp { port: 0, .. });
        !any_port && config.admin.listen.contains(address)
    });
    if let Some(address) = shared {
        reader.fault(
            "admin.listen",
            format_args!("{address} is also in server.listen; give each its own"),
        );
    }
    if config.listen.contains(&config.forward.app) {
        reader.fault(
            "app.url",
            "is hookgate's own address (server.listen); name the app's",
        );
    }
}

fn addresses(
    reader: &mut Reader,
    key: &str,
    leaf: raw::Leaf<super::units::TextList>,
) -> Vec<Address> {
    let faults = reader.faults.0.len();
    let list = reader.list(key, leaf, ADDRESS);
    if list.is_empty() && reader.faults.0.len() == faults {
        reader.fault(key, ADDRESS);
    }
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
            if let Err(error) = files.check() {
                reader.fault("server.tls", error);
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
    app_paths: HashMap<crate::event::SourceName, Box<str>>,
) -> forward::Config {
    let url = reader.text("app.url", app.url);
    let address = app_address(&url).unwrap_or_else(|way_out| {
        reader.fault("app.url", way_out);
        Address::Unix("invalid".into())
    });
    if !address.is_local() && !reader.flag("app.allow_remote", app.allow_remote) {
        reader.fault(
            "app.url",
            "names another host; if that is meant, set app.allow_remote = true",
        );
    }
    let signing = reader
        .want("app.sign_secret", app.sign_secret)
        .and_then(|secret| {
            let signing = forward::Signing::new(&secret.0);
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
        concurrency: reader.count("app.concurrency", app.concurrency),
        retry: forward::RetryPolicy {
            first: reader.positive_span("app.retry.first", app.retry.first),
            max: reader.positive_span("app.retry.max", app.retry.max),
            give_up_after: reader.positive_span("app.retry.give_up_after", app.retry.give_up_after),
        },
        dead_letter_on: dead_letter_on.map(|list| list.0).unwrap_or_default(),
        signing,
        app_paths,
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
    authority
        .parse()
        .or_else(|_| format!("{authority}:80").parse())
        .map_err(|_| WAY_OUT)
}

fn store_config(reader: &mut Reader, store: raw::Store) -> store::Config {
    let kind = reader.text("store.kind", store.kind);
    if kind != "embedded" {
        reader.fault(
            "store.kind",
            format_args!("{kind:?}: there is only \"embedded\""),
        );
    }
    let path = reader.text("store.path", store.path);
    if path.is_empty() {
        reader.fault("store.path", "write the directory that events are kept in");
    }
    let bytes_max = reader.size("store.bytes_max", store.bytes_max);
    if bytes_max < 16 << 20 {
        reader.fault("store.bytes_max", "must be at least \"16MiB\"");
    }
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
    }
}

fn admin_config(reader: &mut Reader, admin: raw::Admin) -> admin::Config {
    let listen = addresses(reader, "admin.listen", admin.listen);
    let token = reader
        .want("admin.token_file", admin.token_file)
        .and_then(|file| {
            reader
                .secret_file("admin.token_file", &file)
                .map(|token| Secret::new("admin.token_file", token.to_vec()))
        });
    let remote = listen.iter().find(|address| !address.is_local());
    if let (Some(address), None) = (remote, &token) {
        reader.fault(
            "admin.token_file",
            format_args!("missing: admin.listen = \"{address}\" can be reached from outside; name a file with a token, or listen on 127.0.0.1"),
        );
    }
    admin::Config { listen, token }
}

fn log_config(reader: &mut Reader, log: raw::Log) -> telemetry::Config {
    let format = reader.text("log.format", log.format);
    let format = match format.as_str() {
        "auto" => telemetry::Format::Auto,
        "text" => telemetry::Format::Text,
        "json" => telemetry::Format::Json,
        _ => {
            reader.fault(
                "log.format",
                format_args!("{format:?}: write \"auto\", \"text\" or \"json\""),
            );
            telemetry::Format::Auto
        }
    };
    let level = reader.text("log.level", log.level);
    if !telemetry::is_level(&level) {
        reader.fault(
            "log.level",
            "write \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a filter",
        );
    }
    telemetry::Config { format, level }
}
