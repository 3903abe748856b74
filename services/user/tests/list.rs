//! The list of users, searches in it, the phones of an address book, and presence.

use bson::{Document, doc};
use chat_kit::id::UserId;
use chat_proto::v1::{
    FindUsersByPhonesRequest, GetPresenceRequest, ListUsersRequest, ListUsersResponse, PageRequest,
    User,
};
use tonic::Code;

use crate::support::{Suite, as_this_user, as_user, assert_failed, phone, start};

async fn list(suite: &Suite, caller: &User, request: ListUsersRequest) -> ListUsersResponse {
    let answer = suite.users.clone().list_users(as_this_user(caller, request)).await;
    answer.expect("a page").into_inner()
}

async fn search(suite: &Suite, caller: &User, text: &str) -> Vec<String> {
    let request = ListUsersRequest { search: text.to_owned(), ..Default::default() };
    names(list(suite, caller, request).await.users)
}

fn names(users: Vec<User>) -> Vec<String> {
    users.into_iter().map(|user| user.name).collect()
}

fn page(limit: u32, cursor: &str) -> ListUsersRequest {
    let page = Some(PageRequest { limit, cursor: cursor.to_owned() });
    ListUsersRequest { page, with_total: true, ..Default::default() }
}

#[tokio::test]
async fn list_goes_by_name_in_any_case_without_the_caller_and_the_nameless_last() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    for name in ["bob", "Ada", "Çelik", "ada"] {
        suite.user(name).await;
    }
    let nameless = phone();
    suite.upsert(UserId::new(), &nameless, None).await.expect("made");
    let first = list(&suite, &caller, page(2, "")).await;
    assert_eq!((first.total, first.users.len()), (Some(5), 2));
    let mut all = names(first.users);
    let mut cursor = first.page.expect("a page").next_cursor;
    while !cursor.is_empty() {
        let next = list(&suite, &caller, page(2, &cursor)).await;
        all.extend(names(next.users));
        cursor = next.page.expect("a page").next_cursor;
    }
    assert_eq!(all, ["Ada", "ada", "bob", "Çelik", &nameless]);
    suite.assert_indexed(&["find", "aggregate"]).await;
}

#[tokio::test]
async fn namesakes_are_paged_without_loss() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(suite.user("Ada").await.id);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let next = list(&suite, &caller, page(3, &cursor)).await;
        found.extend(next.users.into_iter().map(|user| user.id));
        cursor = next.page.expect("a page").next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    made.sort();
    assert_eq!(found, made);
}

#[tokio::test]
async fn pages_may_be_counted_up_to_a_limit() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    for name in ["a", "b", "c"] {
        suite.user(name).await;
    }
    let skipping = |skip| ListUsersRequest { skip, ..page(2, "") };
    assert_eq!(names(list(&suite, &caller, skipping(2)).await.users), ["c"]);
    let far = list(&suite, &caller, skipping(u32::MAX)).await;
    assert_eq!((far.users.len(), far.total), (0, Some(3)));
    let all = list(&suite, &caller, page(u32::MAX, "")).await;
    assert_eq!(all.users.len(), 3);
}

