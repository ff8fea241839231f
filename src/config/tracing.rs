//! Where spans go, from the standard variables of OpenTelemetry (specification 1.x, "Environment Variable
//! Specification"). They are not settings of ours: others in the pod share them, and whoever sets them there
//! may not know of us. So what cannot be used is a warning, and never keeps the gate from starting.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::secret::SecretText;
use crate::trace::{Config, Sampling};

const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MILLIS_MAX: u64 = 60_000;

const ENDPOINT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const PATIENCE: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const PROTOCOL: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// Set for others, perhaps, and without effect here.
const UNSUPPORTED: [&str; 8] = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];

/// Whether a variable is read here.
pub(super) fn is_known(name: &str) -> bool {
    let pairs = [ENDPOINT, HEADERS, PATIENCE, PROTOCOL];
    let single = [DISABLED, EXPORTER, SAMPLER, SAMPLER_ARG, SERVICE, RESOURCE];
    pairs.as_flattened().contains(&name) || single.contains(&name) || UNSUPPORTED.contains(&name)
}

/// Reads them; what cannot be used is said in `warnings`, without its value, which may be a secret.
pub(super) fn read(
    environment: &[(String, SecretText)],
    warnings: &mut Vec<String>,
) -> Option<Config> {
    let mut variables = Variables {
        environment,
        warnings,
    };
    let (endpoint, headers) = variables.collector()?;
    let timeout = variables.timeout();
    for name in UNSUPPORTED {
        if variables.get(name).is_some_and(|value| value != "none") {
            variables.warn(name, "has no effect here");
        }
    }
    Some(Config {
        endpoint,
        headers,
        timeout,
        sampling: variables.sampling(),
        resource: variables.resource(),
    })
}

struct Variables<'a> {
    environment: &'a [(String, SecretText)],
    warnings: &'a mut Vec<String>,
}

impl<'a> Variables<'a> {
    /// Empty is as good as not set.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut variables = self.environment.iter();
        let (_, value) = variables.find(|(known, _)| known == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The first that is set, with its name.
    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
        names
            .into_iter()
            .find_map(|name| Some((name, self.get(name)?)))
    }

    fn warn(&mut self, name: &str, what: &str) {
        self.warnings.push(format!("{name}: {what}"));
    }

    /// `None`: no spans are made.
    fn collector(&mut self) -> Option<(Uri, HeaderMap)> {
        let (name, endpoint) = self.first(ENDPOINT)?;
        let is_disabled = self
            .get(DISABLED)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let exporter = self.get(EXPORTER).unwrap_or("otlp");
        if is_disabled || exporter == "none" {
            return None;
        }
        if !exporter
            .split(',')
            .any(|exporter| exporter.trim() == "otlp")
        {
            self.warn(
                EXPORTER,
                "traces are off: only \"otlp\" is known here, and \"none\"",
            );
            return None;
        }
        if let Some((name, protocol)) = self.first(PROTOCOL)
            && protocol != "http/protobuf"
        {
            self.warn(name, "traces are off: only \"http/protobuf\" is spoken here; set it, and the endpoint to the collector's port for HTTP, often 4318");
            return None;
        }
        let endpoint = match name == ENDPOINT[0] {
            true => endpoint.to_owned(),
            false => {
                let (base, query) = endpoint.split_at(endpoint.find('?').unwrap_or(endpoint.len()));
                format!("{}/v1/traces{query}", base.trim_end_matches('/'))
            }
        };
        let Some(endpoint) = address(&endpoint) else {
            self.warn(name, "traces are off: write an address such as \"http://collector:4318\", without a login");
            return None;
        };
        let headers = self.headers()?;
        Some((endpoint, headers))
    }

    /// `name=value,name=value`, values percent-encoded.
    fn headers(&mut self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some((name, list)) = self.first(HEADERS) else {
            return Some(headers);
        };
        for (key, value) in pairs(list) {
            let header = HeaderName::try_from(key.unwrap_or_default())
                .ok()
                .zip(value.and_then(|value| HeaderValue::try_from(value).ok()));
            match header {
                Some((header, mut value)) if !frames(&header) => {
                    value.set_sensitive(true);
                    headers.insert(header, value);
                }
                Some(_) | None => {
                    self.warn(
                        name,
                        "traces are off: write headers as \"name=value,name=value\"",
                    );
                    return None;
                }
            }
        }
        Some(headers)
    }

    fn timeout(&mut self) -> Duration {
        let Some((name, text)) = self.first(PATIENCE) else {
            return TIMEOUT;
        };
        match text.parse() {
            Ok(millis @ 1..=TIMEOUT_MILLIS_MAX) => Duration::from_millis(millis),
            Ok(_) | Err(_) => {
                self.warn(name, "is not used: write milliseconds, from 1 to 60000");
                TIMEOUT
            }
        }
    }

