//! Who is kept apart by a block sees the other's presence no more, and is told so; others are not.

use std::time::Duration;

use bson::{Document, doc};
use chat_kit::time::from_timestamp;
use chat_proto::v1::{
    BlockUserRequest, CreateGroupRequest, LastSeenPrivacy, RestatePresenceRequest,
    UnblockUserRequest, User,
};
use tonic::Code;

use crate::{
    presence::{Scene, eventually, new_id, register, scene, unregister},
    seen::{Ear, Heard},
    support::{Suite, as_service, as_this_user, as_user, assert_failed},
};

const LONG: Duration = Duration::from_mins(1);

impl Suite {
    async fn block(&self, by: &User, user: &User) {
        let request = BlockUserRequest { user_id: user.id.clone() };
        let blocked = self.conversations.clone().block_user(as_this_user(by, request)).await;
        blocked.expect("blocked");
        self.all_is_told().await;
    }

    async fn unblock(&self, by: &User, user: &User) {
        let request = UnblockUserRequest { user_id: user.id.clone() };
        let unblocked = self.conversations.clone().unblock_user(as_this_user(by, request)).await;
        unblocked.expect("unblocked");
        self.all_is_told().await;
    }

    /// Waits until nothing is left to be told of blocks: what is told goes by what stands then.
    async fn all_is_told(&self) {
        let blocks = self.of_conversations.collection::<Document>("blocks");
        eventually("blocks are announced", async || {
            let waiting = doc! { "outbox": { "$exists": true } };
            blocks.find_one(waiting).await.expect("an answer").is_none()
        })
        .await;
    }
}

/// Brings both online, and returns what was heard of them, and an ear for the partner.
async fn both_online(scene: &mut Scene) -> (Heard, Heard, Ear) {
    let mut ear = Ear::open().await;
    for user in [&scene.ada, &scene.partner] {
        register(&scene.suite.users, &new_id(), &new_id(), user).await.expect("registered");
    }
    (scene.ear.hear(&scene.ada).await, ear.hear(&scene.partner).await, ear)
}

fn assert_hidden(heard: &Heard, user: &User, from: &[&User], number: i64) {
    let created_at = from_timestamp(&user.created_at.expect("an instant"));
    assert_eq!((heard.is_online, heard.at, heard.number), (false, created_at, number));
    assert!(heard.is_personal && heard.is_hidden);
    assert_recipients(heard, from);
}

fn assert_shown(heard: &Heard, before: &Heard, to: &[&User], number: i64) {
    assert_eq!((heard.is_online, heard.at, heard.number), (true, before.at, number));
    assert!(heard.is_personal && !heard.is_hidden);
    assert_recipients(heard, to);
}

