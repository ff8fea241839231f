//! Where a signature is and how it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::one_or_many::OneOrMany;
use super::source::ValueSource;

/// Where the signature is and how it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureRule {
    /// Places, tried in order.
    #[serde(default)]
    pub from: OneOrMany<ValueSource>,
    /// The structure around the signature.
    #[serde(default)]
    pub parse: Parse,
    /// Text in front of the signature, such as `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The prefix may be missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefix_optional: bool,
    /// `kv` and `list`: keys whose values are signatures; all others are ignored. A key written
    /// `config:name` is the operator's value.
    #[serde(default, skip_serializing_if = "no_tags")]
    pub tag: OneOrMany<String>,
    /// Between items; if left out a comma (`kv`, `positional`) or a space (`list`). Spaces around
    /// another text may be missing in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Between key and value; if left out `=` (`kv`) or a comma (`list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<String>,
    /// The spelling of the bytes.
    #[serde(default)]
    pub encoding: Encoding,
    /// Between groups of items that each have fields of their own, such as a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// Base64 without its padding is accepted too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub padding_optional: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

fn no_tags(tags: &OneOrMany<String>) -> bool {
    tags.0.is_empty()
}

/// The structure around a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Parse {
    /// The signature alone, after the prefix.
    #[default]
    Raw,
    /// `t=1,v1=SIGNATURE,v1=SIGNATURE`.
    Kv,
    /// `v1,SIGNATURE v1,SIGNATURE`.
    List,
    /// `FIELD,SIGNATURE,SIGNATURE`: the first item is `sig:0`, the others are signatures.
    Positional,
}

impl Parse {
    /// What separates items, and key from value, unless the file says otherwise.
    #[must_use]
    pub fn separators(self) -> (&'static str, &'static str) {
        match self {
            Self::Raw | Self::Positional => (",", ""),
            Self::Kv => (",", "="),
            Self::List => (" ", ","),
        }
    }
}

/// How signature bytes are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hex, either case.
    #[default]
    Hex,
    /// Standard base64 with padding; non-zero trailing bits are refused.
    Base64,
    /// URL-safe base64 without padding; non-zero trailing bits are refused.
    Base64url,
}
