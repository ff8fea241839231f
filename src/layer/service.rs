//! The layer and its service: verification in front of any tower service.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use tower::{Layer, Service, ServiceExt};

use super::Webhooks;
use crate::ingress;

/// Wraps services in [`Verify`]; made by [`Webhooks::layer`].
#[derive(Clone, Debug)]
pub struct VerifyLayer(Webhooks);

impl VerifyLayer {
    pub(super) fn new(webhooks: Webhooks) -> Self {
        Self(webhooks)
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify {
            inner,
            webhooks: self.0.clone(),
        }
    }
}

/// Lets verified requests through to `S`, and answers all others itself.
///
/// `S` gets the body as one piece, [`Full`], and an `Arc<Verified>` among the extensions. It is asked
/// whether it is ready only after a request was verified, so that whoever cannot sign takes up none
/// of its capacity; this service itself is always ready. Dropping its future gives up all it holds.
#[derive(Clone, Debug)]
pub struct Verify<S> {
    inner: S,
    webhooks: Webhooks,
}

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Send> + Send + 'static,
    R: 'static,
{
    type Response = Response<Either<Full<Bytes>, R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (webhooks, inner) = (self.webhooks.clone(), self.inner.clone());
        Box::pin(async move {
            match webhooks.admit(request).await {
                Ok((request, _share)) => Ok(inner.oneshot(request).await?.map(Either::Right)),
                Err(refusal) => Ok(ingress::refused(&refusal).map(Either::Left)),
            }
        })
    }
}
