//! Trials with one part of the scheme changed, and what a timestamp out of tolerance means.

use std::sync::Arc;

use super::mistake::{Diagnosis, Mistake};
use super::{Case, Config};
use crate::providers::{Algorithm, Encoding, Provider, Scheme, TimeUnit};

/// Texts that senders write in front of a signature.
const PREFIXES: [&str; 7] = [
    "",
    "sha256=",
    "sha1=",
    "sha512=",
    "v1=",
    "v0=",
    "hmac-sha256=",
];

impl Case<'_> {
    pub(super) fn scheme(&self) -> Option<Diagnosis> {
        self.prefix()
            .or_else(|| self.encoding())
            .or_else(|| self.algorithm())
            .or_else(|| self.timestamp_unit())
    }

    fn prefix(&self) -> Option<Diagnosis> {
        let prefix = PREFIXES.into_iter().find(|prefix| {
            self.holds_with(|config| {
                in_schemes(config, |scheme| {
                    if let Some(signature) = &mut scheme.signature {
                        (*prefix).clone_into(&mut signature.prefix);
                    }
                });
            })
        })?;
        Some(match prefix {
            "" => Mistake::SignaturePrefix.about("there is none"),
            prefix => Mistake::SignaturePrefix.about(format!("there is `{prefix}`")),
        })
    }

    fn encoding(&self) -> Option<Diagnosis> {
        let encodings = [
            (Encoding::Hex, "hex"),
            (Encoding::Base64, "base64"),
            (Encoding::Base64url, "base64url"),
        ];
        let (_, name) = encodings.into_iter().find(|(encoding, _)| {
            self.holds_with(|config| {
                in_schemes(config, |scheme| {
                    if let Some(signature) = &mut scheme.signature {
                        signature.encoding = *encoding;
                        signature.padding_optional = true;
                    }
                });
            })
        })?;
        Some(Mistake::SignatureEncoding.about(name))
    }

    fn algorithm(&self) -> Option<Diagnosis> {
        let algorithms = [
            Algorithm::HmacSha256,
            Algorithm::HmacSha1,
            Algorithm::HmacSha512,
        ];
        let algorithm = algorithms.into_iter().find(|algorithm| {
            self.holds_with(|config| {
                in_schemes(config, |scheme| {
                    if scheme.algorithm.is_some() {
                        scheme.algorithm = Some(*algorithm);
                    }
                });
            })
        })?;
        Some(Mistake::Algorithm.about(algorithm.as_str()))
    }

    /// Whether the timestamp is near now when it is read in another unit.
    pub(super) fn timestamp_unit(&self) -> Option<Diagnosis> {
        let units = [
            (TimeUnit::S, "seconds"),
            (TimeUnit::Ms, "milliseconds"),
            (TimeUnit::Rfc3339, "RFC 3339"),
        ];
        let (_, name) = units.into_iter().find(|(unit, _)| {
            let verifier = self.altered(|config| {
                in_schemes(config, |scheme| {
                    if let Some(timestamp) = &mut scheme.timestamp {
                        timestamp.unit = *unit;
                    }
                });
            });
            let in_time = |verifier: super::Verifier| {
                let view = self.view(&verifier);
                verifier
                    .check(&view, self.received.peer, self.now)
                    .1
                    .is_ok()
            };
            verifier.is_some_and(in_time)
        })?;
        Some(Mistake::TimestampUnit.about(name))
    }

    /// The signature held, or the timestamp would not have been looked at.
    pub(super) fn clock_skew(&self) -> Option<Diagnosis> {
        let seconds = self.rejection.age_seconds?;
        let clue = match seconds {
            0.. => format!("{seconds} s in the past"),
            _ => format!("{} s in the future", seconds.saturating_neg()),
        };
        Some(Mistake::ClockSkew.about(clue))
    }
}

fn in_schemes(config: &mut Config, alter: impl Fn(&mut Scheme)) {
    let provider: &mut Provider = Arc::make_mut(&mut config.provider);
    provider.schemes.iter_mut().for_each(alter);
}
