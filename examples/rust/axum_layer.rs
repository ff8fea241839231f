//! An app on axum that verifies webhooks itself, without the sidecar.
//!
//! ```sh
//! STRIPE_SECRET=whsec_... cargo run --example axum_layer -- [HOST:PORT]
//! ```
//!
//! What comes to the handler is genuine. It may come again: Stripe repeats what was not answered 2xx
//! in time, so do the work in one transaction with the event's id, and answer after it.

#![expect(clippy::print_stdout, reason = "an example shows what it received")]

use std::error::Error;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use hookgate::{Verified, Webhooks};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let secret = std::env::var_os("STRIPE_SECRET").ok_or("set STRIPE_SECRET")?;
    let stripe = Webhooks::provider("stripe")
        .secret(secret.into_encoded_bytes())
        .on_reject(|rejection| println!("refused: {}", rejection.reason.as_str()))
        .build()?;
    let app = Router::new()
        .route("/webhooks/stripe", post(paid).layer(stripe.layer()))
        .route("/", get(async || "an app with webhooks"));

    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn paid(Extension(event): Extension<Arc<Verified>>, body: Bytes) -> StatusCode {
    println!(
        "{} {} bytes={}",
        event.provider_event_id().unwrap_or("-"),
        event.event_type().unwrap_or("-"),
        body.len(),
    );
    StatusCode::NO_CONTENT
}
