//! What a conversation shows beside itself, and the answers with one conversation.

use super::*;

fn cursor(user: &str, delivered: i64, read: i64) -> pb::ReceiptCursor {
    pb::ReceiptCursor {
        user_id: user.to_owned(),
        delivered_seq: delivered,
        delivered_at: (delivered > 0).then(|| at(delivered)),
        read_seq: read,
        read_at: (read > 0).then(|| at(read)),
    }
}

fn states(preview_override: Option<pb::PreviewOverride>) -> States {
    let row = pb::ListState {
        conversation_id: ID.to_owned(),
        // One of them is no member any more.
        cursors: vec![cursor(OTHER, 3, 2), cursor(CALLER, 1, 0), cursor(THIRD, 3, 3)],
        unread_count: 7,
        preview_override,
    };
    pb::GetListStatesResponse { rows: vec![row] }.into()
}

fn seen(seq: i64, content: &str) -> pb::PreviewOverride {
    let message = pb::Message {
        id: THIRD.to_owned(),
        conversation_id: ID.to_owned(),
        seq,
        sender_id: CALLER.to_owned(),
        content: content.to_owned(),
        r#type: "text".to_owned(),
        created_at: Some(at(1)),
        ..Default::default()
    };
    pb::PreviewOverride { message: Some(message) }
}

#[tokio::test]
async fn old_rows_say_how_far_each_member_has_come_and_what_is_unread() {
    let delivered = json!({
        CALLER: "1970-01-01T00:00:01.005Z", OTHER: "1970-01-01T00:00:03.005Z",
    });
    let read = json!({ OTHER: "1970-01-01T00:00:02.005Z" });
    let bare = listed_with(Answer::Bare, lively(), states(None), "").await;
    let enveloped = listed_with(Answer::Enveloped, lively(), states(None), "").await;
    for row in [&bare[0], &enveloped["conversations"][0]] {
        assert_eq!((&row["deliveredUpTo"], &row["readUpTo"]), (&delivered, &read));
        assert_eq!(row["unreadCount"], 7);
    }
}

#[tokio::test]
async fn new_rows_have_the_cursors_of_members_as_a_list() {
    let row = &listed_with(Answer::Unified, lively(), states(None), "").await["conversations"][0];
    assert_eq!(row["unreadCount"], 7);
    let cursors = json!([
        {
            "userId": OTHER, "deliveredSeq": 3, "deliveredAt": "1970-01-01T00:00:03.005Z",
            "readSeq": 2, "readAt": "1970-01-01T00:00:02.005Z",
        },
        {
            "userId": CALLER, "deliveredSeq": 1, "deliveredAt": "1970-01-01T00:00:01.005Z",
            "readSeq": 0,
        },
    ]);
    assert_eq!(row["cursors"], cursors);
    assert!(row.get("clearedSeq").is_none());
    let cleared = pb::Conversation { cleared_seq: 3, last_message: None, ..quiet() };
    let row = &listed(Answer::Unified, cleared, "").await["conversations"][0];
    assert_eq!(row["clearedSeq"], 3);
}

#[tokio::test]
async fn preview_that_the_caller_deleted_gives_way_to_what_he_still_sees() {
    let states = || states(Some(seen(2, "before")));
    let bare = listed_with(Answer::Bare, lively(), states(), "").await;
    let fields = ["lastMessage", "lastPreview", "lastFrom", "lastMessageAt"];
    let expected = [THIRD, "before", CALLER, "1970-01-01T00:00:01.005Z"];
    assert_eq!(fields.map(|field| bare[0][field].as_str().unwrap_or_default()), expected);
    let row = &listed_with(Answer::Enveloped, lively(), states(), "").await["conversations"][0];
    assert_eq!(
        (&row["lastMessage"]["_id"], &row["lastPreview"]),
        (&json!(THIRD), &json!("before"))
    );
    let row = &listed_with(Answer::Unified, lively(), states(), "").await["conversations"][0];
    assert_eq!(row["lastMessage"]["content"], "before");
}

