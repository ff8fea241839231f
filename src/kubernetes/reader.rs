//! Settings out of text: every fault is found, and names its setting and the way out.

use super::settings::{Given, IMAGE, PREFIX, SETTINGS, Settings, Spool, Upstream};
use super::skip::{Reason, Skip};
use super::{parts, quantity};
use crate::providers::Catalogue;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Of the faults of one pod; those after it are found when these are mended.
const FAULTS_MAX: usize = 8;

impl Settings {
    /// What these values say.
    ///
    /// # Errors
    /// All that is wrong with them, in one [`Skip`].
    pub fn read(values: &Given) -> Result<Self, Skip> {
        let mut reader = Reader {
            values,
            faults: Vec::new(),
        };
        reader.refuse_unknown();
        let settings = Self {
            image: reader
                .words("image", is_image)
                .unwrap_or_else(|| IMAGE.to_owned()),
            image_pull_policy: reader.words("image-pull-policy", |text| {
                ["Always", "IfNotPresent", "Never"].contains(&text)
            }),
            sources: reader.sources(),
            config: reader.words("config", is_name),
            secrets: reader.words("secrets", is_name),
            upstream: reader.upstream(),
            app_container: reader.words("app-container", is_name),
            listen_host: reader.words("listen-host", is_host).unwrap_or_default(),
            listen_port: reader.number("listen-port", 1024, 65535),
            ops_port: reader.number("ops-port", 1024, 65535),
            admin_port: reader.number("admin-port", 1024, 65535),
            spool: reader.spool(),
            spool_size: reader.spool_size(),
            drain_seconds: reader.number("drain-seconds", 2, 3600),
            native_sidecar: reader.native_sidecar(),
            run_as_user: reader.run_as_user(),
            log_level: reader
                .words("log-level", |text| LEVELS.contains(&text))
                .unwrap_or_default(),
            cpu_request: reader.quantity("cpu-request", quantity::millicores),
            cpu_limit: reader.quantity("cpu-limit", quantity::millicores),
            memory_request: reader.quantity("memory-request", quantity::bytes),
            memory_limit: reader.quantity("memory-limit", quantity::bytes),
        };
        reader.compare(&settings);
        match reader.faults.is_empty() {
            true => Ok(settings),
            false => Err(Skip::new(Reason::BadSetting, reader.faults.join("; "))),
        }
    }
}

