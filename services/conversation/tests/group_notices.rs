//! What members hear of changes of their group, and who else does.

use chat_kit::id::UserId;
use chat_proto::v1::event::Payload;

use crate::{
    announce::Ear,
    club::{Club, admins, texts},
    support::{Suite, start},
};

/// Hears the next change of a group; returns who else does, sorted, and what it is.
async fn next(ear: &mut Ear, club: &Club) -> (Vec<String>, Payload) {
    let mut event = ear.hear(&club.id).await;
    event.recipient_ids.sort_unstable();
    (event.recipient_ids, event.payload.expect("a payload"))
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
    let suite = start().await;
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
    let suite = start().await;
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
