//! A plain HTTP/1.1 client for the commands that talk to a gate: one connection, one request at a
//! time.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::Failure;
use crate::net::Address;
use crate::shutdown::Stage;

/// A connection to a gate.
pub(super) struct Client {
    address: Address,
    requests: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(super) async fn connect(address: &Address) -> std::io::Result<Self> {
        let stream = address.connect().await?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        // It ends with this client, and its errors reach the request they concern.
        Stage::default().spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            address: address.clone(),
            requests,
        })
    }

    /// Sends one request and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Bytes>> {
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::try_from(self.address.authority())
        {
            request.headers_mut().insert(HOST, host);
        }
        self.requests.ready().await?;
        let (head, body) = self.requests.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// Runs a command's requests on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?
        .block_on(work)
}
