//! What a session is known by outside its token: a hash of its id.

use std::fmt;

use aws_lc_rs::digest;

/// Length of a hash, in bytes.
const LENGTH: usize = 32;

/// SHA-256 of a session's id. The id itself stands in its token alone, so that neither a database nor a
/// stream of events gives it away.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionHash([u8; LENGTH]);

impl SessionHash {
    /// Hashes a session's id.
    #[must_use]
    pub fn of(session_id: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, session_id.as_bytes());
        let mut hash = [0; LENGTH];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// Reads a hash; nothing where its length is not that of one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SessionHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_sha_256_and_survives_its_bytes() {
        let hash = SessionHash::of("abc");
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), expected);
        assert_eq!(SessionHash::read(hash.bytes()), Some(hash));
        assert_eq!(SessionHash::read(b"short"), None);
    }
}
