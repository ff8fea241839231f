//! An API server of a few lines over real TLS, which keeps objects and refuses what is not new, and injectors that
//! ask it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::clock::{Clock, UnixMillis};
use hookgate::entropy::Entropy;
use hookgate::injector::{Access, Config, Injector, Names, StartError};
use hookgate::kubernetes::defaults::Defaults;
use hookgate::metrics::Metrics;
use hookgate::net::Address;
use hookgate::server::{self, Server, TlsFiles};
use hookgate::shutdown::Stage;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::injector::certify;
pub(crate) const SECRETS: &str = "/api/v1/namespaces/hooks/secrets";
pub(crate) const SECRET: &str = "/api/v1/namespaces/hooks/secrets/injector-tls";
pub(crate) const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hookgate";
pub(crate) const HOST: &str = "injector.hooks.svc";
pub(crate) const TOKEN: &str = "token-of-the-service-account";

/// What the API server holds and was asked.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) kept: BTreeMap<String, Value>,
    pub(crate) asked: Vec<(Method, String, Value)>,
    /// Answered once, in the place of the next request to a path.
    pub(crate) instead: BTreeMap<String, (StatusCode, Option<(String, Value)>)>,
    /// Written by somebody else right after a path was read for the first time.
    pub(crate) since: BTreeMap<String, Value>,
}

pub(crate) type Shared = Arc<Mutex<Objects>>;

pub(crate) struct Cluster {
    pub(crate) objects: Shared,
    pub(crate) address: Address,
    pub(crate) stage: Stage,
    pub(crate) place: TempDir,
}

async fn answer(
    State(objects): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.path().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut objects = objects.lock().expect("objects");
    objects
        .asked
        .push((method.clone(), path.clone(), body.clone()));
    let refuse = |status: StatusCode, message: &str| {
        let status_object = json!({"kind": "Status", "message": message});
        (status, status_object.to_string())
    };
    if headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        != Some(&format!("Bearer {TOKEN}"))
    {
        return refuse(StatusCode::UNAUTHORIZED, "who are you?");
    }
    if let Some((status, written)) = objects.instead.remove(&format!("{method} {path}")) {
        objects.kept.extend(written);
        return refuse(status, "not this time");
    }
    match method {
        Method::GET => {
            let read = objects.kept.get(&path).map(Value::to_string);
            if let Some(object) = objects.since.remove(&path) {
                objects.kept.insert(path, object);
            }
            match read {
                Some(object) => (StatusCode::OK, object),
                None => refuse(StatusCode::NOT_FOUND, "not found"),
            }
        }
        Method::POST => {
            let name = body["metadata"]["name"]
                .as_str()
                .map(|name| format!("{path}/{name}"));
            let name = name.unwrap_or_else(|| format!("{path}/{}", objects.asked.len()));
            objects.kept.insert(name, body.clone());
            (StatusCode::CREATED, body.to_string())
        }
        Method::PUT => {
            let before = objects.kept.get(&path).cloned().unwrap_or_default();
            if before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                return refuse(StatusCode::CONFLICT, "written since");
            }
            if before["type"] != body["type"] {
                return refuse(StatusCode::UNPROCESSABLE_ENTITY, "type: field is immutable");
            }
            objects.kept.insert(path, body.clone());
            (StatusCode::OK, body.to_string())
        }
        Method::PATCH => {
            let kept = objects.kept.get_mut(&path).expect("an object");
            match patched(kept, &body) {
                Some(object) => {
                    *kept = object;
                    (StatusCode::OK, "{}".to_owned())
                }
                // As Kubernetes says it.
                None => refuse(StatusCode::UNPROCESSABLE_ENTITY, "testing value failed"),
            }
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "not here"),
    }
}

