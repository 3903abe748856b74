//! Chat requests: asking, accepting, declining, and starting a chat.

use bson::{DateTime, doc, oid::ObjectId};
use chat_kit::{
    client::Channel,
    id::{ConversationId, UserId},
};
use chat_proto::v1::{
    AcceptChatRequest, Act, Conversation, ConversationStatus, DeclineChatRequest,
    GetAudienceRequest, ListChatRequestsRequest, ListChatRequestsResponse, PageRequest,
    RequestChatRequest, StartChatRequest, conversation_service_client::ConversationServiceClient,
    event::Payload, request_chat_request::Peer as Asked, start_chat_request::Peer as Started,
};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::{
    announce::Ear,
    support::{Suite, as_service, as_user, assert_failed, by_id, start},
};

type Client = ConversationServiceClient<Channel>;

async fn ask(client: &Client, user: UserId, contact: &str) -> Result<Conversation, Status> {
    let request = RequestChatRequest { peer: Some(Asked::Contact(contact.to_owned())) };
    let answer = client.clone().request_chat(as_user(user, request)).await?;
    Ok(answer.into_inner().conversation.expect("a conversation"))
}

async fn accept(client: &Client, user: UserId, id: &str) -> Result<Conversation, Status> {
    let request = AcceptChatRequest { conversation_id: id.to_owned() };
    let answer = client.clone().accept_chat(as_user(user, request)).await?;
    Ok(answer.into_inner().conversation.expect("a conversation"))
}

async fn decline(client: &Client, user: UserId, id: &str) -> Result<Conversation, Status> {
    let request = DeclineChatRequest { conversation_id: id.to_owned() };
    let answer = client.clone().decline_chat(as_user(user, request)).await?;
    Ok(answer.into_inner().conversation.expect("a conversation"))
}

async fn start_chat(client: &Client, user: UserId, contact: &str) -> Result<Conversation, Status> {
    let request = StartChatRequest { peer: Some(Started::Contact(contact.to_owned())) };
    let answer = client.clone().start_chat(as_user(user, request)).await?;
    Ok(answer.into_inner().conversation.expect("a conversation"))
}

/// A request of Ada to Grace.
async fn asked(suite: &Suite) -> (UserId, UserId, Conversation) {
    let (ada, (grace, phone)) = (suite.user().await.0, suite.user().await);
    let asked = ask(&suite.conversations, ada, &phone).await.expect("asked");
    (ada, grace, asked)
}

/// Returns the status of a conversation as it is stored.
async fn status(suite: &Suite, id: &str) -> String {
    suite.document(id).await.get_str("status").expect("a status").to_owned()
}

