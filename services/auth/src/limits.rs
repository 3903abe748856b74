//! How often one-time passwords may be asked for and tried, and how often passwords may be wrong. The
//! counts are in the store, so that they hold for all replicas; where it does not answer, nothing is let
//! through.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use bson::DateTime;
use chat_kit::limit::{Limit, Taken};

use crate::{Service, error::Error, password::Identifier};

impl Service {
    /// Counts a code to be sent to a phone on behalf of an address. The address comes first: one that
    /// has had its share cannot use up the share of a phone.
    pub async fn count_send(&self, phone: &str, address: &str, now: DateTime) -> Result<(), Error> {
        let limits = &self.otp.limits;
        if !address.is_empty() {
            let key = format!("sends:address:{}", network(address));
            let limit = limit(limits.sends_per_address, limits.sends_per_address_window);
            let taken = self.store.limits.take(&key, limit, now).await?;
            taken.ok_or(Error::TooManyOtpRequests)?;
        }
        let key = format!("sends:phone:{phone}");
        let limit = limit(limits.sends_per_phone, limits.sends_per_phone_window);
        let taken = self.store.limits.take(&key, limit, now).await?;
        taken.map(drop).ok_or(Error::TooManyOtpRequests)
    }

    /// Takes one of the wrong tries that a phone has, for both purposes together.
    pub async fn reserve_try(&self, phone: &str, now: DateTime) -> Result<Taken, Error> {
        let limits = &self.otp.limits;
        let limit = limit(limits.tries, limits.tries_window);
        let key = format!("tries:phone:{phone}");
        let taken = self.store.limits.take(&key, limit, now).await?;
        taken.ok_or(Error::TooManyRequests)
    }

    /// Takes one of the wrong passwords that a phone or name has, whether anybody is behind it or not. All
    /// spellings of a phone are one, since all of them find its account.
    pub async fn reserve_wrong_password(
        &self,
        identifier: &Identifier,
        now: DateTime,
    ) -> Result<Taken, Error> {
        let key = match &identifier.phone {
            Some(phone) => format!("passwords:phone:{phone}"),
            None => format!("passwords:name:{}", identifier.name),
        };
        let limit = limit(self.passwords.failures, self.passwords.failures_window);
        let taken = self.store.limits.take(&key, limit, now).await?;
        taken.ok_or(Error::TooManyRequests)
    }

    /// Takes one of the failed verifications, of codes and passwords together, that an address has; an
    /// unknown address has no count.
    pub async fn reserve_failure(
        &self,
        address: &str,
        now: DateTime,
    ) -> Result<Option<Taken>, Error> {
        if address.is_empty() {
            return Ok(None);
        }
        let limits = &self.otp.limits;
        let limit = limit(limits.failures_per_address, limits.failures_per_address_window);
        let key = format!("failures:address:{}", network(address));
        let taken = self.store.limits.take(&key, limit, now).await?;
        taken.map(Some).ok_or(Error::TooManyRequests)
    }

    /// Gives back what a success does not use up. A failure costs a count until its window ends; it is
    /// no reason to fail the call.
    pub async fn give_back(&self, all_taken: [Option<Taken>; 2]) {
        for taken in all_taken.into_iter().flatten() {
            if let Err(error) = self.store.limits.give_back(&taken).await {
                tracing::warn!(%error, "a count was not given back");
            }
        }
    }
}

fn limit(count: NonZeroU32, window: Duration) -> Limit {
    Limit { count: count.get(), window }
}

/// Returns what is counted of an address: an IPv6 customer has a whole /64 to himself, and an IPv4
/// address in IPv6 spelling is the same address.
fn network(address: &str) -> String {
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_are_counted_together() {
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_eq!(network("2001:db8:1:2::7"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::7"), network("2001:db8:1:3::7"));
        assert_eq!(network("unix"), "unix");
    }
}
