//! Admission reviews: what an API server asks before it stores a pod, and the answer.
//! Source: kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
//!
//! Every answer allows the pod. A gate that cannot be added is no reason to keep an app from starting: without it
//! no webhook reaches the app, and the answer says why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::defaults::Defaults;
use super::inject::{Surroundings, inject};
use super::ports;
use super::skip::{Reason, Skip};
use super::{Operation, Tree};

/// Characters; an API server passes on no more of a warning than 256 bytes for sure.
const WARNING_MAX: usize = 240;
/// The one version there is.
const VERSION: &str = "admission.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    kind: Kind,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    object: Tree,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    #[serde(default)]
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    audit_annotations: Outcome,
}

#[derive(Serialize)]
struct Outcome {
    outcome: &'static str,
}

/// A review that was answered.
#[derive(Clone, Debug)]
pub struct Reviewed {
    /// For the API server.
    pub body: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod, as far as it has a name yet.
    pub pod: String,
    /// What it belongs to, which is what people look at: a ReplicaSet, a Job.
    pub owner: Option<Owner>,
    /// Nothing happens after this review.
    pub is_dry_run: bool,
    /// What was done: notes for its owner, or why nothing.
    pub outcome: Result<Vec<String>, Skip>,
}

/// The controller that made a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

impl Owner {
    fn of(pod: &Tree) -> Option<Self> {
        let owners = pod.at(&["metadata", "ownerReferences"])?.list();
        let is_controller = |owner: &&Tree| owner.get("controller") == Some(&Tree::Bool(true));
        let owner = owners.iter().find(is_controller)?;
        let field = |name| owner.get(name).and_then(Tree::text).map(str::to_owned);
        Some(Self {
            api_version: field("apiVersion")?,
            kind: field("kind")?,
            name: field("name")?,
            uid: field("uid")?,
        })
    }
}

/// Something that is no review; there is no answer to it but a status of HTTP.
#[derive(Debug, thiserror::Error)]
pub enum NoReview {
    /// No JSON, or of another shape.
    #[error("not an AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of that shape that says it is something else.
    #[error("not an AdmissionReview of {VERSION} with a request")]
    Kind,
}

/// Answers a review of a pod.
///
/// # Errors
/// It is none.
pub fn review(body: &[u8], defaults: &Defaults, minor: u32) -> Result<Reviewed, NoReview> {
    let review: Review = serde_json::from_slice(body)?;
    let request = match review {
        Review {
            api_version,
            kind,
            request: Some(request),
        } if api_version == VERSION && kind == "AdmissionReview" && !request.uid.is_empty() => {
            request
        }
        Review { .. } => return Err(NoReview::Kind),
    };
    let pod = &request.object;
    let owner = Owner::of(pod);
    let surroundings = Surroundings {
        minor,
        is_job: owner.as_ref().is_some_and(|owner| owner.kind == "Job"),
    };
    let result = match request.kind.group.is_empty()
        && request.kind.kind == "Pod"
        && request.operation == "CREATE"
    {
        true => inject(pod, defaults, surroundings).map_err(|skip| looked_over(pod, skip)),
        false => Err(Skip::new(
            Reason::NotAPod,
            "only pods that are created get a gate: correct the rules of the webhook's configuration",
        )),
    };
    let (operations, outcome) = match result {
        Ok(injection) => (injection.operations, Ok(injection.notes)),
        Err(skip) => (Vec::new(), Err(skip)),
    };
    let body = reply(&request.uid, &operations, &outcome)?;
    let metadata = |name| pod.at(&["metadata", name]).and_then(Tree::text);
    let name = metadata("name").or_else(|| metadata("generateName"));
    Ok(Reviewed {
        body,
        pod: name.unwrap_or_default().to_owned(),
        namespace: request.namespace,
        owner,
        is_dry_run: request.dry_run,
        outcome,
    })
}

/// An API server asks again when others have changed the pod since: what they added may be in the way of the gate.
fn looked_over(pod: &Tree, skip: Skip) -> Skip {
    match (skip.reason, ports::beside_gate(pod)) {
        (Reason::AlreadyInjected, Some(clash)) => Skip::new(Reason::LaterPortClash, clash),
        _ => skip,
    }
}

fn reply(
    uid: &str,
    operations: &[Operation],
    outcome: &Result<Vec<String>, Skip>,
) -> Result<String, serde_json::Error> {
    let patch = match operations {
        [] => None,
        operations => Some(STANDARD.encode(serde_json::to_string(operations)?)),
    };
    let mut warnings = Vec::new();
    match outcome {
        Ok(notes) => warnings.extend(notes.iter().map(|note| warning(note))),
        Err(skip) if skip.reason.is_intended() => {}
        Err(skip) if skip.reason.has_gate() => warnings.push(warning(&skip.message)),
        Err(skip) => warnings.push(warning(&format!("not injected: {skip}"))),
    }
    serde_json::to_string(&Reply {
        api_version: VERSION,
        kind: "AdmissionReview",
        response: Response {
            uid,
            allowed: true,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            warnings,
            audit_annotations: Outcome {
                outcome: match outcome {
                    Ok(_) => "injected",
                    Err(skip) => skip.reason.name(),
                },
            },
        },
    })
}

/// A line for whoever creates a pod by hand.
fn warning(text: &str) -> String {
    let text = format!("hookgate: {text}");
    match text.char_indices().nth(WARNING_MAX) {
        None => text,
        Some(_) => {
            let start: String = text.chars().take(WARNING_MAX - 1).collect();
            start + "\u{2026}"
        }
    }
}