fn assert_recipients(heard: &Heard, users: &[&User]) {
    let mut recipients = heard.recipients.clone();
    recipients.sort();
    let mut expected: Vec<&String> = users.iter().map(|user| &user.id).collect();
    expected.sort();
    assert_eq!(recipients.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn block_hides_both_and_the_end_of_the_last_one_shows_them() {
    let mut scene = scene(LONG, LONG).await;
    let (ada_online, partner_online, mut partner_ear) = both_online(&mut scene).await;
    let (suite, ada, partner) = (&scene.suite, &scene.ada, &scene.partner);
    for round in 0..3 {
        let number = 2 + 2 * round;
        suite.block(ada, partner).await;
        assert_hidden(&scene.ear.hear(ada).await, ada, &[partner], number);
        assert_hidden(&partner_ear.hear(partner).await, partner, &[ada], number);
        // A second block says nothing, nor does the end of one of both.
        suite.block(partner, ada).await;
        suite.block(partner, ada).await;
        suite.unblock(ada, partner).await;
        suite.unblock(ada, partner).await;
        suite.unblock(partner, ada).await;
        assert_shown(&scene.ear.hear(ada).await, &ada_online, &[partner], number + 1);
        let heard = partner_ear.hear(partner).await;
        assert_shown(&heard, &partner_online, &[ada], number + 1);
    }
    assert_eq!(scene.state().await, (true, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_transitions_at_once_end_in_what_is_true() {
    let mut scene = scene(LONG, Duration::ZERO).await;
    let other = scene.suite.replica().await;
    let (_, _, _) = both_online(&mut scene).await;
    let (suite, ada, partner) = (&scene.suite, &scene.ada, &scene.partner);
    let fellow = suite.user("Fellow").await;
    suite.pair(ada, &fellow).await;
    for _ in 0..5 {
        let socket = new_id();
        let gateway = new_id();
        let transitions = async {
            register(&other, &gateway, &socket, ada).await.expect("registered");
            unregister(&other, &gateway, &socket).await.expect("unregistered");
        };
        let blocks = async {
            suite.block(partner, ada).await;
            suite.unblock(partner, ada).await;
            suite.block(ada, &fellow).await;
        };
        tokio::join!(transitions, blocks);
        suite.unblock(ada, &fellow).await;
    }
    suite.block(ada, partner).await;
    // What each was told last, when nothing is to be told any more. What some see and others do not is told
    // under one number.
    let (mut is_hidden, mut is_shown, mut number) = (false, false, 0);
    while !is_hidden || !is_shown || number < scene.state().await.1 {
        let heard = scene.ear.hear(ada).await;
        assert!(heard.number >= number, "out of order");
        number = heard.number;
        if heard.recipients.contains(&partner.id) {
            is_hidden = heard.is_hidden;
        }
        if heard.recipients.contains(&fellow.id) {
            is_shown = !heard.is_hidden;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fellows_of_a_group_are_hidden_as_well_and_strangers_hear_nothing() {
    let mut scene = scene(LONG, LONG).await;
    let (ada_online, _, _) = both_online(&mut scene).await;
    let (suite, ada) = (&scene.suite, &scene.ada);
    let [fellow, stranger] = [suite.user("Fellow").await, suite.user("Stranger").await];
    let request = CreateGroupRequest {
        conversation_id: new_id(),
        member_ids: vec![fellow.id.clone()],
        ..Default::default()
    };
    let mut conversations = suite.conversations.clone();
    conversations.create_group(as_this_user(ada, request)).await.expect("a group");
    for number in [2, 4] {
        // Whoever was never online has nothing to be told of.
        for (by, user) in [(&stranger, ada), (ada, &stranger)] {
            suite.block(by, user).await;
            suite.unblock(by, user).await;
        }
        suite.block(&fellow, ada).await;
        assert_hidden(&scene.ear.hear(ada).await, ada, &[&fellow], number);
        suite.unblock(&fellow, ada).await;
        assert_shown(&scene.ear.hear(ada).await, &ada_online, &[&fellow], number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_who_hides_from_everybody_no_block_tells_anything() {
    let mut scene = scene(LONG, LONG).await;
    let (_, partner_online, mut partner_ear) = both_online(&mut scene).await;
    let (suite, ada, partner) = (&scene.suite, &scene.ada, &scene.partner);
    suite.hide(ada, LastSeenPrivacy::Nobody).await;
    assert_eq!(scene.ear.hear(ada).await.number, 2);
    suite.block(partner, ada).await;
    assert_hidden(&partner_ear.hear(partner).await, partner, &[ada], 2);
    suite.unblock(partner, ada).await;
    assert_shown(&partner_ear.hear(partner).await, &partner_online, &[ada], 3);
    suite.hide(ada, LastSeenPrivacy::Everyone).await;
    let heard = scene.ear.hear(ada).await;
    assert_eq!((heard.is_online, heard.is_personal, heard.number), (true, false, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn presences_are_restated_for_services_only() {
    let scene = scene(LONG, LONG).await;
    let mut users = scene.suite.users.clone();
    let both = |one: &str, other: &str| RestatePresenceRequest {
        user_id: one.to_owned(),
        other_id: other.to_owned(),
    };
    let (ada, partner) = (scene.ada.id.as_str(), scene.partner.id.as_str());
    let refused = users.restate_presence(as_user(both(ada, partner))).await;
    assert_eq!(refused.expect_err("for services").code(), Code::PermissionDenied);
    for request in [both("x", partner), both(ada, "x")] {
        let refused = users.restate_presence(as_service(request)).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_id");
    }
    let request = as_service(both(ada, partner));
    users.restate_presence(request).await.expect("nothing is told of who was never there");
    assert_eq!(scene.state().await, (false, 0));
}
