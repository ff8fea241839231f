//! Segment's batches, JSON arrays: the signature covers the first event, written anew, and no other byte.

use http::HeaderName;

use super::javascript::stringify;
use super::{About, Claimed, Procedure, content, header, signatures};
use crate::clock::UnixMillis;
use crate::providers::{Algorithm, Encoding};
use crate::verify::items::items;
use crate::verify::rejection::{Reason, Rejection};
use crate::verify::sign::Unsigned;
use crate::verify::view::View;

static SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

static ABOUT: About = About {
    label: "segment-batch",
    algorithms: &[Algorithm::HmacSha1],
    covers: "{json:/0}",
    covered: "the first event of a batch and not the others, without a timestamp",
    tolerance: None,
};

pub(super) struct SegmentBatch;

impl Procedure for SegmentBatch {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn read<'a>(&self, view: &View<'a>) -> Result<Claimed<'a>, Rejection> {
        let algorithm = Algorithm::HmacSha1;
        let signature = header(view, &SIGNATURE)?;
        // The array itself, or an object around it.
        let batch = items(view.body, &[]).or_else(|| items(view.body, &["batch".into()]));
        let first = batch.and_then(|batch| stringify(batch.first()?));
        let first = first.ok_or_else(|| Reason::Malformed.because("the body is not a batch"))?;
        Ok(Claimed {
            contents: vec![content([first.into_bytes().into()])],
            signatures: signatures([&*signature], Encoding::Hex, algorithm)?,
            algorithm,
            at: None,
            kid: None,
            objection: None,
        })
    }

    fn write(
        &self,
        request: &mut Unsigned,
        _at: UnixMillis,
        signature: &[u8],
    ) -> Result<(), String> {
        request.set_header(SIGNATURE.as_str(), &hex::encode(signature));
        Ok(())
    }
}
