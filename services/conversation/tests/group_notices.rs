//! What members hear of changes of their group, who else does, and what the history says of them.

use std::time::Duration;

use chat_kit::{client::Channel, id::UserId};
use chat_proto::v1::{
    ListMessagesRequest, Message, event::Payload, list_messages_request::Target,
    message_service_client::MessageServiceClient,
};
use tonic::Code;

use crate::{
    announce::Ear,
    club::{Club, admins, texts},
    support::{Suite, as_user, assert_failed, start_whole},
};

/// Hears the next change of a group; returns who else does, sorted, and what it is.
async fn next(ear: &mut Ear, club: &Club) -> (Vec<String>, Payload) {
    let mut event = ear.hear(&club.id).await;
    event.recipient_ids.sort_unstable();
    (event.recipient_ids, event.payload.expect("a payload"))
}

/// Reads the history of a group once it has as many messages.
async fn history(
    messages: &MessageServiceClient<Channel>,
    club: &Club,
    reader: UserId,
    count: usize,
) -> Vec<Message> {
    let read = async {
        loop {
            let target = Some(Target::ConversationId(club.id.clone()));
            let request = ListMessagesRequest { target, ..Default::default() };
            let page = messages.clone().list_messages(as_user(reader, request)).await;
            let messages = page.expect("a page").into_inner().messages;
            if messages.len() >= count {
                return messages;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("written in time")
}

fn sorted<const N: usize>(users: [UserId; N]) -> Vec<String> {
    let mut texts = texts(users);
    texts.sort_unstable();
    texts
}

async fn heard_club(suite: &Suite, ear: &mut Ear, maker: UserId, others: &[UserId]) -> Club {
    let club = suite.club(maker, "Chess", others).await;
    let (_, payload) = next(ear, &club).await;
    let Payload::ConversationCreated(created) = payload else { panic!("{payload:?}") };
    let made = created.conversation.expect("a group").group.expect("a group");
    assert_eq!(made.name, "Chess");
    club
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_those_who_come_and_go_hear_of_it() {
    let (suite, _messages) = start_whole().await;
    let [ada, grace, alan] = suite.users().await;
    let mut ear = Ear::open().await;
    let club = heard_club(&suite, &mut ear, ada, &[grace]).await;

    club.add(grace, alan).await.expect("added");
    let (heard, payload) = next(&mut ear, &club).await;
    let Payload::MembersAdded(added) = payload else { panic!("{payload:?}") };
    assert_eq!(heard, sorted([ada, grace, alan]));
    assert_eq!((added.actor_id, added.user_ids), (grace.to_string(), texts([alan])));

    club.remove(ada, grace).await.expect("removed");
    club.remove(ada, grace).await.expect("as it is");
    let (heard, payload) = next(&mut ear, &club).await;
    let Payload::MembersRemoved(removed) = payload else { panic!("{payload:?}") };
    assert_eq!(heard, sorted([ada, grace, alan]));
    assert_eq!((removed.actor_id, removed.user_ids), (ada.to_string(), texts([grace])));

    let link = club.invite(ada).await.expect("a link").link;
    club.join(grace, &link).await.expect("joined");
    let (heard, payload) = next(&mut ear, &club).await;
    let Payload::MembersAdded(added) = payload else { panic!("{payload:?}") };
    assert_eq!(heard, sorted([ada, grace, alan]));
    assert_eq!((added.actor_id, added.user_ids), (grace.to_string(), texts([grace])));
    let shown = added.conversation.expect("a group").group.expect("a group");
    assert_eq!(shown.invite_link, None);

    club.leave(alan).await.expect("left");
    let (heard, payload) = next(&mut ear, &club).await;
    let Payload::MembersRemoved(removed) = payload else { panic!("{payload:?}") };
    assert_eq!(heard, sorted([ada, grace, alan]));
    assert_eq!((removed.actor_id, removed.user_ids), (alan.to_string(), texts([alan])));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_hear_of_texts_settings_and_admins() {
    let (suite, _messages) = start_whole().await;
    let [ada, grace] = suite.users().await;
    let mut ear = Ear::open().await;
    let club = heard_club(&suite, &mut ear, ada, &[grace]).await;
    club.update(ada, |change| change.name = Some("Go".to_owned())).await.expect("changed");
    let (heard, payload) = next(&mut ear, &club).await;
    let Payload::ConversationUpdated(updated) = payload else { panic!("{payload:?}") };
    assert_eq!((heard, updated.actor_id), (sorted([ada, grace]), ada.to_string()));
    assert_eq!(updated.conversation.expect("a group").group.expect("a group").name, "Go");
    for (admin_ids, is_promoted) in [(texts([ada, grace]), true), (texts([ada]), false)] {
        let changed = if is_promoted {
            club.promote(ada, grace).await
        } else {
            club.demote(ada, grace).await
        };
        changed.expect("changed");
        let (_, payload) = next(&mut ear, &club).await;
        let Payload::ConversationUpdated(updated) = payload else { panic!("{payload:?}") };
        let shown = updated.conversation.expect("a group");
        assert_eq!(admins(&shown), (ada.to_string(), admin_ids));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_says_once_and_in_order_what_happened() {
    let (suite, messages) = start_whole().await;
    let [ada, grace, alan] = suite.users().await;
    let other = suite.replica().await;
    let club = suite.club(ada, "Chess", &[grace]).await;
    let elsewhere = club.at(other);
    let link = club.invite(ada).await.expect("a link").link;
    club.join(alan, &link).await.expect("joined");
    elsewhere.promote(ada, grace).await.expect("promoted");
    club.demote(ada, grace).await.expect("demoted");
    elsewhere.update(ada, |change| change.name = Some("Go".to_owned())).await.expect("changed");
    club.update(ada, |change| change.only_admins_can_send = Some(true)).await.expect("changed");
    club.update(ada, |change| change.avatar_url = Some("a.png".to_owned())).await.expect("changed");
    elsewhere.remove(ada, grace).await.expect("removed");
    club.add(ada, grace).await.expect("added");
    club.remove(grace, grace).await.expect("left");
    club.leave(alan).await.expect("left");

    let written = history(&messages, &club, ada, 9).await;
    let kind = |message: &Message| message.system.clone().expect("a note").kind;
    assert_eq!(
        written.iter().map(kind).collect::<Vec<_>>(),
        [
            "member_joined",
            "admin_added",
            "admin_removed",
            "group_renamed",
            "picture_changed",
            "member_removed",
            "member_added",
            "member_left",
            "member_left",
        ]
    );
    let removed = &written[5];
    assert_eq!((&removed.sender_id, removed.r#type.as_str()), (&ada.to_string(), "system"));
    let note = removed.system.as_ref().expect("a note");
    assert_eq!(note.user_ids, texts([grace]));
    let name = |user: UserId| suite.name(user);
    let expected = format!("{} removed {}", name(ada).await, name(grace).await);
    assert_eq!(removed.content, expected);
    assert!(written[3].content.contains("Go"), "{}", written[3].content);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_is_neither_changed_nor_told() {
    let (suite, messages) = start_whole().await;
    let [ada, grace] = suite.users().await;
    let mut ear = Ear::open().await;
    let club = heard_club(&suite, &mut ear, ada, &[grace]).await;
    let made = club.get(ada).await.expect("the group");
    for _ in 0..2 {
        let same = club.update(ada, |change| {
            change.name = Some(" Chess ".to_owned());
            change.description = Some(String::new());
            change.is_public = Some(false);
        });
        assert_eq!(same.await.expect("as it is").updated_at, made.updated_at);
        club.update(ada, |_| {}).await.expect("as it is");
    }
    let refused = club.update(grace, |change| change.name = Some("Chess".to_owned())).await;
    assert_failed(refused, Code::PermissionDenied, "forbidden");

    let described = club.update(ada, |change| {
        change.name = Some("Chess".to_owned());
        change.description = Some("on Mondays".to_owned());
    });
    described.await.expect("changed");
    let (_, payload) = next(&mut ear, &club).await;
    let Payload::ConversationUpdated(updated) = payload else { panic!("{payload:?}") };
    let shown = updated.conversation.expect("a group").group.expect("a group");
    assert_eq!(shown.description.as_deref(), Some("on Mondays"));
    club.update(ada, |change| change.name = Some("Go".to_owned())).await.expect("changed");
    let told = history(&messages, &club, grace, 1).await;
    assert!(told[0].content.contains("Go"), "{}", told[0].content);
}
