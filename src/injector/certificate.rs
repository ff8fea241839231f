//! The injector's own certificate, for clusters without cert-manager.
//!
//! A certificate and the authority that signed it are made together; the authority's key is forgotten at once. Both
//! lie in a Secret that all replicas share, and what API servers are to trust goes into the webhook's configuration
//! first, beside what is trusted already, so that no replica is ever met with distrust.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use x509_cert::Certificate as X509;
use x509_cert::der::Decode as _;

use super::cluster::{CallError, Cluster};
use crate::clock::Clock;
use crate::server::TlsFiles;

/// How long a certificate is good for; a third before that a new one takes its place.
const LIFE: Duration = Duration::from_hours(24 * 90);
/// As many are trusted at a time.
const AUTHORITIES_MAX: usize = 4;
/// A configuration that others write at the same time is read and written so many times.
const TRIES: u32 = 3;
/// Clocks of API servers may be behind ours.
const SKEW: Duration = Duration::from_hours(1);

/// Which objects of the cluster are ours to write.
#[derive(Clone, Debug)]
pub struct Names {
    /// The Secret in our namespace that keeps the certificate.
    pub secret: String,
    /// The Service in our namespace that API servers call.
    pub service: String,
    /// The MutatingWebhookConfiguration that says whom they trust.
    pub webhook: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The cluster did not let us read or write.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No key, or no signature.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The folder has to be one that we may write to.
    #[error("the certificate cannot be written to {file}: {error}")]
    Write { file: String, error: io::Error },
}

/// What the Secret holds.
#[derive(Clone)]
struct Material {
    /// The authority that signed the certificate (PEM).
    authority: String,
    certificate: String,
    key: String,
    /// The host names in the certificate.
    hosts: String,
}

/// Keeps a certificate at hand.
pub(super) struct Keeper {
    pub(super) cluster: Cluster,
    pub(super) names: Names,
    pub(super) files: TlsFiles,
    pub(super) clock: Clock,
}

impl Keeper {
    /// Makes sure that there is a certificate with enough of its life left, that API servers trust it, and that it
    /// lies in the files; until when it is good, in Unix seconds.
    pub(super) async fn keep(&self) -> Result<i64, CertificateError> {
        let namespace = self.cluster.namespace()?;
        let hosts = hosts(&self.names.service, &namespace);
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        let material = self.material(&path, &hosts).await?;
        self.trust(&material.authority).await?;
        write(&self.files.key, &material.key)?;
        write(&self.files.certificate, &material.certificate)?;
        Ok(good_until(&material.certificate).unwrap_or_default())
    }

