//! The admin API of a running gate, as the commands see it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::Failure;
use super::http::Client;
use crate::net::Address;

/// Where the admin API is.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// Address of the admin listener: "host:port" or "unix:/path"
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090",
        env = "HOOKGATE_ADMIN"
    )]
    admin: Address,
    /// File with the admin token, where one is required
    #[arg(long, value_name = "FILE", env = "HOOKGATE_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
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
    client: Client,
    token: Option<HeaderValue>,
}

impl Api {
    pub(super) async fn connect(args: &ApiArgs) -> Result<Self, Failure> {
        let token = args.token_file.as_deref().map(token).transpose()?;
        let client = Client::connect(&args.admin).await.map_err(|error| {
            Failure::Failed(format!(
                "is hookgate running? tried its admin listener at {}: {error}; --admin names another",
                args.admin
            ))
        })?;
        Ok(Self { client, token })
    }

    /// Calls the API and reads the JSON it answers.
    pub(super) async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        target: &str,
    ) -> Result<T, Failure> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = method;
        *request.uri_mut() = target
            .parse()
            .map_err(|_| Failure::Usage(format!("{target}: not a valid query")))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let response = self.client.send(request).await;
        let response = response
            .map_err(|error| Failure::Failed(format!("the admin API broke off: {error}")))?;
        if !response.status().is_success() {
            #[derive(serde::Deserialize)]
            struct Answer {
                error: Message,
            }
            #[derive(serde::Deserialize)]
            struct Message {
                message: String,
            }
            let answer: Result<Answer, _> = serde_json::from_slice(response.body());
            return Err(Failure::Failed(match answer {
                Ok(answer) => answer.error.message,
                Err(_) => format!(
                    "the admin listener answered {}; is it hookgate's?",
                    response.status()
                ),
            }));
        }
        serde_json::from_slice(response.body()).map_err(|error| {
            Failure::Failed(format!(
                "the admin API answered something unexpected: {error}"
            ))
        })
    }
}
