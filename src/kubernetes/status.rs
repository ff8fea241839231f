//! What was added to a pod, written into an annotation of it, so that it can be taken out again.

use serde::{Deserialize, Serialize};

/// The value of the annotation, as JSON. Later versions may add fields; earlier ones pass over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    /// Of the hookgate that added it.
    pub(super) version: String,
    /// Names of volumes.
    pub(super) volumes: Vec<String>,
    /// The container that is the app.
    pub(super) app: String,
    /// The app's container got the mount of the socket's folder.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) mount: bool,
    /// The app's container got a pause before its end, so long, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sleep: Option<u16>,
    /// Lists and maps that were not there before: pointers, the app's container being `app`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) made: Vec<String>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&json)
    }
}