#[tokio::test]
async fn search_is_by_the_begin_of_a_name_and_by_nothing_else() {
    let suite = start().await;
    let caller = suite.user("Adam").await;
    for name in ["Ada Lovelace", "adalbert", "Grace", "Bad", ".*"] {
        suite.user(name).await;
    }
    assert_eq!(search(&suite, &caller, " ADA").await, ["Ada Lovelace", "adalbert"]);
    assert_eq!(search(&suite, &caller, "ada l").await, ["Ada Lovelace"]);
    for text in ["dal", ".a", "[a-z]", "^ada", "$ne"] {
        assert!(search(&suite, &caller, text).await.is_empty(), "{text}");
    }
    assert_eq!(search(&suite, &caller, ".").await, [".*"]);
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn search_is_paged_by_name_and_by_the_index_alone() {
    let suite = start().await;
    let caller = suite.user("Adam").await;
    for name in ["Ada", "adalbert", "ada", "Adele", "Adam", "Grace"] {
        suite.user(name).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = Some(PageRequest { limit: 2, cursor: cursor.clone() });
        let request = ListUsersRequest { search: "ADA".to_owned(), page, ..Default::default() };
        let next = list(&suite, &caller, request).await;
        found.extend(names(next.users));
        cursor = next.page.expect("a page").next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["Ada", "ada", "adalbert", "Adam"]);
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn phone_is_found_as_a_whole_alone() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    let (named, nameless) = (phone(), phone());
    suite.upsert(UserId::new(), &named, Some("Ada")).await.expect("made");
    suite.upsert(UserId::new(), &nameless, None).await.expect("made");
    assert_eq!(search(&suite, &caller, &named[1..]).await, ["Ada"]);
    assert_eq!(search(&suite, &caller, &nameless).await, [nameless.as_str()]);
    for phone in [&named, &nameless] {
        for part in [&phone[..phone.len() - 1], &phone[..8], "+"] {
            assert!(search(&suite, &caller, part).await.is_empty(), "{part}");
        }
    }
    let own = caller.phone.clone().expect("a phone");
    assert!(search(&suite, &caller, &own).await.is_empty());
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn document_of_an_older_version_is_listed_from_its_next_login_on() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    let ada = suite.user("Ada").await;
    let id: UserId = ada.id.parse().expect("an id");
    let stored = suite.database.collection::<Document>("users");
    let without_key = doc! { "$unset": { "name_key": "" } };
    stored.update_one(doc! { "_id": id }, without_key).await.expect("stored");
    assert!(search(&suite, &caller, "ada").await.is_empty());
    let phone = ada.phone.clone().expect("a phone");
    let kept = suite.upsert(id, &phone, None).await.expect("a login");
    assert_eq!(kept, ada);
    assert_eq!(search(&suite, &caller, "ada").await, ["Ada"]);
}

#[tokio::test]
async fn foreign_cursor_is_refused() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    for cursor in ["x", "00", "é"] {
        let request = as_this_user(&caller, page(1, cursor));
        let refused = suite.users.clone().list_users(request).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn address_book_finds_others_by_one_query() {
    let suite = start().await;
    let caller = suite.user("Mary").await;
    let mut expected = Vec::new();
    for name in ["Ada", "Grace"] {
        // Who sees somebody's presence, others are not told.
        expected.push(User { last_seen_privacy: None, ..suite.user(name).await });
    }
    suite.user("nobody's contact").await;
    let own = caller.phone.clone().expect("a phone");
    let mut phones: Vec<String> = expected.iter().filter_map(|user| user.phone.clone()).collect();
    phones.extend([own, phones[0].replace('+', "("), String::new(), "+1555".to_owned()]);
    phones.extend((0..2000).map(|number| format!("+1999{number:010}")));
    let request = FindUsersByPhonesRequest { phones };
    let answer = suite.users.clone().find_users_by_phones(as_this_user(&caller, request)).await;
    let mut found = answer.expect("an answer").into_inner().users;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(found, expected);
    assert_eq!((suite.count("find", "users"), suite.count("getMore", "users")), (1, 0));
    suite.assert_indexed(&["find"]).await;
}

#[tokio::test]
async fn address_book_has_an_end() {
    let suite = start().await;
    let phones = |count| FindUsersByPhonesRequest {
        phones: (0..count).map(|number| format!("+1999{number:010}")).collect(),
    };
    let answer = suite.users.clone().find_users_by_phones(as_user(phones(5000))).await;
    assert!(answer.expect("an answer").into_inner().users.is_empty());
    let answer = suite.users.clone().find_users_by_phones(as_user(phones(5001))).await;
    assert_failed(answer, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn presence_is_known_of_those_who_exist() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let user_ids = vec![ada.id.clone(), ada.id.clone(), UserId::new().to_string()];
    let answer = suite.users.clone().get_presence(as_user(GetPresenceRequest { user_ids })).await;
    let presences = answer.expect("an answer").into_inner().presences;
    assert_eq!(presences.len(), 1);
    let presence = &presences[0];
    assert_eq!((&presence.user_id, presence.is_online), (&ada.id, false));
    assert_eq!(presence.last_seen_at, ada.last_seen_at);
    let request = GetPresenceRequest { user_ids: vec!["x".to_owned()] };
    let answer = suite.users.clone().get_presence(as_user(request)).await;
    assert_failed(answer, Code::InvalidArgument, "invalid_id");
}
