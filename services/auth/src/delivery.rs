//! Hands one-time passwords to the provider that brings them to their phone.

mod webhook;

use bson::DateTime;

use crate::{config::Provider, store::otps::Purpose};
use webhook::Webhook;

pub use webhook::Undelivered;

/// How much of a phone may stand in a log line, in characters.
const SHOWN_OF_PHONE: usize = 4;

/// A one-time password on its way.
pub struct Message<'a> {
    /// Where it goes.
    pub phone: &'a str,
    /// The code.
    pub code: &'a str,
    /// What it is for.
    pub purpose: Purpose,
    /// When it ends.
    pub expires_at: DateTime,
}

/// The provider.
pub enum Delivery {
    /// The log of this service, for development.
    Log,
    /// A server of the operator's.
    Webhook(Box<Webhook>),
}

impl Delivery {
    /// Prepares a provider, and says so where it is not for production.
    pub fn new(provider: &Provider) -> anyhow::Result<Self> {
        match provider {
            Provider::Log => {
                tracing::warn!(
                    target: "otp",
                    "otp.provider is `log`: one-time passwords are written to the log, for \
                     development only"
                );
                Ok(Self::Log)
            }
            Provider::Webhook(config) => Ok(Self::Webhook(Box::new(Webhook::new(config)?))),
        }
    }

    /// Delivers a code. A failure may have delivered it all the same.
    pub async fn deliver(&self, message: &Message<'_>) -> Result<(), Undelivered> {
        match self {
            Self::Log => {
                let (phone_end, code) = (end_of(message.phone), message.code);
                tracing::info!(target: "otp", phone_end, code, "one-time password");
                Ok(())
            }
            Self::Webhook(webhook) => webhook.send(message).await,
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
