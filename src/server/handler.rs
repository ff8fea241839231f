//! What answers requests, and the socket that they come from, each as one type: the code of both protocols is
//! then in the program once, instead of once for each service, with TLS and without.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body as AnyBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tower::{BoxError, Service, ServiceExt as _};

use super::Peer;
use super::place::{Open, Place};
use super::turns::Turns;
use crate::net::Stream;

/// A connection, behind TLS or not; boxed, so that those without TLS do not have room for it.
pub(super) type Socket = Either<Turns<Stream>, Box<TlsStream<Turns<Stream>>>>;

type Answer = Result<Response<AnyBody>, Infallible>;
/// Boxed also so that a connection that waits for a request does not have room for its answer.
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Hands each request to a service.
#[derive(Clone)]
pub(super) struct Handler(Arc<dyn Fn(Request<Incoming>, Open) -> Answering + Send + Sync>);

impl Handler {
    /// Each request goes to a clone of `service`.
    pub(super) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request, open| {
            let answering = service.clone().oneshot(request);
            Box::pin(async move {
                let _open = open;
                let answer = answering.await?;
                Ok(answer.map(AnyBody::new))
            })
        }))
    }
}

/// The requests of one connection.
pub(super) struct Requests {
    pub(super) handler: Handler,
    pub(super) peer: Peer,
    pub(super) place: Place,
    /// The service counts their heads.
    pub(super) heads_are_counted: bool,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<AnyBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        let open = self.place.request();
        let extensions = request.extensions_mut();
        extensions.insert(self.peer);
        extensions.insert(self.place.clone());
        if self.heads_are_counted && !self.place.is_proven() {
            extensions.insert(self.place.head());
        }
        (self.handler.0)(request, open)
    }
}
