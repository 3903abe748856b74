//! What others see of somebody's presence, and what they are told of it.

use std::time::Duration;

use async_nats::Subscriber;
use bson::DateTime;
use chat_kit::{config::Nats, nats, time::from_timestamp};
use chat_proto::{
    subject,
    v1::{
        BlockUserRequest, CreateGroupRequest, Event, GetPresenceRequest, GetUserRequest,
        GetUsersRequest, LastSeenPrivacy, ListPartnerPresencesRequest, ListUsersRequest,
        OpenDirectConversationRequest, Presence, UpdateProfileRequest, User, event::Payload,
        open_direct_conversation_request::Peer,
    },
};
use futures_util::StreamExt as _;
use prost::Message as _;
use tonic::Code;

use crate::{
    presence::{new_id, register, scene},
    support::{Suite, as_service, as_this_user, assert_failed},
};

const PATIENCE: Duration = Duration::from_secs(25);
const LONG: Duration = Duration::from_mins(1);

/// A transition that was announced.
#[derive(Debug)]
pub struct Heard {
    pub is_personal: bool,
    pub is_hidden: bool,
    pub is_online: bool,
    pub number: i64,
    pub at: DateTime,
    pub recipients: Vec<String>,
}

/// Hears all events, on a connection of its own.
pub struct Ear {
    events: Subscriber,
    // The subscription ends with it.
    _connection: async_nats::Client,
}

impl Ear {
    pub async fn open() -> Self {
        let config = Nats::new(&chat_local::testing::servers().await.nats_url);
        let connection = nats::connect(&config, "test").await.expect("nats answers");
        let events = nats::subscribe(&connection, subject::LOG_WILDCARD).await.expect("subscribed");
        Self { events, _connection: connection }
    }

    /// Waits for the next transition of a user. Numbers have no gaps: it is the next there was.
    pub async fn hear(&mut self, user: &User) -> Heard {
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let heard = self.events.next().await.expect("the subscription lives");
                let event = Event::decode(heard.payload).expect("an event");
                let Some(Payload::PresenceChanged(changed)) = event.payload else { continue };
                if changed.user_id == user.id {
                    let id = format!("{}:presence:{}", user.id, changed.number);
                    let (is_personal, is_hidden) = (changed.is_personal, changed.is_hidden);
                    let kind = if is_hidden { ":hidden:0" } else { ":shown:0" };
                    assert_eq!(event.id, if is_personal { id + kind } else { id });
                    return Heard {
                        is_personal,
                        is_hidden,
                        is_online: changed.is_online,
                        number: changed.number,
                        at: from_timestamp(&changed.at.expect("an instant")),
                        recipients: event.recipient_ids,
                    };
                }
            }
        });
        heard.await.expect("announced in time")
    }
}

impl Suite {
    /// Makes two users partners.
    pub async fn pair(&self, one: &User, other: &User) {
        let peer = Some(Peer::UserId(other.id.clone()));
        let request = OpenDirectConversationRequest { peer };
        let mut conversations = self.conversations.clone();
        conversations
            .open_direct_conversation(as_this_user(one, request))
            .await
            .expect("a conversation");
    }

    pub async fn hide(&self, user: &User, from: LastSeenPrivacy) -> User {
        let request =
            UpdateProfileRequest { last_seen_privacy: Some(from.into()), ..Default::default() };
        let mut users = self.users.clone();
        let changed = users.update_profile(as_this_user(user, request)).await.expect("changed");
        changed.into_inner().user.expect("a profile")
    }

    /// Returns what somebody sees of another: the same wherever he looks.
    async fn seen(&self, viewer: &User, user: &User) -> (bool, DateTime) {
        let mut users = self.users.clone();
        let ids = vec![user.id.clone()];
        let request = as_this_user(viewer, GetPresenceRequest { user_ids: ids.clone() });
        let asked = users.get_presence(request).await.expect("presences").into_inner().presences;
        let asked = told(&asked[0]);
        let request = as_this_user(viewer, GetUsersRequest { user_ids: ids });
        let many = users.get_users(request).await.expect("profiles").into_inner().users;
        let request = as_this_user(viewer, GetUserRequest { user_id: user.id.clone() });
        let one = users.get_user(request).await.expect("a profile").into_inner().user;
        let request = as_this_user(
            viewer,
            ListUsersRequest { search: user.name.clone(), ..Default::default() },
        );
        let listed = users.list_users(request).await.expect("a page").into_inner().users;
        let listed = listed.into_iter().find(|found| found.id == user.id);
        for profile in many.into_iter().chain(one).chain(listed) {
            let last_seen_at = from_timestamp(&profile.last_seen_at.expect("an instant"));
            assert_eq!((profile.is_online, last_seen_at), asked);
            assert_eq!(profile.last_seen_privacy.is_some(), viewer.id == user.id);
        }
        let request = as_this_user(viewer, ListPartnerPresencesRequest { limit: 0 });
        let partners = users.list_partner_presences(request).await.expect("presences").into_inner();
        for partner in partners.presences.iter().filter(|partner| partner.user_id == user.id) {
            assert_eq!(told(partner), asked);
        }
        asked
    }
}

