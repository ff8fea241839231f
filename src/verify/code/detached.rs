//! A detached JSON Web Signature over the raw body (RFC 7515 appendix F, RFC 7797).

use super::{About, Claimed, Procedure, content};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, JwtAlgorithm};
use crate::verify::jwt::{self, Detached};
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::signature::{Reader, Signature};
use crate::verify::view::View;

pub(super) static ABOUT: About = About {
    label: "detached-jws",
    algorithms: &[Algorithm::RsaPkcs1Sha256],
    covers: "{body}",
    covered: "the body, without a timestamp",
    tolerance: None,
};

/// Where the signature is.
pub(super) struct DetachedJws(pub(super) Reader);

impl Procedure for DetachedJws {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let fields = self.0.fields(view)?;
        let text = self.0.unprefixed(fields.first());
        let text =
            text.ok_or_else(|| Reason::Malformed.because("the signature lacks its prefix"))?;
        let detached = Detached::parse(text, &[JwtAlgorithm::Rs256])?;
        Ok(Claimed {
            contents: vec![content([
                detached.header.to_vec().into(),
                b".".into(),
                view.body.into(),
            ])],
            signatures: vec![Signature::Long(detached.signature.into())],
            algorithm: Algorithm::RsaPkcs1Sha256,
            at: None,
            kid: detached.kid,
            objection: None,
        })
    }

    fn write(
        &self,
        request: &mut Unsigned,
        _at: UnixMillis,
        signature: &[u8],
    ) -> Result<(), String> {
        let detached = jwt::detached(JwtAlgorithm::Rs256, signature);
        let text = format!("{}{detached}", self.0.prefix());
        let place = self.0.places().first();
        request.put_at(place.ok_or("the signature has no place")?, &text)
    }
}
