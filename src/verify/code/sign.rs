//! Signing as these providers do, for `hookgate send` and tests.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};

use super::{Content, procedure};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, CodeShape, KeyForm};
use crate::secret::Secret;
use crate::verify::key::{Key, joined, private_key};
use crate::verify::sign::{Unsigned, header_map, split_url};
use crate::verify::signature::LONG_MAX_BYTES;
use crate::verify::view::View;

/// Signs a request, where it is known how: first with an empty signature, so that the content is
/// read as it will be on the other side.
pub(in crate::verify) fn sign(
    shape: &CodeShape<'_>,
    secret: &Secret,
    values: &BTreeMap<String, String>,
    request: &mut Unsigned,
    at: UnixMillis,
) -> Result<(), String> {
    let procedure = procedure(shape, values).ok_or("scheme.signature is missing")?;
    let algorithm = procedure.about().algorithms.first().ok_or("no algorithm")?;
    let length = algorithm.signature_bytes().unwrap_or(LONG_MAX_BYTES);
    procedure.write(request, at, &vec![0; length])?;
    let signature = {
        let headers = header_map(&request.headers)?;
        let (public_url, target) = split_url(&request.url);
        let view = View {
            method: &request.method,
            target,
            headers: &headers,
            body: &request.body,
            path_token: None,
            values,
            public_url,
            item: &[],
        };
        let claimed = procedure.read(&view);
        let claimed = claimed.map_err(|rejection| rejection.detail.into_owned())?;
        let content = claimed.contents.first().ok_or("nothing to sign")?;
        signature(*algorithm, secret, shape.key, content)?
    };
    procedure.write(request, at, &signature)
}

fn signature(
    algorithm: Algorithm,
    secret: &Secret,
    form: KeyForm,
    content: &Content<'_>,
) -> Result<Vec<u8>, String> {
    if algorithm == Algorithm::Ed25519 {
        let seed = private_key(secret.expose())
            .ok_or("the private key must be whsk_ and base64 of 32 or 64 bytes")?;
        let signature = SigningKey::from_bytes(&seed).sign(&joined(content));
        return Ok(signature.to_bytes().to_vec());
    }
    let (bytes, length) = Key::new(secret, algorithm, form)?.compute(content);
    Ok(bytes.get(..length).unwrap_or_default().to_vec())
}