/// Says what became of a conversation for those who hear it.
async fn heard(ear: &mut Ear, id: &str) -> Payload {
    ear.hear(id).await.payload.expect("a payload")
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_pending_until_the_other_side_accepts() {
    let suite = start().await;
    let mut ear = Ear::open().await;
    let (ada, grace, asked) = asked(&suite).await;
    assert_eq!(asked.status(), ConversationStatus::Pending);
    assert_eq!((asked.created_by.as_ref(), asked.accepted_at), (Some(&ada.to_string()), None));
    let Payload::RequestCreated(created) = heard(&mut ear, &asked.id).await else { panic!() };
    assert_eq!((created.requester_id, created.recipient_id), (ada.to_string(), grace.to_string()));

    let client = &suite.conversations;
    let message =
        assert_failed(accept(client, ada, &asked.id).await, Code::PermissionDenied, "forbidden");
    assert!(message.contains("the other side has to accept"), "{message}");
    let accepted = accept(client, grace, &asked.id).await.expect("accepted");
    assert_eq!(accepted.status(), ConversationStatus::Active);
    assert!(accepted.accepted_at.is_some());
    let Payload::RequestAccepted(heard) = heard(&mut ear, &asked.id).await else { panic!() };
    assert_eq!((heard.requester_id, heard.actor_id), (ada.to_string(), grace.to_string()));

    let again = accept(client, grace, &asked.id).await.expect("as it is");
    assert_eq!(again, accepted, "a second time changes nothing");
    let refused = decline(client, grace, &asked.id).await;
    assert_failed(refused, Code::FailedPrecondition, "not_pending");
    assert!(!suite.document(&asked.id).await.to_string().contains("request_declined"));
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_declines_and_either_asks_again() {
    let suite = start().await;
    let client = &suite.conversations;
    let mut ear = Ear::open().await;
    for takes_back in [false, true] {
        let (ada, (grace, phone)) = (suite.user().await.0, suite.user().await);
        let asked = ask(client, ada, &phone).await.expect("asked");
        heard(&mut ear, &asked.id).await;
        let by = if takes_back { ada } else { grace };
        let declined = decline(client, by, &asked.id).await.expect("declined");
        assert_eq!(declined.status(), ConversationStatus::Declined);
        let Payload::RequestDeclined(heard) = heard(&mut ear, &asked.id).await else { panic!() };
        assert_eq!((heard.requester_id, heard.actor_id), (ada.to_string(), by.to_string()));
        assert_eq!(decline(client, by, &asked.id).await.expect("as it is"), declined);
        for refused in
            [accept(client, ada, &asked.id).await, accept(client, grace, &asked.id).await]
        {
            assert_failed(refused, Code::FailedPrecondition, "not_pending");
        }

        let again = ask(client, grace, &ada.to_string()).await.expect("asked again");
        assert_eq!((&again.id, again.status()), (&asked.id, ConversationStatus::Pending));
        assert_eq!(again.created_by, Some(grace.to_string()), "who asks now");
        let Payload::RequestCreated(heard) = self::heard(&mut ear, &asked.id).await else {
            panic!()
        };
        assert_eq!((heard.requester_id, heard.recipient_id), (grace.to_string(), ada.to_string()));
        let refused = accept(client, grace, &asked.id).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
        accept(client, ada, &asked.id).await.expect("accepted");
    }
}

#[tokio::test]
async fn second_request_returns_what_is_there_and_is_heard_all_the_same() {
    let suite = start().await;
    let (ada, grace, asked) = asked(&suite).await;
    let client = &suite.conversations;
    let mut ear = Ear::open().await;
    for (user, other) in [(ada, grace), (grace, ada)] {
        let found = ask(client, user, &other.to_string()).await.expect("as it is");
        assert_eq!(found, asked);
        loop {
            let Payload::RequestCreated(heard) = heard(&mut ear, &asked.id).await else { panic!() };
            if heard.requester_id == user.to_string() {
                assert!(!heard.is_active && heard.recipient_id == other.to_string());
                break;
            }
        }
    }
    suite.set_status(&asked.id, "active").await;
    let found = ask(client, grace, &ada.to_string()).await.expect("as it is");
    assert_eq!(found.status(), ConversationStatus::Active);
    let Payload::RequestCreated(heard) = heard(&mut ear, &asked.id).await else { panic!() };
    assert!(heard.is_active && heard.requester_id == grace.to_string());
}

#[tokio::test]
async fn blocked_conversation_cannot_be_asked_for_or_started() {
    let suite = start().await;
    let (ada, grace, asked) = asked(&suite).await;
    let client = &suite.conversations;
    suite.set_status(&asked.id, "blocked").await;
    for (user, other) in [(ada, grace), (grace, ada)] {
        let other = other.to_string();
        for refused in [ask(client, user, &other).await, start_chat(client, user, &other).await] {
            let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
            assert!(message.contains("blocked"), "{message}");
        }
        for refused in
            [accept(client, user, &asked.id).await, decline(client, user, &asked.id).await]
        {
            assert_failed(refused, Code::FailedPrecondition, "not_pending");
        }
    }
    assert_eq!(status(&suite, &asked.id).await, "blocked");
}

#[tokio::test]
async fn stranger_answers_no_request_and_nobody_that_of_a_group() {
    let suite = start().await;
    let (ada, grace, asked) = asked(&suite).await;
    let client = &suite.conversations;
    let stranger = suite.user().await.0;
    let group = suite.group(ada, ConversationId::new(), &[grace]).await.expect("a group").id;
    let nothing = ConversationId::new().to_string();
    for (user, id, code, reason) in [
        (stranger, asked.id.as_str(), Code::PermissionDenied, "forbidden"),
        (stranger, &group, Code::PermissionDenied, "forbidden"),
        (grace, &group, Code::FailedPrecondition, "not_pending"),
        (grace, &nothing, Code::NotFound, "not_found"),
        (grace, "{\"$ne\": null}", Code::InvalidArgument, "invalid_conversation_id"),
    ] {
        assert_failed(accept(client, user, id).await, code, reason);
        assert_failed(decline(client, user, id).await, code, reason);
    }
    assert_eq!(status(&suite, &asked.id).await, "pending");
}

#[tokio::test]
async fn request_and_start_need_another_user_who_exists() {
    let suite = start().await;
    let client = &suite.conversations;
    let (ada, phone) = suite.user().await;
    for unknown in ["+15550000001", "ada@example.org", &UserId::new().to_string(), ""] {
        assert_failed(ask(client, ada, unknown).await, Code::NotFound, "user_not_found");
        assert_failed(start_chat(client, ada, unknown).await, Code::NotFound, "user_not_found");
    }
    for oneself in [phone, ada.to_string()] {
        let refused = ask(client, ada, &oneself).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
        let refused = start_chat(client, ada, &oneself).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    let nobody = client.clone().request_chat(as_user(ada, RequestChatRequest { peer: None })).await;
    assert_failed(nobody, Code::InvalidArgument, "validation_error");
    let service = as_service(RequestChatRequest { peer: Some(Asked::UserId(ada.to_string())) });
    let refused = client.clone().request_chat(service).await;
    assert_eq!(refused.expect_err("no user").code(), Code::Unauthenticated);
    assert_eq!(suite.stored().count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_makes_a_conversation_or_accepts_the_other_sides_request() {
    let suite = start().await;
    let client = &suite.conversations;
    let [ada, grace] = suite.users().await;
    let made = start_chat(client, ada, &grace.to_string()).await.expect("started");
    assert_eq!((made.status(), made.accepted_at), (ConversationStatus::Active, None));
    assert_eq!(start_chat(client, grace, &ada.to_string()).await.expect("found"), made);

    let mut ear = Ear::open().await;
    let (ada, grace, asked) = self::asked(&suite).await;
    heard(&mut ear, &asked.id).await;
    let unchanged = start_chat(client, ada, &grace.to_string()).await.expect("as it is");
    assert_eq!(unchanged, asked, "nobody accepts for the other side");
    let started = start_chat(client, grace, &ada.to_string()).await.expect("started");
    assert_eq!((&started.id, started.status()), (&asked.id, ConversationStatus::Active));
    let Payload::RequestAccepted(heard) = heard(&mut ear, &asked.id).await else { panic!() };
    assert_eq!((heard.requester_id, heard.actor_id), (ada.to_string(), grace.to_string()));

    let (ada, grace, asked) = self::asked(&suite).await;
    decline(client, grace, &asked.id).await.expect("declined");
    for (user, other) in [(ada, grace), (grace, ada)] {
        let refused = start_chat(client, user, &other.to_string()).await;
        let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
        assert!(message.contains("declined"), "{message}");
        suite.open(user, by_id(other)).await.expect("found");
    }
    assert_eq!(status(&suite, &asked.id).await, "declined");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_answers_at_once_on_two_replicas_one_wins() {
    let suite = start().await;
    let replicas = [suite.conversations.clone(), suite.replica().await];
    for _ in 0..10 {
        let (_, grace, asked) = asked(&suite).await;
        let answers = (0..8).map(|number| {
            let (client, id) = (&replicas[number % 2], asked.id.as_str());
            async move {
                if number < 4 {
                    (ConversationStatus::Active, accept(client, grace, id).await)
                } else {
                    (ConversationStatus::Declined, decline(client, grace, id).await)
                }
            }
        });
        let answers = join_all(answers).await;
        let winner = match status(&suite, &asked.id).await.as_str() {
            "active" => ConversationStatus::Active,
            "declined" => ConversationStatus::Declined,
            other => panic!("{other}"),
        };
        for (wanted, answer) in answers {
            if wanted == winner {
                assert_eq!(answer.expect("it is so").status(), winner);
            } else {
                assert_failed(answer, Code::FailedPrecondition, "not_pending");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_both_sides_at_once_make_one() {
    let suite = start().await;
    let replicas = [suite.conversations.clone(), suite.replica().await];
    for is_declined in [false, true] {
        let [ada, grace] = suite.users().await;
        if is_declined {
            let first = ask(&replicas[0], ada, &grace.to_string()).await.expect("asked");
            decline(&replicas[0], grace, &first.id).await.expect("declined");
        }
        let (ada_id, grace_id) = (ada.to_string(), grace.to_string());
        let asks = (0..12).map(|number| match number % 2 {
            0 => ask(&replicas[0], ada, &grace_id),
            _ => ask(&replicas[1], grace, &ada_id),
        });
        let found = join_all(asks).await.into_iter().map(|found| found.expect("asked"));
        let found: Vec<Conversation> = found.collect();
        for one in &found {
            assert_eq!(one.status(), ConversationStatus::Pending);
            assert_eq!((&one.id, &one.created_by), (&found[0].id, &found[0].created_by));
        }
    }
}

#[tokio::test]
async fn post_into_a_request_says_whom_it_waits_for() {
    let suite = start().await;
    let (ada, grace, asked) = asked(&suite).await;
    let post = async |user| {
        let request =
            GetAudienceRequest { conversation_id: asked.id.clone(), act: Act::Post.into() };
        let answer = suite.conversations.clone().get_audience(as_user(user, request)).await;
        assert_failed(answer, Code::PermissionDenied, "forbidden")
    };
    assert_eq!(post(ada).await, "the other side has not accepted your request yet");
    assert_eq!(post(grace).await, "accept the request of the other side before you write");
    suite.set_status(&asked.id, "declined").await;
    assert_eq!(post(ada).await, "the request was declined");
}

async fn list(
    suite: &Suite,
    user: UserId,
    status: ConversationStatus,
    limit: u32,
    cursor: &str,
) -> Result<ListChatRequestsResponse, Status> {
    let page = Some(PageRequest { limit, cursor: cursor.to_owned() });
    let request = ListChatRequestsRequest { status: status.into(), page };
    let answer = suite.conversations.clone().list_chat_requests(as_user(user, request)).await?;
    Ok(answer.into_inner())
}

/// Stores a request of or to a user; returns its id.
async fn store(suite: &Suite, user: UserId, status: &str, created_at: i64) -> String {
    let (id, peer) = (ObjectId::new(), UserId::new());
    let requester = if created_at % 2 == 0 { user } else { peer };
    let request = doc! {
        "_id": id,
        "status": status,
        "member_ids": [peer, user],
        "participant_key": format!("{peer}:{user}"),
        "created_by": requester,
        "requested_by": requester,
        "hidden_for": [user],
        "created_at": DateTime::from_millis(created_at),
        "updated_at": DateTime::from_millis(0),
    };
    suite.stored().insert_one(request).await.expect("inserted");
    id.to_hex()
}

#[tokio::test]
async fn list_holds_sent_and_received_requests_newest_first() {
    let suite = start().await;
    let user = UserId::new();
    let mut stored = Vec::new();
    for created_at in [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, -8] {
        stored.push((created_at, store(&suite, user, "pending", created_at).await));
    }
    store(&suite, user, "declined", 7).await;
    store(&suite, UserId::new(), "pending", 7).await;
    stored.sort_by(|one, other| other.cmp(one));
    let expected: Vec<String> = stored.into_iter().map(|(_, id)| id).collect();
    suite.forget_commands();
    for limit in [1, 5, 11, 12, 13, 0] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&suite, user, ConversationStatus::Unspecified, limit, &cursor).await;
            let page = page.expect("a page");
            ids.extend(page.conversations.into_iter().map(|found| found.id));
            cursor = page.page.expect("a page").next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(ids, expected, "pages of {limit}");
    }
    suite.assert_indexed(&["find"]).await;
    let declined = list(&suite, user, ConversationStatus::Declined, 0, "").await.expect("a page");
    assert_eq!(declined.conversations.len(), 1);
    let refused = list(&suite, user, ConversationStatus::Pending, 0, "{\"$gt\": \"\"}").await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    suite.forget_commands();
    list(&suite, user, ConversationStatus::Pending, u32::MAX, "").await.expect("a page");
    let limit = suite.queries()[0].get_i64("limit").expect("a limit");
    assert_eq!(limit, 501, "one more tells how it goes on");
}

#[tokio::test]
async fn steps_use_indexes() {
    let suite = start().await;
    let (ada, grace, asked) = asked(&suite).await;
    let client = &suite.conversations;
    decline(client, grace, &asked.id).await.expect("declined");
    ask(client, ada, &grace.to_string()).await.expect("asked");
    start_chat(client, grace, &ada.to_string()).await.expect("started");
    suite.assert_indexed(&["findAndModify"]).await;
}
