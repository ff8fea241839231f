//! What must hold beside the signature.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::signature::is_false;
use super::source::ValueSource;

/// A value of the request that has to be a certain one: `equals` or `equals_value` says which;
/// without them it only has to be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The value; with `?` at its end nothing is checked where it is absent.
    pub from: ValueSource,
    /// It must be this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// It must be the value there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals_value: Option<ValueSource>,
    /// It may be absent, but only from a request without a body.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_body: bool,
}
