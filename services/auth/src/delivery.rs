//! Hands one-time passwords to the provider that brings them to their phone.

use crate::config::Provider;

/// How much of a phone may stand in a log line, in characters.
const SHOWN_OF_PHONE: usize = 4;

/// Says at the start that a provider is not for production.
pub fn warn_of_development(provider: Provider) {
    match provider {
        Provider::Log => tracing::warn!(
            target: "otp",
            "otp.provider is `log`: one-time passwords are written to the log, for development only"
        ),
    }
}

/// Delivers a code.
pub fn deliver(provider: Provider, phone: &str, code: &str) {
    match provider {
        Provider::Log => {
            tracing::info!(target: "otp", phone_end = end_of(phone), code, "one-time password");
        }
    }
}

/// Phones are `+` and ASCII digits, so that bytes are characters.
fn end_of(phone: &str) -> &str {
    phone.get(phone.len().saturating_sub(SHOWN_OF_PHONE)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_phone_is_shown() {
        assert_eq!(end_of("+15550001234"), "1234");
    }
}
