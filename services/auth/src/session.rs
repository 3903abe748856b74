//! Sessions: opened by a login, checked for every token, ended by their owner.

use bson::DateTime;
use chat_kit::{caller::Caller, id::UserId, session::SessionHash};
use chat_proto::v1::{UpsertProfileRequest, User};
use uuid::Uuid;

use crate::{
    Service,
    error::Error,
    event,
    store::sessions::{Device, NewSession},
};

/// What a token says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Id of the account.
    pub user_id: UserId,
    /// The session; absent for a token without one.
    pub session: Option<SessionHash>,
}

/// An account that has proved to be its owner's.
pub struct Account {
    /// Id of the account.
    pub user_id: UserId,
    /// Its phone.
    pub phone: String,
    /// The name that its profile gets; the present one stays where absent.
    pub name: Option<String>,
}

/// An opened session.
pub struct Login {
    /// The signed token.
    pub token: String,
    /// Id of the session.
    pub session_id: String,
    /// When token and session expire.
    pub expires_at: DateTime,
    /// The profile.
    pub user: User,
}

impl Service {
    /// Brings the profile up to date and opens a session with its token.
    pub async fn open_session(
        &self,
        account: Account,
        device: Device,
        request_id: &str,
    ) -> Result<Login, Error> {
        let user_id = account.user_id;
        let user = self.upsert_profile(account, request_id).await?;
        let now = DateTime::now();
        let session_id = Uuid::new_v4().to_string();
        let signed = self.signer.sign(user_id, &session_id, now)?;
        let session = NewSession {
            session_id: &session_id,
            user_id,
            device,
            created_at: now,
            expires_at: signed.expires_at,
        };
        self.store.sessions.insert(session).await?;
        Ok(Login { token: signed.token, session_id, expires_at: signed.expires_at, user })
    }

    /// Says of many sessions how long they last, nothing for a token without session, or why they must
    /// not be used any more. Two reads, however many there are.
    pub async fn check(
        &self,
        held: &[Held],
    ) -> Result<Vec<Result<Option<DateTime>, Error>>, Error> {
        let hashes: Vec<SessionHash> = held.iter().filter_map(|held| held.session).collect();
        let user_ids: Vec<UserId> = held.iter().map(|held| held.user_id).collect();
        let (sessions, accounts) = tokio::try_join!(
            self.store.sessions.find_all(&hashes),
            self.store.credentials.existing(&user_ids),
        )?;
        let now = DateTime::now();
        let verdict = |held: &Held| {
            let expires_at = match held.session {
                // Without waiting for the TTL index, which lags by a minute and more.
                Some(hash) => match sessions.get(&hash) {
                    Some(session) if session.is_live(held.user_id, now) => Some(session.expires_at),
                    _ => return Err(Error::InvalidSession),
                },
                None if self.sessionless_until.is_some_and(|until| until <= now) => {
                    return Err(Error::InvalidSession);
                }
                None => None,
            };
            let exists = accounts.contains(&held.user_id);
            if exists { Ok(expires_at) } else { Err(Error::UserNotFound) }
        };
        Ok(held.iter().map(verdict).collect())
    }

    /// Ends a session; one that is over already or never was stays so. A process that dies behind the
    /// write, or a NATS that is away, leaves it to the gateways' own checks to close its sockets.
    pub async fn end_session(
        &self,
        user_id: UserId,
        session: Option<SessionHash>,
        request_id: &str,
    ) -> Result<(), Error> {
        let hash = session.ok_or(Error::NoSession)?;
        let now = DateTime::now();
        if !self.store.sessions.revoke(hash, user_id, now).await? {
            return Ok(());
        }
        // Also where it was ended before: that time may not have been announced.
        let event = event::session_revoked(user_id, hash, now);
        let (publisher, request_id) = (self.publisher.clone(), request_id.to_owned());
        self.life.spawn_work(async move {
            if let Err(error) = publisher.publish(&event, &request_id).await {
                tracing::warn!(%error, %user_id, "the end of a session was not announced");
            }
        });
        Ok(())
    }

    async fn upsert_profile(&self, account: Account, request_id: &str) -> Result<User, Error> {
        let request = UpsertProfileRequest {
            user_id: account.user_id.to_string(),
            phone: account.phone,
            name: account.name,
        };
        let request = Caller::service("auth", request_id).request(request);
        let answer = self.users.clone().upsert_profile(request).await;
        let profile = answer.map_err(Error::Users)?.into_inner().user;
        profile.ok_or(Error::BadAnswer("a profile"))
    }
}