    /// What the Secret holds, or new material that it holds from now on. Of two replicas that write at once, one is
    /// told so, and takes what the other wrote.
    async fn material(&self, path: &str, hosts: &str) -> Result<Material, CertificateError> {
        let own = format!("{path}/{}", self.names.secret);
        loop {
            let secret = match self.cluster.get(&own).await {
                Ok(secret) => Some(secret),
                Err(error) if error.is(StatusCode::NOT_FOUND) => None,
                Err(error) => return Err(error.into()),
            };
            let kept = secret.as_ref().and_then(Material::of);
            if let Some(kept) = kept.as_ref().filter(|kept| self.is_good(kept, hosts)) {
                return Ok(kept.clone());
            }
            let material = Material::new(hosts, self.clock.wall().seconds())?;
            let object = material.object(&self.names.secret, secret.as_ref());
            let written = match secret {
                None => self.cluster.post(path, &object).await,
                Some(_) => self.cluster.put(&own, &object).await,
            };
            match written {
                Ok(_) => {
                    tracing::info!(secret = self.names.secret, "a new certificate was made");
                    return Ok(material);
                }
                Err(error) if error.is(StatusCode::CONFLICT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_good(&self, material: &Material, hosts: &str) -> bool {
        let left = i64::try_from(LIFE.as_secs() / 3).unwrap_or(i64::MAX);
        let until = good_until(&material.certificate);
        material.hosts == hosts
            && until.is_some_and(|until| until - self.clock.wall().seconds() > left)
    }

    /// Adds the authority to those that the webhooks of the configuration trust. What is there and still good stays: a
    /// replica may serve a certificate of it. What somebody wrote since it was read is read again.
    async fn trust(&self, authority: &str) -> Result<(), CertificateError> {
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{}",
            self.names.webhook
        );
        let mut tries = TRIES;
        loop {
            let configuration = self.cluster.get(&path).await?;
            let steps = self.steps(&configuration, authority);
            if steps.is_empty() {
                return Ok(());
            }
            tries -= 1;
            match self.cluster.patch(&path, &Value::Array(steps)).await {
                Ok(_) => {
                    tracing::info!(
                        webhook = self.names.webhook,
                        "API servers were told whom to trust"
                    );
                    return Ok(());
                }
                // The first step did not hold.
                Err(error)
                    if tries > 0
                        && (error.is(StatusCode::CONFLICT)
                            || error.is(StatusCode::UNPROCESSABLE_ENTITY)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How to tell, as a JSON patch of what was read and of nothing newer; none if all is told.
    fn steps(&self, configuration: &Value, authority: &str) -> Vec<Value> {
        let webhooks = configuration.get("webhooks").and_then(Value::as_array);
        let mut steps = Vec::new();
        for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
            let trusted = webhook.pointer("/clientConfig/caBundle");
            let trusted = trusted.and_then(Value::as_str).unwrap_or_default();
            let bundle = STANDARD.encode(self.bundle(trusted, authority));
            if trusted != bundle {
                let path = format!("/webhooks/{index}/clientConfig/caBundle");
                steps.push(json!({"op": "add", "path": path, "value": bundle}));
            }
        }
        let version = configuration.pointer("/metadata/resourceVersion");
        if let (Some(version), false) = (version, steps.is_empty()) {
            let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": version});
            steps.insert(0, test);
        }
        steps
    }

    /// The newest of what is trusted and is to be trusted, each once, as long as they are good.
    fn bundle(&self, trusted: &str, authority: &str) -> String {
        let trusted = STANDARD.decode(trusted).unwrap_or_default();
        let trusted = String::from_utf8(trusted).unwrap_or_default();
        let now = self.clock.wall().seconds();
        let mut all: Vec<&str> = Vec::new();
        for pem in certificates(&trusted).chain(certificates(authority)) {
            if !all.contains(&pem) && good_until(pem).is_some_and(|until| until > now) {
                all.push(pem);
            }
        }
        let first = all.len().saturating_sub(AUTHORITIES_MAX);
        let kept = all.get(first..).unwrap_or_default().iter();
        kept.map(|pem| format!("{pem}\n")).collect()
    }
}

/// Each certificate of several, with its marks and without the line break after it, which not everybody writes.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive("-----END CERTIFICATE-----")
        .filter_map(|part| part.get(part.find("-----BEGIN CERTIFICATE-----")?..))
}

fn hosts(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc,{service}.{namespace}.svc.cluster.local")
}

/// The end of a certificate's life, in Unix seconds; `None` if it is none.
fn good_until(pem: &str) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = X509::from_der(&der).ok()?;
    let end = certificate
        .tbs_certificate()
        .validity()
        .not_after
        .to_unix_duration();
    i64::try_from(end.as_secs()).ok()
}

impl Material {
    /// A new authority and a certificate of it.
    fn new(hosts: &str, now: i64) -> Result<Self, rcgen::Error> {
        let life = |params: &mut CertificateParams| {
            params.not_before = date(now, -seconds(SKEW));
            params.not_after = date(now, seconds(LIFE));
        };
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "hookgate injector authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        life(&mut params);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let names: Vec<_> = hosts.split(',').map(str::to_owned).collect();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "hookgate injector");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        life(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            hosts: hosts.to_owned(),
        })
    }

    /// Reads a Secret.
    fn of(secret: &Value) -> Option<Self> {
        let field = |name: &str| {
            let encoded = secret.pointer(&format!("/data/{name}"))?.as_str()?;
            String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
        };
        Some(Self {
            authority: field("ca.crt")?,
            certificate: field("tls.crt")?,
            key: field("tls.key")?,
            hosts: field("hosts")?,
        })
    }

    /// The Secret to write; in the place of `before`, and only if nobody wrote it since.
    fn object(&self, name: &str, before: Option<&Value>) -> Value {
        let mut metadata = json!({
            "name": name,
            "labels": {"app.kubernetes.io/name": "hookgate", "app.kubernetes.io/component": "injector"},
        });
        // The type of a Secret cannot be changed.
        let mut kind = json!("kubernetes.io/tls");
        if let Some(before) = before {
            metadata = before.get("metadata").cloned().unwrap_or(metadata);
            kind = before.get("type").cloned().unwrap_or(kind);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": kind,
            "data": {
                "ca.crt": STANDARD.encode(&self.authority),
                "tls.crt": STANDARD.encode(&self.certificate),
                "tls.key": STANDARD.encode(&self.key),
                "hosts": STANDARD.encode(&self.hosts),
            },
        })
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

fn date(now: i64, after: i64) -> time::OffsetDateTime {
    let at = now.saturating_add(after);
    time::OffsetDateTime::from_unix_timestamp(at).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Writes a file that nobody else can read, whole or not at all, if it does not say so already.
fn write(file: &Path, text: &str) -> Result<(), CertificateError> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let fresh = file.with_extension("new");
    let written = || {
        let mut options = OpenOptions::new();
        let mut open = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        open.write_all(text.as_bytes())?;
        fs::rename(&fresh, file)
    };
    written().map_err(|error| CertificateError::Write {
        file: file.display().to_string(),
        error,
    })
}
