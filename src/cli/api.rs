//! The admin API of a running gate, as the commands see it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::Failure;
use super::http::{Client, Messages};
use super::out::printable;
use crate::admin::ErrorBody;
use crate::net::Address;

/// Where the admin API is.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// Address of the admin listener: "host:port" or "unix:/path"; or of the page, without TLS
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090",
        env = "HOOKGATE_ADMIN",
        value_parser = admin_address
    )]
    admin: Address,
    /// File with the admin token, where one is required
    #[arg(long, value_name = "FILE", env = "HOOKGATE_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// An address, also as it is copied from a browser that shows the page.
fn admin_address(text: &str) -> Result<Address, <Address as FromStr>::Err> {
    let copied = text.strip_prefix("http://");
    let host = copied.and_then(|rest| rest.split(['/', '#', '?']).next());
    host.unwrap_or(text).parse()
}

/// What to send as `Authorization`.
fn token(file: &Path) -> Result<HeaderValue, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let value = HeaderValue::try_from(format!("Bearer {}", text.trim_end()));
    let mut value =
        value.map_err(|_| Failure::Usage(format!("{}: not a token", file.display())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A query string of the parameters that are given.
pub(super) fn query(parameters: &[(&str, &Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value.as_deref()?, NON_ALPHANUMERIC);
        Some(format!("{name}={value}"))
    });
    given.collect::<Vec<_>>().join("&")
}

/// A connection to the admin API.
pub(super) struct Api {
    address: Address,
    client: Client,
    token: Option<HeaderValue>,
}

impl Api {
    pub(super) async fn connect(args: &ApiArgs) -> Result<Self, Failure> {
        let token = args.token_file.as_deref().map(token).transpose()?;
        Ok(Self {
            address: args.admin.clone(),
            client: connected(&args.admin).await?,
            token,
        })
    }

    /// Calls the API and reads the JSON it answers.
    pub(super) async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        target: &str,
    ) -> Result<T, Failure> {
        let response = self.ask(&method, target).await?;
        if !response.status().is_success() {
            return Err(refusal(&response));
        }
        serde_json::from_slice(response.body()).map_err(|error| {
            Failure::Failed(format!(
                "the admin API answered something unexpected: {error}"
            ))
        })
    }

    /// Asks one of the health routes: what it says is the answer, or why it is not well.
    pub(super) async fn health(&mut self, target: &str) -> Result<String, Failure> {
        let response = self.ask(&Method::GET, target).await?;
        let text = printable(String::from_utf8_lossy(response.body()).trim_end());
        match response.status() {
            StatusCode::OK => Ok(text),
            StatusCode::SERVICE_UNAVAILABLE => Err(Failure::Failed(text)),
            _ => Err(refusal(&response)),
        }
    }

    /// The answer, whatever it is. The gate ends a connection that is idle or old, so a question that
    /// only looks is asked once more over a new one.
    async fn ask(&mut self, method: &Method, target: &str) -> Result<Response<Bytes>, Failure> {
        if self.client.is_closed() {
            self.client = connected(&self.address).await?;
        }
        let mut response = self.client.send(self.request(method, target)?).await;
        if response.is_err() && method.is_safe() {
            self.client = connected(&self.address).await?;
            response = self.client.send(self.request(method, target)?).await;
        }
        response.map_err(broke_off)
    }

    /// Calls the API for an answer without an end.
    pub(super) async fn follow(
        mut self,
        method: Method,
        target: &str,
    ) -> Result<Messages, Failure> {
        let request = self.request(&method, target)?;
        let response = self.client.open(request).await.map_err(broke_off)?;
        if response.status().is_success() {
            return Ok(Messages::of(response.into_body(), self.client));
        }
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broke_off)?.to_bytes();
        Err(refusal(&Response::from_parts(head, body)))
    }

    fn request(&self, method: &Method, target: &str) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = method.clone();
        *request.uri_mut() = target
            .parse()
            .map_err(|_| Failure::Usage(format!("{target}: not a valid query")))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        Ok(request)
    }
}

async fn connected(address: &Address) -> Result<Client, Failure> {
    Client::connect(address).await.map_err(|error| {
        Failure::Failed(format!(
            "is hookgate running? tried its admin listener at {address}: {error}; --admin names another"
        ))
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broke_off(error: hyper::Error) -> Failure {
    Failure::Failed(format!("the admin API broke off: {error}"))
}

/// Why the API refused.
fn refusal(response: &Response<Bytes>) -> Failure {
    let answer: Result<ErrorBody, _> = serde_json::from_slice(response.body());
    Failure::Failed(match answer {
        Ok(answer) => printable(&answer.error.message),
        Err(_) => format!(
            "the admin listener answered {}; is it hookgate's?",
            response.status()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_page_is_taken_as_it_is_copied() {
        for text in [
            "127.0.0.1:9090",
            "http://127.0.0.1:9090",
            "http://127.0.0.1:9090/",
            "http://127.0.0.1:9090/#/events?state=dead",
        ] {
            assert_eq!(admin_address(text).unwrap().to_string(), "127.0.0.1:9090");
        }
        for text in ["https://127.0.0.1:9090", "http://", "9090"] {
            assert!(admin_address(text).is_err(), "{text}");
        }
    }
}