#[tokio::test]
async fn nothing_is_shown_where_the_caller_sees_nothing_any_more() {
    let cleared = pb::Conversation { cleared_seq: 2, ..lively() };
    for (conversation, shown) in
        [(lively(), pb::PreviewOverride { message: None }), (cleared, seen(2, "cleared"))]
    {
        let row = &listed_with(Answer::Bare, conversation, states(Some(shown)), "").await[0];
        assert!(row.get("lastMessage").is_none() && row.get("lastMessageAt").is_none(), "{row}");
        assert_eq!((&row["lastPreview"], &row["lastFrom"]), (&json!(""), &json!("")));
    }
}

#[test]
fn all_rows_are_asked_for_at_once_and_large_groups_for_the_caller_alone() {
    let group = |id: &str, members: usize| pb::Conversation {
        id: id.to_owned(),
        is_group: true,
        member_ids: (0..members).map(|id| format!("{id:024x}")).collect(),
        counted_after_seq: 5,
        ..quiet()
    };
    let request = states_of(&[lively(), group(OTHER, 100), group(THIRD, 101)]);
    let row = |id: &str, last: Option<&str>, counted_after_seq, with_all_cursors| pb::ListRow {
        conversation_id: id.to_owned(),
        last_message_id: last.map(str::to_owned),
        counted_after_seq,
        with_all_cursors,
    };
    let rows =
        vec![row(ID, Some(LAST), 0, true), row(OTHER, None, 5, true), row(THIRD, None, 5, false)];
    assert_eq!(request, Some(pb::GetListStatesRequest { rows }));
    assert_eq!(states_of(&[]), None);
}

#[tokio::test]
async fn details_have_profiles_and_the_newest_message_with_ids() {
    let mut found = [lively()];
    let mut states = states(None);
    states.settle(&mut found);
    let answer = body(details(Dialect::Electron, &found[0], &states, &users())).await;
    assert_eq!(answer["success"], true);
    let conversation = &answer["conversation"];
    assert_eq!((&conversation["_id"], &conversation["unreadCount"]), (&json!(ID), &json!(7)));
    assert_eq!(conversation["members"][1]["name"], "Ada");
    assert_eq!(conversation["readUpTo"], json!({ OTHER: "1970-01-01T00:00:02.005Z" }));
    let last = &conversation["lastMessage"];
    for (field, value) in [("_id", LAST), ("id", LAST), ("from", OTHER), ("sender", OTHER)] {
        assert_eq!(last[field], value, "{field}");
    }
    let unified = body(details(Dialect::Unified, &found[0], &states, &Users::default())).await;
    assert_eq!(unified["conversation"]["unreadCount"], 7);
    assert_eq!(unified["conversation"]["memberIds"], json!([CALLER, OTHER]));
}

#[tokio::test]
async fn newest_message_is_edited_where_its_text_was_and_not_by_other_changes() {
    let mut conversation = lively();
    conversation.last_message.as_mut().expect("a message").change = 4;
    let row = &listed(Answer::Enveloped, conversation.clone(), "").await["conversations"][0];
    assert_eq!(row["lastMessage"]["edited"], false);
    conversation.last_message.as_mut().expect("a message").edited_at = Some(at(9));
    let row = &listed(Answer::Enveloped, conversation, "").await["conversations"][0];
    let last = &row["lastMessage"];
    let time = json!("1970-01-01T00:00:09.005Z");
    assert_eq!(
        (&last["edited"], &last["editedAt"], &last["updatedAt"]),
        (&json!(true), &time, &time)
    );
}

#[tokio::test]
async fn clearing_says_how_much_is_hidden() {
    let response = pb::ClearConversationResponse { hidden_count: 3 };
    for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
        let answer = body(cleared(dialect, &response)).await;
        let expected = json!({
            "success": true, "message": "the conversation is cleared", "messagesHidden": 3,
        });
        assert_eq!(answer, expected);
    }
    let answer = body(cleared(Dialect::Unified, &response)).await;
    assert_eq!(answer, json!({ "success": true, "hiddenCount": 3 }));
}

#[tokio::test]
async fn list_of_the_desktop_goes_on_where_it_ended() {
    assert_eq!(listed(Answer::Enveloped, quiet(), "next").await["nextCursor"], "next");
    assert_eq!(listed(Answer::Enveloped, quiet(), "").await["nextCursor"], Value::Null);
}

#[test]
fn path_names_a_conversation() {
    assert_eq!(id(ID).expect("an id"), ID);
    for text in ["zzz", "65f0", ""] {
        assert_eq!(id(text).expect_err("no id").error, "invalid_id");
    }
}
