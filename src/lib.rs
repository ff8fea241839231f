//! hookgate: a sidecar that stands in front of an application that receives webhooks.

pub mod clock;
pub mod event;
pub mod secret;

pub mod providers;
pub mod verify;

pub mod store;