    /// Whoever sends from the internet is nobody's parent here, so the samplers that go by a parent go by
    /// their root.
    fn sampling(&mut self) -> Sampling {
        let sampler = self.get(SAMPLER).unwrap_or("parentbased_always_on");
        match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
            "always_on" => Sampling(1.0),
            "always_off" => Sampling(0.0),
            "traceidratio" => {
                let share = self.get(SAMPLER_ARG).map_or(Ok(1.0), str::parse);
                match share {
                    Ok(share) if (0.0..=1.0).contains(&share) => Sampling(share),
                    Ok(_) | Err(_) => {
                        self.warn(SAMPLER_ARG, "is not used: write a share from 0 to 1");
                        Sampling(1.0)
                    }
                }
            }
            _ => {
                self.warn(
                    SAMPLER,
                    "is not used: write \"always_on\", \"always_off\" or \"traceidratio\"",
                );
                Sampling(1.0)
            }
        }
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let mut resource = vec![
            ("service.name".to_owned(), "hookgate".to_owned()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        let mut set = |key: String, value: String| {
            resource.retain(|(known, _)| *known != key);
            resource.push((key, value));
        };
        let given = pairs(self.get(RESOURCE).unwrap_or_default());
        let given: Option<Vec<_>> = given.map(|(key, value)| key.zip(value)).collect();
        // All or nothing, as the specification wants it.
        let is_odd = given.is_none();
        for (key, value) in given.unwrap_or_default() {
            set(key, value);
        }
        if let Some(name) = self.get(SERVICE) {
            set("service.name".to_owned(), name.to_owned());
        }
        if is_odd {
            self.warn(RESOURCE, "is not used: write \"name=value,name=value\"");
        }
        resource
    }
}

/// Names and decoded values, as far as each is one.
fn pairs(list: &str) -> impl Iterator<Item = (Option<String>, Option<String>)> + '_ {
    let decoded = |text: &str| {
        let text = percent_decode_str(text.trim()).decode_utf8().ok()?;
        Some(text.into_owned())
    };
    let pairs = list.split(',').filter(|pair| !pair.trim().is_empty());
    pairs.map(move |pair| match pair.split_once('=') {
        Some((key, value)) => (decoded(key).filter(|key| !key.is_empty()), decoded(value)),
        None => (None, None),
    })
}

fn address(text: &str) -> Option<Uri> {
    let address: Uri = text.parse().ok()?;
    let authority = address.authority()?;
    let is_http = matches!(address.scheme_str(), Some("http" | "https"));
    let has_login = authority.as_str().contains('@');
    (is_http && !has_login && !authority.host().is_empty()).then_some(address)
}

/// Headers that say how a message is framed.
fn frames(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "content-encoding"
            | "expect"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> (Option<Config>, String) {
        let environment = variables.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| {
                assert!(is_known(name), "{name}");
                ((*name).to_owned(), SecretText::from(*value))
            })
            .collect();
        let mut warnings = Vec::new();
        let config = read(&environment, &mut warnings);
        let warnings = warnings.join("\n");
        assert!(!warnings.contains("canary"), "{warnings}");
        (config, warnings)
    }

    const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/");

    #[test]
    fn without_an_endpoint_or_switched_off_there_are_no_traces() {
        for variables in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "a")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            &[AT, ("OTEL_SDK_DISABLED", "TRUE")],
            &[AT, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            let (config, warnings) = of(variables);
            assert!(config.is_none() && warnings.is_empty(), "{variables:?}");
        }
    }

    #[test]
    fn all_that_is_set_is_used_and_what_is_for_traces_counts_more() {
        let (config, warnings) = of(&[
            AT,
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20canary, x-a = b",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_SERVICE_NAME", "hooks"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,deployment.environment=a%2Cb",
            ),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        let config = config.unwrap();
        assert_eq!(warnings, "");
        assert_eq!(config.endpoint, "http://c:4318/v1/traces");
        assert_eq!(config.headers["authorization"], "Bearer canary");
        assert!(config.headers["authorization"].is_sensitive());
        assert_eq!(config.headers["x-a"], "b");
        assert_eq!(config.timeout, Duration::from_millis(250));
        assert_eq!(config.sampling, Sampling(0.25));
        let value = |key| config.resource.iter().find(|(known, _)| known == key);
        assert_eq!(value("service.name").unwrap().1, "hooks");
        assert_eq!(value("deployment.environment").unwrap().1, "a,b");

        let queried = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/in/?y=z");
        let (config, _) = of(&[queried]);
        assert_eq!(config.unwrap().endpoint, "http://c:4318/in/v1/traces?y=z");

        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]/x?y=z");
        let (config, _) = of(&[AT, traces]);
        assert_eq!(config.unwrap().endpoint, "https://[::1]/x?y=z");
    }

    #[test]
    fn what_cannot_be_used_is_a_warning_that_names_it_and_shows_nothing() {
        for (name, value, is_on, way_out) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "canary",
                false,
                "http://collector:4318",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://a:canary@c",
                false,
                "without a login",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "ftp://canary",
                false,
                "traces are off",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", false, "4318"),
            ("OTEL_TRACES_EXPORTER", "zipkin", false, "\"otlp\""),
            ("OTEL_EXPORTER_OTLP_HEADERS", "canary", false, "name=value"),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "a=canary%0d%0ab:c",
                false,
                "name=value",
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "Transfer-Encoding=chunked",
                false,
                "name=value",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", true, "milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", true, "milliseconds"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", true, "traceidratio"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b,canary", true, "not used"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", true, "no effect"),
        ] {
            let (config, warnings) = of(&[(name, value), AT]);
            assert_eq!(config.is_some(), is_on, "{name}={value}");
            assert!(
                warnings.starts_with(name) && warnings.contains(way_out),
                "{warnings}"
            );
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for share in ["1.5", "-1", "NaN", "canary"] {
            let (config, warnings) = of(&[AT, ratio, ("OTEL_TRACES_SAMPLER_ARG", share)]);
            assert_eq!(config.unwrap().sampling, Sampling(1.0));
            assert!(warnings.contains("from 0 to 1"), "{warnings}");
        }
    }
}
