//! The durable heart.
