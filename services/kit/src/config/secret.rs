//! Values that must not be printed, and where they come from.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use serde::Deserialize;

/// Shortest signing secret that is accepted, in bytes (RFC 7518, section 3.2: at least the size of the
/// hash of HS256).
const SHORTEST_SIGNING_SECRET: usize = 32;

/// Parts of the sample secrets that stood in the predecessor's files and in examples.
const SAMPLES: [&str; 7] = [
    "devsecret",
    "changeme",
    "change_me",
    "change-me",
    "your-secret",
    "your_jwt",
    "your-super-secret",
];

/// A value that is never printed.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// Gives the value away; the caller must not print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<redacted>")
    }
}

/// The secret that signs and verifies tokens: at least 32 bytes and none of the known samples.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawSigningSecret")]
pub struct SigningSecret(Secret);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSigningSecret {
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
}

impl SigningSecret {
    /// Checks a value for use as a signing secret.
    pub fn new(value: &str) -> Result<Self, String> {
        let folded = value.to_ascii_lowercase();
        if SAMPLES.iter().any(|sample| folded.contains(sample)) {
            return Err("token.secret is a known sample value: make one with \
                        `openssl rand -hex 32`"
                .to_owned());
        }
        if value.len() < SHORTEST_SIGNING_SECRET {
            return Err(format!(
                "token.secret has {} bytes, at least {SHORTEST_SIGNING_SECRET} are needed: make one \
                 with `openssl rand -hex 32`",
                value.len()
            ));
        }
        Ok(Self(Secret::new(value)))
    }

    /// Gives the bytes away; the caller must not print them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

impl TryFrom<RawSigningSecret> for SigningSecret {
    type Error = String;

    fn try_from(raw: RawSigningSecret) -> Result<Self, String> {
        Self::new(read_secret("token.secret", raw.secret, raw.secret_file)?.expose())
    }
}

/// Takes a secret from its key or from the file that `<key>_file` names; exactly one must be set.
pub fn read_secret(
    key: &str,
    value: Option<Secret>,
    file: Option<PathBuf>,
) -> Result<Secret, String> {
    let variable = format!("CHAT_{}", key.to_ascii_uppercase().replace('.', "__"));
    let secret = match (value, file) {
        (Some(_), Some(_)) => Err(format!("{key} and {key}_file are both set: remove one")),
        (None, None) => {
            Err(format!("{key} is not set: set {variable}, or {variable}_FILE to a file's path"))
        }
        (Some(value), None) => Ok(value),
        (None, Some(path)) => fs::read_to_string(&path)
            .map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| format!("{key}_file {}: {error}", path.display())),
    }?;
    if secret.expose().is_empty() {
        return Err(format!("{key} is empty: set {variable}"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "<redacted>");
    }

    #[test]
    fn short_signing_secret_is_refused() {
        let error = SigningSecret::new("0123456789").expect_err("ten bytes are too few");
        assert!(error.contains("at least 32"), "{error}");
    }

    #[test]
    fn sample_signing_secret_is_refused() {
        for sample in ["devsecret", "your-super-secret-jwt-key-change-me-in-production-now"] {
            let error = SigningSecret::new(sample).expect_err("samples are refused");
            assert!(error.contains("known sample"), "{error}");
        }
    }

    #[test]
    fn both_forms_of_a_secret_are_refused() {
        let error = read_secret("token.secret", Some(Secret::new("x")), Some("/nowhere".into()))
            .expect_err("both are set");
        assert!(error.contains("both set"), "{error}");
    }
}
