//! The catalogue: how each provider signs, as data.
