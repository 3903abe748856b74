//! What the conversation service is told at its start.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use chat_kit::config::{
    self, ConfigError, Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream, read_secret,
};
use serde::Deserialize;

/// Shortest secret of invite links, in bytes: the size of the hashes that are made with it.
const SHORTEST_SECRET: usize = 32;

/// The configuration of the conversation service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gRPC server.
    #[serde(default)]
    pub grpc: Grpc,
    /// How the process ends.
    #[serde(default)]
    pub stop: Stop,
    /// The database.
    pub mongo: Mongo,
    /// Where events go.
    pub nats: Nats,
    /// The user service.
    pub user: Upstream,
    /// The message service, which keeps notes of what happened.
    pub message: Upstream,
    /// Invite links of groups.
    pub invite: Invite,
    /// Log lines.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Limits of requests.
    #[serde(default)]
    pub limits: Limits,
}

/// How large requests and answers may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Conversations on a page whose request does not say.
    pub page: NonZeroU32,
    /// Conversations on any page.
    pub largest_page: NonZeroU32,
    /// Conversations that a user may have pinned.
    pub pinned: NonZeroU32,
    /// Characters of a preview; the longest message by default, since old clients show it whole.
    pub preview_length: NonZeroUsize,
    /// Members of a group; the user service must answer for as many at once.
    pub members: NonZeroUsize,
    /// Characters of a group's name.
    pub group_name: NonZeroUsize,
    /// Characters of what is said about a group.
    pub group_description: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        const PAGE: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
        const LARGEST_PAGE: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
        const PINNED: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
        const PREVIEW_LENGTH: NonZeroUsize = NonZeroUsize::new(4000).expect("not zero");
        const MEMBERS: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
        const GROUP_NAME: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");
        const GROUP_DESCRIPTION: NonZeroUsize = NonZeroUsize::new(500).expect("not zero");
        Self {
            page: PAGE,
            largest_page: LARGEST_PAGE,
            pinned: PINNED,
            preview_length: PREVIEW_LENGTH,
            members: MEMBERS,
            group_name: GROUP_NAME,
            group_description: GROUP_DESCRIPTION,
        }
    }
}

impl Config {
    /// Loads the configuration of this process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["mongo", "nats", "user", "message", "invite"])
    }
}

/// Invite links of groups.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawInvite")]
pub struct Invite {
    /// Makes the links from what is stored. Another one ends all of them.
    pub secret: Secret,
}

impl Invite {
    /// Checks a value for use as the secret of invite links.
    pub fn new(secret: Secret) -> Result<Self, String> {
        let length = secret.expose().len();
        if length < SHORTEST_SECRET {
            return Err(format!(
                "invite.secret has {length} bytes, at least {SHORTEST_SECRET} are needed: make one \
                 with `openssl rand -hex 32`"
            ));
        }
        Ok(Self { secret })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInvite {
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
}

impl TryFrom<RawInvite> for Invite {
    type Error = String;

    fn try_from(raw: RawInvite) -> Result<Self, String> {
        Self::new(read_secret("invite.secret", raw.secret, raw.secret_file)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secret_of_invite_links_is_refused() {
        let error = Invite::new(Secret::new(&"x".repeat(31))).expect_err("31 bytes are too few");
        assert!(error.contains("at least 32"), "{error}");
        Invite::new(Secret::new(&"x".repeat(32))).expect("long enough");
    }
}
