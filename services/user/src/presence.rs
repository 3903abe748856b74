//! Who is online: whoever has a socket under a lease that its gateway renews. What others are told of it
//! stands in one document for each user, which a guarded update changes; the sockets say what it is to be.
//!
//! Two things come before others, so that replicas that work side by side and die at any moment agree in the
//! end. A socket is stored before its user is brought online, which counts the arrival; whoever takes him
//! offline has read that count before he looked for sockets, and fails where it has changed. And a socket
//! that is gone stays stored until its user has been looked at: the sweep of any replica finds it.

mod announce;
mod sweep;

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use bson::oid::ObjectId;
use chat_kit::{caller::Caller, id::UserId};
use chat_proto::v1 as pb;

use crate::{
    Service,
    error::Error,
    store::{presences::Presence, sockets::Socket},
    visibility::{Shown, Sight, Viewer},
};

pub(crate) use self::announce::outbox;

/// Most partners of one answer.
const MOST_PARTNERS: u32 = 1000;

/// When it is looked whether somebody who came online is so: after every call is over that was under way.
const LOOK_AFTER: Duration = Duration::from_secs(15);

/// The lease of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// Whether it lives.
    pub(crate) is_known: bool,
    /// How long it lives from its renewal on.
    pub(crate) length: Duration,
}

impl Service {
    /// Renews the lease of a gateway, or begins it.
    pub(crate) async fn renew(&self, gateway: ObjectId) -> Result<Lease, Error> {
        let length = self.presence.lease;
        let is_known = self.store.gateways().renew(gateway, length).await?;
        if !is_known {
            tracing::warn!(%gateway, "the lease of a gateway is over");
        }
        Ok(Lease { is_known, length })
    }

    /// Holds sockets under a lease and brings their users online.
    pub(crate) async fn register(
        &self,
        gateway: ObjectId,
        sockets: &[Socket],
    ) -> Result<Lease, Error> {
        let lease = self.renew(gateway).await?;
        if !lease.is_known || sockets.is_empty() {
            return Ok(lease);
        }
        let users = self.store.sockets().hold(gateway, sockets).await?;
        let users: Vec<UserId> = BTreeSet::from_iter(users).into_iter().collect();
        if !users.is_empty() {
            self.store.presences().arrive(&users, LOOK_AFTER).await?;
            self.announce(&users).await?;
        }
        Ok(lease)
    }

    /// Notes that sockets are gone. What follows from it, follows after the grace period.
    pub(crate) async fn unregister(&self, sockets: &[ObjectId]) -> Result<(), Error> {
        if sockets.is_empty() {
            return Ok(());
        }
        self.store.sockets().release(sockets, self.presence.grace).await
    }

    /// Returns what a caller sees of the presence of some users, without those who do not exist.
    pub(crate) async fn presences(
        &self,
        caller: &Caller,
        ids: &[UserId],
    ) -> Result<Vec<pb::Presence>, Error> {
        let (users, shown) = tokio::try_join!(self.users(ids), self.shown(caller, ids))?;
        Ok(users.iter().map(|user| shown.presence(user)).collect())
    }

    /// Returns what a user sees of the presence of his partners.
    pub(crate) async fn partner_presences(
        &self,
        caller: &Caller,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<pb::Presence>, Error> {
        let limit = if limit == 0 { MOST_PARTNERS } else { limit.min(MOST_PARTNERS) };
        let request = caller.request(pb::ListPartnersRequest { user_id: None, limit });
        let partners = self.conversations.clone().list_partners(request).await;
        let partners = partners.map_err(Error::Conversation)?.into_inner();
        let viewer = Viewer::new(user, &partners.user_ids, &partners.blocked_user_ids);
        let ids: Vec<UserId> = partners.user_ids.iter().filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (users, presences) =
            tokio::try_join!(self.users(&ids), self.store.presences().of(&ids))?;
        let shown = Shown::new(Sight::Of(viewer), presences);
        Ok(users.iter().map(|user| shown.presence(user)).collect())
    }

    /// Has two users told what each sees of the other from now on.
    pub(crate) async fn restate_between(&self, one: UserId, other: UserId) -> Result<(), Error> {
        let presences = self.store.presences();
        tokio::try_join!(presences.restate_to(one, other), presences.restate_to(other, one))?;
        self.announce(&[one, other]).await
    }

    /// Counts who is online.
    pub(crate) async fn count_online(&self) -> Result<u64, Error> {
        self.store.presences().count().await
    }

    /// Announces what is still to be announced of some users, beside the caller.
    async fn announce(&self, users: &[UserId]) -> Result<(), Error> {
        for id in self.store.presences().unannounced(users).await? {
            self.transitions.announce(id);
        }
        Ok(())
    }
}

/// What became of users who were looked at.
struct Settled {
    /// The presences of those who have a socket.
    staying: Vec<Presence>,
    /// Those without one who were not taken offline, since somebody counted an arrival meanwhile: they are to
    /// be looked at again, and the sockets that say so are kept.
    contested: HashSet<UserId>,
}

impl Service {
    /// Takes those of some users offline who have no socket, but for those in `gone`. They left some time `ago`.
    ///
    /// The order of the reads counts: who arrives after the first makes the update fail; whose arrival was read
    /// has a lease and a socket that the later reads find.
    async fn settle(
        &self,
        users: &[UserId],
        gone: &[ObjectId],
        ago: Duration,
    ) -> Result<Settled, Error> {
        let store = &self.store;
        let mut settled = Settled { staying: Vec::new(), contested: HashSet::new() };
        let presences = store.presences().of(users).await?;
        let online: Vec<Presence> =
            presences.into_iter().filter(|presence| presence.is_online).collect();
        if online.is_empty() {
            return Ok(settled);
        }
        let users: Vec<UserId> = online.iter().map(|presence| presence.user_id).collect();
        let gateways = store.gateways().living().await?;
        let present = store.sockets().users_of(&gateways, &users, gone).await?;
        let (staying, leaving): (Vec<Presence>, Vec<Presence>) =
            online.into_iter().partition(|presence| present.contains(&presence.user_id));
        settled.staying = staying;
        if !leaving.is_empty() {
            let departed = store.presences().depart(&leaving, ago).await?;
            let left: Vec<UserId> = leaving.iter().map(|presence| presence.user_id).collect();
            self.announce(&left).await?;
            if departed < left.len() {
                let now = store.presences().of(&left).await?.into_iter();
                let online = now.filter(|presence| presence.is_online);
                settled.contested = online.map(|presence| presence.user_id).collect();
            }
        }
        Ok(settled)
    }
}
