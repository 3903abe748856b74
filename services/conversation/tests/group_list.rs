//! The lists of groups: one's own by page, and the public ones by name.

use bson::{DateTime, doc};
use chat_kit::id::{ConversationId, UserId};
use chat_proto::v1::{
    ListGroupsRequest, ListGroupsResponse, ListPublicGroupsRequest, PageRequest, PublicGroup,
};
use tonic::{Code, Status};

use crate::support::{Suite, as_user, assert_failed, start};

async fn own(
    suite: &Suite,
    user: UserId,
    page: u32,
    limit: u32,
    search: &str,
) -> ListGroupsResponse {
    let search = search.to_owned();
    let request = ListGroupsRequest { page, limit, search, ..ListGroupsRequest::default() };
    let listed = suite.conversations.clone().list_groups(as_user(user, request)).await;
    listed.expect("a page").into_inner()
}

fn names(listed: &ListGroupsResponse) -> Vec<&str> {
    let groups = listed.groups.iter();
    groups.map(|group| group.group.as_ref().expect("a group").name.as_str()).collect()
}

/// Makes groups of which each changed a moment after the one before.
async fn clubs(suite: &Suite, maker: UserId, names: &[&str]) {
    for (name, moment) in names.iter().zip(0..) {
        let club = suite.club(maker, name, &[]).await;
        let id: ConversationId = club.id.parse().expect("an id");
        let moment = doc! { "$set": { "updated_at": DateTime::from_millis(moment) } };
        suite.stored().update_one(doc! { "_id": id }, moment).await.expect("set");
    }
}

#[tokio::test]
async fn own_groups_are_listed_by_page_the_newest_change_first() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    clubs(&suite, ada, &["One", "Two", "Three", "Four", "Five"]).await;
    suite.club(grace, "Other", &[]).await;
    suite.open(ada, crate::support::by_id(grace)).await.expect("a conversation");
    suite.forget_commands();
    let listed = own(&suite, ada, 1, 2, "").await;
    assert_eq!((names(&listed), listed.total, listed.limit), (vec!["Five", "Four"], 5, 2));
    suite.assert_indexed(&["find"]).await;
    assert_eq!(names(&own(&suite, ada, 3, 2, "").await), ["One"]);
    assert_eq!(names(&own(&suite, ada, 0, 0, "").await).len(), 5);
    let behind = own(&suite, ada, u32::MAX, 500, "").await;
    assert_eq!((names(&behind).len(), behind.total), (0, 5));
}