/// The next version of an object; nothing if one of the steps tests for something else.
fn patched(object: &Value, steps: &Value) -> Option<Value> {
    let mut object = object.clone();
    for step in steps.as_array().into_iter().flatten() {
        let pointer = step["path"].as_str().expect("a path");
        if step["op"] == "test" {
            if object.pointer(pointer) != Some(&step["value"]) {
                return None;
            }
            continue;
        }
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = object.pointer_mut(parent).expect("its place");
        parent[key] = step["value"].clone();
    }
    let version = object["metadata"]["resourceVersion"].as_str();
    let version: u32 = version.expect("a version").parse().expect("a number");
    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    Some(object)
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        certify(place.path());
        std::fs::copy(place.path().join("tls.crt"), place.path().join("ca.crt")).expect("a copy");
        std::fs::write(place.path().join("token"), format!("{TOKEN}\n")).expect("a file");
        std::fs::write(place.path().join("namespace"), "hooks").expect("a file");
        let objects = Shared::default();
        let webhook = json!({"metadata": {"resourceVersion": "1"}, "webhooks": [
            {"name": "a", "clientConfig": {"service": {"name": "injector"}}},
            {"name": "b", "clientConfig": {"service": {"name": "injector"}, "caBundle": "b2xk"}},
        ]});
        let version = json!({"major": "1", "minor": "33+"});
        let kept = [(WEBHOOK, webhook), ("/version", version)];
        let kept = kept.map(|(path, object)| (path.to_owned(), object));
        objects.lock().expect("objects").kept.extend(kept);
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&objects));
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            async move { Ok(router.oneshot(request).await.into_response()) }
        });
        let config = server::Config {
            connections_max: 16,
            connections_per_peer_max: 16,
            trusted_proxies: Vec::new(),
            tls: Some(files(place.path())),
        };
        let stage = Stage::default();
        let server = Server::new(&config, stage.clone(), Entropy::system(), None);
        let listener = any().bind().await.expect("a listener");
        let address = listener.address().expect("an address");
        Arc::new(server.expect("a server")).serve(listener, service);
        Self {
            objects,
            address,
            stage,
            place,
        }
    }

    /// An injector with a folder of its own.
    pub(crate) async fn injector(
        &self,
        change: impl FnOnce(&mut Config),
        clock: Clock,
    ) -> Result<Replica, StartError> {
        let place = tempfile::tempdir().expect("a directory");
        let authority = self.address.to_string();
        let (_, port) = authority.rsplit_once(':').expect("a port");
        let mut config = Config {
            listen: any(),
            ops: any(),
            tls: files(place.path()),
            defaults: Defaults::default(),
            minor: None,
            access: Some(Access {
                host: "localhost".to_owned(),
                port: port.parse().expect("a number"),
                account: self.place.path().to_owned(),
            }),
            certificate: Some(Names {
                secret: "injector-tls".to_owned(),
                service: "injector".to_owned(),
                webhook: "hookgate".to_owned(),
            }),
            events: false,
        };
        change(&mut config);
        let metrics = Metrics::new();
        let injector = Injector::start(config, &metrics, clock).await?;
        Ok(Replica {
            injector,
            metrics,
            place,
        })
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.objects
            .lock()
            .expect("objects")
            .kept
            .get(path)
            .cloned()
    }

    /// What the webhooks' configuration says that API servers trust.
    pub(crate) fn bundle(&self, index: usize) -> String {
        let webhook = self.object(WEBHOOK).expect("a configuration");
        let bundle = &webhook["webhooks"][index]["clientConfig"]["caBundle"];
        let bytes = STANDARD
            .decode(bundle.as_str().expect("a bundle"))
            .expect("base64");
        String::from_utf8(bytes).expect("PEM")
    }

    pub(crate) fn asked(&self, method: &Method, prefix: &str) -> Vec<Value> {
        let objects = self.objects.lock().expect("objects");
        let asked = objects
            .asked
            .iter()
            .filter(|(m, path, _)| m == method && path.starts_with(prefix));
        asked.map(|(_, _, body)| body.clone()).collect()
    }
}

pub(crate) struct Replica {
    pub(crate) injector: Injector,
    pub(crate) metrics: Metrics,
    pub(crate) place: TempDir,
}

pub(crate) fn any() -> Address {
    "127.0.0.1:0".parse().expect("an address")
}

pub(crate) fn files(place: &Path) -> TlsFiles {
    TlsFiles {
        certificate: place.join("tls.crt"),
        key: place.join("tls.key"),
    }
}

pub(crate) fn at(days: u64) -> Clock {
    let start = UnixMillis(1_800_000_000_000);
    Clock::manual(start.plus(Duration::from_hours(24 * days)))
}
