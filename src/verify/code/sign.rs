//! Signing as these providers do, for `hookgate send` and tests.

use super::procedure;
use crate::clock::UnixMillis;
use crate::providers::CodeShape;
use crate::secret::{Secret, Values};
use crate::verify::sign::{Unsigned, sign_content};
use crate::verify::signature::LONG_MAX_BYTES;

/// Signs a request, where it is known how: first with an empty signature, so that the content is
/// read as it will be on the other side.
pub(in crate::verify) fn sign(
    shape: &CodeShape<'_>,
    secret: &Secret,
    values: &Values,
    request: &mut Unsigned,
    at: UnixMillis,
) -> Result<(), String> {
    let procedure = procedure(shape, values).ok_or("scheme.signature is missing")?;
    let algorithm = procedure.about().algorithms.first().ok_or("no algorithm")?;
    let length = algorithm.signature_bytes().unwrap_or(LONG_MAX_BYTES);
    procedure.write(request, at, &vec![0; length])?;
    let signature = request.view(values, &[], |view| {
        let claimed = procedure.read(view);
        let claimed = claimed.map_err(|rejection| rejection.detail.into_owned())?;
        let content = claimed.contents.first().ok_or("nothing to sign")?;
        sign_content(*algorithm, shape.key, secret, content)
    })??;
    procedure.write(request, at, &signature)
}