#[tokio::test]
async fn own_groups_are_walked_by_cursor_while_they_change() {
    let suite = start().await;
    let ada = suite.user().await.0;
    clubs(&suite, ada, &["One", "Two", "Three", "Four", "Five"]).await;
    // Two of the same moment follow by their ids.
    let moment = doc! { "$set": { "updated_at": DateTime::from_millis(1) } };
    suite.stored().update_one(doc! { "group.name": "Three" }, moment).await.expect("set");
    let behind = async |cursor: String, search: &str| {
        let search = search.to_owned();
        let request = ListGroupsRequest { page: 9, limit: 2, search, cursor };
        let listed = suite.conversations.clone().list_groups(as_user(ada, request)).await;
        listed.map(tonic::Response::into_inner)
    };
    let first = own(&suite, ada, 1, 2, "").await;
    assert_eq!(names(&first), ["Five", "Four"]);
    // What changes meanwhile moves up, and nobody else's place.
    let moment = doc! { "$set": { "updated_at": DateTime::from_millis(9) } };
    suite.stored().update_one(doc! { "group.name": "Four" }, moment).await.expect("set");
    suite.forget_commands();
    let second = behind(first.next_cursor, "").await.expect("a page");
    assert_eq!((names(&second), second.total), (vec!["Three", "Two"], 5));
    suite.assert_indexed(&["find"]).await;
    let third = behind(second.next_cursor.clone(), "").await.expect("a page");
    assert_eq!((names(&third), third.next_cursor.as_str()), (vec!["One"], ""));
    let searched = behind(second.next_cursor, "x").await.expect("a page");
    assert!(names(&searched).is_empty());
    for cursor in ["x", "0", &"0".repeat(41)] {
        let refused = behind(cursor.to_owned(), "").await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
}

#[tokio::test]
async fn text_is_searched_for_as_it_is_in_the_own_names_alone() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    clubs(&suite, ada, &["Chess", "Éclairs & chess", "a.*b", "$group.name"]).await;
    suite.club(grace, "Chess of Grace", &[]).await;
    for (search, found) in [
        ("CHESS", vec!["Éclairs & chess", "Chess"]),
        ("éclair", vec!["Éclairs & chess"]),
        (".*", vec!["a.*b"]),
        ("$group.name", vec!["$group.name"]),
        ("x", vec![]),
    ] {
        let listed = own(&suite, ada, 1, 20, search).await;
        assert_eq!(names(&listed), found, "{search}");
        assert_eq!(listed.total, found.len() as u64, "{search}");
    }
    let request = ListGroupsRequest { search: "x".repeat(201), ..ListGroupsRequest::default() };
    let refused = suite.conversations.clone().list_groups(as_user(ada, request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

async fn public(
    suite: &Suite,
    user: UserId,
    query: &str,
    cursor: &str,
) -> Result<(Vec<PublicGroup>, String), Status> {
    let page = Some(PageRequest { limit: 2, cursor: cursor.to_owned() });
    let request = ListPublicGroupsRequest { query: query.to_owned(), page };
    let listed = suite.conversations.clone().list_public_groups(as_user(user, request)).await?;
    let listed = listed.into_inner();
    Ok((listed.groups, listed.page.expect("a page").next_cursor))
}

/// Reads all pages; returns the names.
async fn all_public(suite: &Suite, user: UserId, query: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let (groups, next) = public(suite, user, query, &cursor).await.expect("a page");
        names.extend(groups.into_iter().map(|group| group.name));
        cursor = next;
        if cursor.is_empty() {
            return names;
        }
    }
}

#[tokio::test]
async fn public_groups_are_found_by_the_beginning_of_their_name() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    for name in ["Chess", "chess", "CHESS club", "Chess-ü", "Go", "Chest", "Choir"] {
        let club = suite.club(ada, name, &[grace]).await;
        club.update(ada, |change| change.is_public = Some(true)).await.expect("changed");
    }
    suite.club(ada, "Chess in secret", &[grace]).await;
    let [stranger] = suite.users().await;
    suite.forget_commands();
    let mut found = all_public(&suite, stranger, " CHESS ").await;
    suite.assert_indexed(&["find"]).await;
    found[..2].sort_unstable();
    assert_eq!(found, ["Chess", "chess", "CHESS club", "Chess-ü"]);
    assert_eq!(all_public(&suite, stranger, "").await.len(), 7);
    assert_eq!(all_public(&suite, stranger, "g").await, ["Go"]);
    assert_eq!(all_public(&suite, stranger, ".*").await, [""; 0]);
    let (groups, _) = public(&suite, stranger, "Go", "").await.expect("a page");
    assert_eq!(groups[0].member_count, 2);
    let refused = public(&suite, stranger, "", "zzz").await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
}

#[tokio::test]
async fn anybody_joins_a_public_group_and_no_other() {
    let suite = start().await;
    let [ada, grace] = suite.users().await;
    let club = suite.club(ada, "Chess", &[]).await;
    let refused = club.join_public(grace).await;
    let message = assert_failed(refused, Code::PermissionDenied, "forbidden");
    assert!(message.contains("not public"), "{message}");
    club.update(ada, |change| change.is_public = Some(true)).await.expect("changed");
    let joined = club.join_public(grace).await.expect("joined");
    assert_eq!(joined.member_ids, [ada, grace].map(|user| user.to_string()));
    assert_eq!(club.join_public(grace).await.expect("as it is"), joined);
    let mut unknown = club.clone();
    unknown.id = ConversationId::new().to_string();
    assert_failed(unknown.join_public(grace).await, Code::NotFound, "not_found");
}