struct Reader<'a> {
    values: &'a Given,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    /// The value of a setting or its default, without spaces around it; `None` if both are empty.
    fn value(&self, name: &str) -> Option<&'a str> {
        let default = || SETTINGS.iter().find(|s| s.name == name).map(|s| s.default);
        let value = match self.values.get(name) {
            Some(value) => Some(value.trim()),
            None => default(),
        };
        value.filter(|value| !value.is_empty())
    }

    fn fault(&mut self, name: &str, way_out: &str) {
        let value = self.value(name).unwrap_or_default();
        let shown: String = value.chars().take(60).collect();
        self.faults
            .push(format!("{PREFIX}{name} is {shown:?}: {way_out}"));
    }

    fn refuse_unknown(&mut self) {
        for name in self.values.keys() {
            if SETTINGS.iter().any(|setting| setting.name == name) {
                continue;
            }
            if self.faults.len() == FAULTS_MAX {
                break;
            }
            let known = SETTINGS.iter().map(|setting| setting.name);
            let nearest = known.max_by(|a, b| {
                strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
            });
            let nearest = nearest.unwrap_or_default();
            let shown: String = name.chars().take(60).collect();
            self.faults.push(format!(
                "there is no setting {:?}; did you mean {PREFIX}{nearest}?",
                format!("{PREFIX}{shown}")
            ));
        }
    }

    fn words(&mut self, name: &str, is_valid: impl Fn(&str) -> bool) -> Option<String> {
        let value = self.value(name)?;
        if is_valid(value) {
            return Some(value.to_owned());
        }
        let meaning = SETTINGS.iter().find(|s| s.name == name).map(|s| s.meaning);
        self.fault(name, &format!("it is {}", meaning.unwrap_or_default()));
        None
    }

    fn number(&mut self, name: &str, min: u16, max: u16) -> u16 {
        let number = self.value(name).and_then(|value| value.parse().ok());
        let number = number.filter(|number| (min..=max).contains(number));
        number.unwrap_or_else(|| {
            self.fault(name, &format!("write a number from {min} to {max}"));
            0
        })
    }

    fn quantity(&mut self, name: &str, size: impl Fn(&str) -> Option<u64>) -> Option<String> {
        let value = self.value(name).filter(|value| *value != "none")?;
        if size(value).is_none() {
            self.fault(
                name,
                "write a quantity such as 100m, 0.5, 64Mi or 1Gi, or none",
            );
        }
        Some(value.to_owned())
    }

    fn sources(&mut self) -> Vec<(String, String)> {
        let listed = self.value("sources").unwrap_or_default();
        let listed = listed
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        // With a configuration there may be providers of its own.
        let knows_all = self.value("config").is_some();
        let mut sources: Vec<(String, String)> = Vec::new();
        for part in listed {
            let (name, provider) = part.split_once('=').unwrap_or((part, part));
            if !knows_all && Catalogue::embedded().get(provider).is_none() {
                self.fault(
                    "sources",
                    "`hookgate providers` lists the providers there are",
                );
                break;
            }
            let is_new = !sources.iter().any(|(known, _)| known == name);
            if is_source(name) && is_source(provider) && is_new {
                sources.push((name.to_owned(), provider.to_owned()));
            } else {
                self.fault("sources", "write NAME=PROVIDER, comma-separated, with a lower-case name of its own for each");
                break;
            }
        }
        sources
    }

    fn upstream(&mut self) -> Upstream {
        let value = self.value("upstream").unwrap_or_default();
        parse_upstream(value).unwrap_or_else(|| {
            self.fault("upstream", "write unix:/FOLDER/NAME, of at most 107 bytes and in a folder of its own, or http://127.0.0.1:PORT");
            let url = value.to_owned();
            Upstream::Tcp { port: 0, url }
        })
    }

    fn spool(&mut self) -> Spool {
        let value = self.value("spool").unwrap_or_default();
        match value.split_once(':') {
            None if value == "emptyDir" => return Spool::EmptyDir,
            Some(("ephemeral", class)) if is_name(class) => {
                return Spool::Ephemeral(class.to_owned());
            }
            Some(("pvc", claim)) if is_name(claim) => return Spool::Claim(claim.to_owned()),
            Some(_) | None => {}
        }
        self.fault(
            "spool",
            "write emptyDir, ephemeral:STORAGECLASS or pvc:CLAIM",
        );
        Spool::EmptyDir
    }

    fn spool_size(&mut self) -> String {
        let value = self.value("spool-size").unwrap_or_default();
        if quantity::bytes(value).is_none_or(|bytes| bytes < 256 << 20) {
            self.fault("spool-size", "write a size of at least 256Mi, such as 1Gi");
        }
        value.to_owned()
    }

    fn native_sidecar(&mut self) -> Option<bool> {
        match self.value("native-sidecar") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some("auto") | None => None,
            Some(_) => {
                self.fault("native-sidecar", "write auto, true or false");
                None
            }
        }
    }

    fn run_as_user(&mut self) -> Option<i64> {
        let value = self.value("run-as-user").filter(|value| *value != "auto")?;
        let user = value
            .parse()
            .ok()
            .filter(|user| (1..=i64::from(i32::MAX)).contains(user));
        if user.is_none() {
            self.fault("run-as-user", "write a user id above 0, or auto");
        }
        user
    }

    /// What only all settings together show.
    fn compare(&mut self, settings: &Settings) {
        let app = match settings.upstream {
            Upstream::Tcp { port, .. } => port,
            Upstream::Unix { .. } => 0,
        };
        let mut ports = [
            settings.listen_port,
            settings.ops_port,
            settings.admin_port,
            app,
        ];
        ports.sort_unstable();
        let mut pairs = ports.iter().zip(ports.iter().skip(1));
        if pairs.any(|(a, b)| a == b && *a != 0) {
            let text = "listen-port, ops-port, admin-port and the port of upstream must differ";
            self.faults.push(text.to_owned());
        }
        let pairs = [
            (
                "cpu",
                &settings.cpu_request,
                &settings.cpu_limit,
                quantity::millicores as fn(&str) -> _,
            ),
            (
                "memory",
                &settings.memory_request,
                &settings.memory_limit,
                quantity::bytes,
            ),
        ];
        for (name, request, limit, size) in pairs {
            let sizes = request
                .as_deref()
                .and_then(size)
                .zip(limit.as_deref().and_then(size));
            if sizes.is_some_and(|(request, limit)| request > limit) {
                self.faults.push(format!(
                    "{PREFIX}{name}-request is above {PREFIX}{name}-limit, which no pod may have"
                ));
            }
        }
    }
}

/// A Unix socket or a loopback port; the app is in the same pod.
fn parse_upstream(value: &str) -> Option<Upstream> {
    let url = value.to_owned();
    if let Some(path) = value.strip_prefix("unix:") {
        let (folder, name) = path.rsplit_once('/')?;
        let parts = || folder.split('/').skip(1);
        let plain = parts().all(|part| !part.is_empty() && part != "." && part != "..");
        // A volume over a folder hides what the image has there.
        let ours = [
            "/etc", "/dev", "/proc", "/sys", "/usr", "/bin", "/sbin", "/lib", "/lib64",
        ];
        let taken = ours
            .iter()
            .any(|root| std::path::Path::new(folder).starts_with(root))
            || parts::TAKEN.iter().any(|taken| {
                std::path::Path::new(folder).starts_with(taken)
                    || std::path::Path::new(taken).starts_with(folder)
            });
        let fits = path.starts_with('/') && path.len() <= 107 && !name.is_empty();
        let readable = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b":$".contains(&byte));
        let folder = folder.to_owned();
        let usable = fits && readable && plain && !taken && parts().count() >= 2;
        return usable.then_some(Upstream::Unix { folder, url });
    }
    let authority = value.strip_prefix("http://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = authority.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let local = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    local.then_some(Upstream::Tcp { port, url })
}

/// A name of a source or provider that survives the way through an environment variable.
fn is_source(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= 64
        && ends(bytes.first())
        && ends(bytes.last())
        && !name.contains("__")
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

/// The name of an object: a DNS subdomain (RFC 1123).
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= 253
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
}

fn is_image(image: &str) -> bool {
    image.len() <= 1024 && image.bytes().all(|byte| byte.is_ascii_graphic())
}

/// All addresses of the pod: probes and senders come from outside of it.
fn is_host(host: &str) -> bool {
    ["0.0.0.0", "[::]"].contains(&host)
}
