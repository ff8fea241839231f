//! The keys of duplicate detection.
//!
//! Keyed per installation: a hash that outsiders can compute would let a sender forge "duplicates"
//! and so suppress another's events.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::event::SourceName;
use crate::verify::Verified;

/// The random key of one installation.
#[derive(Clone)]
pub(super) struct InstallationKey(pub(super) [u8; 32]);

/// 128 bits that stand for (source, dedup id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DedupKey(pub(super) [u8; 16]);

/// 128 bits that stand for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 16]);

impl InstallationKey {
    /// Key and body digest of one event.
    pub(super) fn of(&self, verified: &Verified) -> (DedupKey, Digest) {
        let key = self.key(verified.source(), verified.dedup_id());
        (key, self.digest(verified.body()))
    }

    pub(super) fn key(&self, source: &SourceName, dedup_id: &[u8]) -> DedupKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher
            .update(source.as_str().as_bytes())
            .update(&[0])
            .update(dedup_id);
        DedupKey(half(&hasher.finalize()))
    }

    /// Only verified bodies of one id are ever compared, so a fast hash will do.
    pub(super) fn digest(&self, body: &[u8]) -> Digest {
        let seed = xxh3_64_with_seed(&self.0, 2);
        Digest(xxh3_128_with_seed(body, seed).to_le_bytes())
    }
}

impl DedupKey {
    /// The key of an event that has another's id and a body of its own.
    pub(super) fn in_conflict(&self, digest: Digest) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(&digest.0);
        Self(half(&hasher.finalize()))
    }
}

fn half(hash: &blake3::Hash) -> [u8; 16] {
    let (first, _) = hash.as_bytes().split_at(16);
    first.try_into().unwrap_or_default()
}