fn told(presence: &Presence) -> (bool, DateTime) {
    (presence.is_online, from_timestamp(&presence.last_seen_at.expect("an instant")))
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_seen_by_whom_its_owner_lets_see_it() {
    let mut scene = scene(LONG, LONG).await;
    let (suite, ada, partner) = (&scene.suite, &scene.ada, &scene.partner);
    let stranger = suite.user("Stranger").await;
    let created_at = from_timestamp(&ada.created_at.expect("an instant"));
    assert_eq!(suite.seen(partner, ada).await, (false, created_at), "never there");
    register(&suite.users, &new_id(), &new_id(), ada).await.expect("registered");
    let heard = scene.ear.hear(ada).await;
    assert!(heard.at >= created_at);
    let (online, hidden) = ((true, heard.at), (false, created_at));
    for (privacy, to_partner, to_stranger) in [
        (LastSeenPrivacy::Everyone, online, online),
        (LastSeenPrivacy::Contacts, online, hidden),
        (LastSeenPrivacy::Nobody, hidden, hidden),
    ] {
        let own = suite.hide(ada, privacy).await;
        assert_eq!(own.last_seen_privacy, Some(privacy.into()));
        assert!(own.is_online);
        assert_eq!(suite.seen(partner, ada).await, to_partner, "{privacy:?}");
        assert_eq!(suite.seen(&stranger, ada).await, to_stranger, "{privacy:?}");
        assert_eq!(suite.seen(ada, ada).await, online, "himself");
    }
    suite.hide(ada, LastSeenPrivacy::Everyone).await;
    let request = BlockUserRequest { user_id: ada.id.clone() };
    let mut conversations = suite.conversations.clone();
    conversations.block_user(as_this_user(&stranger, request)).await.expect("blocked");
    assert_eq!(suite.seen(&stranger, ada).await, hidden, "by who has blocked her");
    register(&suite.users, &new_id(), &new_id(), &stranger).await.expect("registered");
    assert!(!suite.seen(ada, &stranger).await.0, "and the other way round");
    assert_eq!(suite.seen(partner, ada).await, online);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_is_told_nobodys_presence() {
    let scene = scene(LONG, LONG).await;
    let (mut users, ada) = (scene.suite.users.clone(), &scene.ada);
    register(&users, &new_id(), &new_id(), ada).await.expect("registered");
    let request = as_service(GetUserRequest { user_id: ada.id.clone() });
    let user = users.get_user(request).await.expect("a profile").into_inner().user.expect("it");
    assert_eq!((user.is_online, user.last_seen_at), (false, user.created_at));
    let request = as_service(ListPartnerPresencesRequest { limit: 0 });
    let refused = users.list_partner_presences(request).await.expect_err("nobody's partners");
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_partner_of_a_group_hears_nothing() {
    let mut scene = scene(LONG, LONG).await;
    let (suite, ada, partner) = (&scene.suite, &scene.ada, &scene.partner);
    let [fellow, blocker] = [suite.user("Fellow").await, suite.user("Blocker").await];
    let request = CreateGroupRequest {
        conversation_id: new_id(),
        member_ids: vec![fellow.id.clone(), blocker.id.clone()],
        ..Default::default()
    };
    let mut conversations = suite.conversations.clone();
    conversations.create_group(as_this_user(ada, request)).await.expect("a group");
    let request = BlockUserRequest { user_id: ada.id.clone() };
    conversations.block_user(as_this_user(&blocker, request)).await.expect("blocked");
    register(&suite.users, &new_id(), &new_id(), ada).await.expect("registered");
    let mut heard = scene.ear.hear(ada).await.recipients;
    heard.sort();
    let mut expected = [partner.id.clone(), fellow.id.clone()];
    expected.sort();
    assert_eq!(heard, expected);
    assert!(suite.seen(&fellow, ada).await.0);
    assert!(!suite.seen(&blocker, ada).await.0, "although she shares a group with him");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hides_is_announced_offline_and_nothing_after_it() {
    let mut scene = scene(LONG, Duration::ZERO).await;
    let (suite, ada) = (&scene.suite, &scene.ada);
    let created_at = from_timestamp(&ada.created_at.expect("an instant"));
    let gateway = new_id();
    register(&suite.users, &gateway, &new_id(), ada).await.expect("registered");
    let online = scene.ear.hear(ada).await;
    suite.hide(ada, LastSeenPrivacy::Nobody).await;
    let hidden = scene.ear.hear(ada).await;
    assert_eq!((hidden.is_online, hidden.at, hidden.number), (false, created_at, 2));
    // Shown again, he is where he was, since when he was.
    suite.hide(ada, LastSeenPrivacy::Contacts).await;
    let shown = scene.ear.hear(ada).await;
    assert_eq!((shown.is_online, shown.at, shown.number), (true, online.at, 3));
    assert_eq!(shown.recipients, std::slice::from_ref(&scene.partner.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_choice_of_privacy_is_refused() {
    let scene = scene(LONG, LONG).await;
    for privacy in [0, 4, -1] {
        let request =
            UpdateProfileRequest { last_seen_privacy: Some(privacy), ..Default::default() };
        let mut users = scene.suite.users.clone();
        let refused = users.update_profile(as_this_user(&scene.ada, request)).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}
