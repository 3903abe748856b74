//! Previews whose message was edited or deleted, in whatever order one hears of them.

use bson::DateTime;
use chat_kit::{
    id::{ConversationId, MessageId, UserId},
    time::to_timestamp,
};
use chat_proto::v1::{
    Conversation, DeletedMessage, ListConversationsRequest, Preview, RecordActivityRequest,
    ReplacePreviewRequest,
};
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::{Suite, as_service, as_user, assert_failed, start};

/// The messages 1 to 9 of somebody.
struct Story {
    suite: Suite,
    ada: UserId,
    conversation: String,
    messages: Vec<Preview>,
}

impl Story {
    async fn begin() -> Self {
        let suite = start().await;
        let (ada, _, conversation) = suite.pair().await;
        let message = |seq| Preview {
            message_id: MessageId::new().to_string(),
            seq,
            sender_id: ada.to_string(),
            content: format!("message {seq}"),
            r#type: "text".to_owned(),
            created_at: Some(to_timestamp(DateTime::from_millis(1_000_000 + seq))),
            ..Default::default()
        };
        let messages = (0..10).map(message).collect();
        Self { suite, ada, conversation: conversation.id, messages }
    }

    fn edited(&self, seq: usize, change: i64) -> Preview {
        let content = format!("message {seq}, change {change}");
        Preview { change, content, ..self.messages[seq].clone() }
    }

    async fn record(&self, seq: usize) {
        self.record_as(self.messages[seq].clone()).await;
    }

    async fn record_as(&self, preview: Preview) {
        let request = RecordActivityRequest {
            conversation_id: self.conversation.clone(),
            preview: Some(preview),
        };
        let mut conversations = self.suite.conversations.clone();
        conversations.record_activity(as_service(request)).await.expect("recorded");
    }

    async fn try_replace(
        &self,
        conversation: &str,
        seq: i64,
        change: i64,
        preview: Option<Preview>,
    ) -> Result<(), Status> {
        let conversation_id = conversation.to_owned();
        let request =
            ReplacePreviewRequest { conversation_id, seq, change, preview, deleted: None };
        let mut conversations = self.suite.conversations.clone();
        conversations.replace_preview(as_service(request)).await.map(drop)
    }

    async fn replace(&self, seq: i64, change: i64, preview: Option<Preview>) {
        let replaced = self.try_replace(&self.conversation, seq, change, preview).await;
        replaced.expect("replaced");
    }

    async fn edit(&self, seq: usize, change: i64) {
        let number = i64::try_from(seq).expect("a number");
        self.replace(number, change, Some(self.edited(seq, change))).await;
    }

    async fn delete(&self, seq: i64, before: Option<usize>) {
        self.replace(seq, 1, before.map(|seq| self.messages[seq].clone())).await;
    }

    /// Deletes a message; `previous` is the newest that is left before it.
    async fn unsend(&self, seq: usize, previous: Option<usize>) {
        let at = |seq: usize| self.messages[seq].created_at;
        let deleted = DeletedMessage {
            sender_id: self.ada.to_string(),
            created_at: at(seq),
            previous_created_at: previous.and_then(at),
        };
        self.try_unsend(seq, previous, deleted).await.expect("replaced");
    }

    async fn try_unsend(
        &self,
        seq: usize,
        previous: Option<usize>,
        deleted: DeletedMessage,
    ) -> Result<(), Status> {
        let request = ReplacePreviewRequest {
            conversation_id: self.conversation.clone(),
            seq: self.messages[seq].seq,
            change: 1,
            preview: previous.map(|seq| self.messages[seq].clone()),
            deleted: Some(deleted),
        };
        let mut conversations = self.suite.conversations.clone();
        conversations.replace_preview(as_service(request)).await.map(drop)
    }

    /// Asserts which message is the newest that its sender is told he has written.
    #[track_caller]
    fn assert_last_sent(&self, row: &Conversation, expected: Option<usize>) {
        let expected = expected.and_then(|seq| self.messages[seq].created_at);
        assert_eq!(row.last_sent_at, expected);
    }

    async fn row(&self) -> Conversation {
        let request = as_user(self.ada, ListConversationsRequest::default());
        let mut conversations = self.suite.conversations.clone();
        let page = conversations.list_conversations(request).await.expect("a page").into_inner();
        page.conversations.into_iter().next().expect("a conversation")
    }

    /// Asserts what is shown, and that the list has its place by it.
    async fn assert_shown(&self, expected: Option<&Preview>) {
        assert_eq!(self.row().await.last_message.as_ref(), expected);
        let stored = self.suite.document(&self.conversation).await;
        let at = stored.get_datetime("last_message_at").ok().copied().map(to_timestamp);
        assert_eq!(at, expected.and_then(|preview| preview.created_at));
        assert!(stored.contains_key("last_message_at"), "the list's index holds it");
    }
}

#[tokio::test]
async fn message_edited_before_it_is_shown_is_shown_as_edited() {
    let story = Story::begin().await;
    story.record(1).await;
    story.edit(2, 1).await;
    story.assert_shown(Some(&story.edited(2, 1))).await;
    story.record(2).await;
    story.assert_shown(Some(&story.edited(2, 1))).await;
    assert_eq!(story.row().await.last_sent_at, story.messages[2].created_at, "he has written");
    story.suite.assert_indexed(&["update"]).await;
}

#[tokio::test]
async fn message_deleted_before_it_is_shown_never_is() {
    let story = Story::begin().await;
    story.delete(1, None).await;
    story.record(1).await;
    story.assert_shown(None).await;
    story.record(2).await;
    story.delete(3, Some(2)).await;
    story.record(3).await;
    story.assert_shown(Some(&story.messages[2])).await;
}

#[tokio::test]
async fn preview_made_after_the_deletion_gives_way_to_it() {
    let story = Story::begin().await;
    story.record(1).await;
    story.record_as(story.edited(2, 1)).await;
    story.delete(2, Some(1)).await;
    story.assert_shown(Some(&story.messages[1])).await;
}

#[tokio::test]
async fn messages_deleted_in_either_order_stay_hidden_however_late_their_previews_come() {
    for order in [[3, 2], [2, 3]] {
        let story = Story::begin().await;
        for seq in 1..=3 {
            story.record(seq).await;
        }
        for seq in order {
            // The newest that is left by then.
            let before = if seq == 3 && order == [3, 2] { 2 } else { 1 };
            story.delete(seq, Some(before)).await;
        }
        for seq in [3, 2, 1] {
            story.record(seq).await;
        }
        story.assert_shown(Some(&story.messages[1])).await;
        story.record(4).await;
        story.assert_shown(Some(&story.messages[4])).await;
    }
}

#[tokio::test]
async fn earlier_preview_counts_by_its_own_number() {
    let story = Story::begin().await;
    story.record(5).await;
    story.delete(5, Some(3)).await;
    story.edit(5, 2).await;
    story.assert_shown(Some(&story.messages[3])).await;
    story.edit(3, 1).await;
    story.assert_shown(Some(&story.edited(3, 1))).await;
    story.delete(4, Some(2)).await;
    story.assert_shown(Some(&story.edited(3, 1))).await;
    story.replace(3, 2, None).await;
    story.assert_shown(None).await;
}

#[tokio::test]
async fn newer_activity_wins_whatever_happens_to_earlier_messages() {
    for _ in 0..10 {
        let story = Story::begin().await;
        story.record(1).await;
        let recorded = join_all((1..=9).map(|seq| story.record(seq)));
        let changed = join_all((1..=8).map(|seq| story.edit(seq, 1)));
        let deleted = join_all((2..=8).map(|seq| story.delete(seq, Some(1))));
        tokio::join!(recorded, changed, deleted);
        story.assert_shown(Some(&story.messages[9])).await;
    }
}

#[tokio::test]
async fn changes_at_the_same_time_end_with_the_last() {
    for _ in 0..10 {
        let story = Story::begin().await;
        let changes = [2, 4, 1, 3].map(|change| story.edit(1, change));
        tokio::join!(story.record(1), join_all(changes));
        story.assert_shown(Some(&story.edited(1, 4))).await;
    }
}

#[tokio::test]
async fn text_of_a_replacement_is_taken_as_it_is() {
    let story = Story::begin().await;
    let shown = Preview { content: "$status".to_owned(), ..story.edited(1, 1) };
    story.replace(1, 1, Some(shown.clone())).await;
    story.assert_shown(Some(&shown)).await;
}

#[tokio::test]
async fn malformed_replacement_is_refused_and_changes_nothing() {
    let story = Story::begin().await;
    story.record(1).await;
    let broken = Preview { created_at: None, ..story.messages[1].clone() };
    for (seq, change, preview) in
        [(0, 1, None), (1, 0, None), (1, 1, Some(story.messages[2].clone())), (1, 1, Some(broken))]
    {
        let refused = story.try_replace(&story.conversation, seq, change, preview).await;
        assert_failed(refused, Code::InvalidArgument, "validation_error");
    }
    let refused = story.try_replace("65f0", 1, 1, None).await;
    assert_failed(refused, Code::InvalidArgument, "invalid_conversation_id");
    let nowhere = ConversationId::new().to_string();
    let refused = story.try_replace(&nowhere, 1, 1, None).await;
    assert_failed(refused, Code::NotFound, "conversation_not_found");
    story.assert_shown(Some(&story.messages[1])).await;
}

#[tokio::test]
async fn sender_of_a_deleted_message_last_wrote_the_one_before_it() {
    let story = Story::begin().await;
    for seq in 1..=3 {
        story.record(seq).await;
    }
    story.unsend(2, Some(1)).await;
    story.assert_last_sent(&story.row().await, Some(3));
    for _ in 0..2 {
        story.unsend(3, Some(1)).await;
        story.assert_last_sent(&story.row().await, Some(1));
        for late in [3, 2, 1] {
            story.record(late).await;
            story.assert_last_sent(&story.row().await, Some(1));
        }
    }
    story.record(4).await;
    story.unsend(3, Some(1)).await;
    story.assert_last_sent(&story.row().await, Some(4));
    story.unsend(4, Some(1)).await;
    story.unsend(1, None).await;
    story.assert_last_sent(&story.row().await, None);
    story.record(1).await;
    story.assert_last_sent(&story.row().await, None);
    story.record(5).await;
    story.assert_last_sent(&story.row().await, Some(5));
    story.suite.assert_indexed(&["update"]).await;
}

#[tokio::test]
async fn deletions_and_late_previews_in_any_order_end_with_what_is_left() {
    for _ in 0..10 {
        let story = Story::begin().await;
        let recorded = join_all((1..=5).map(|seq| story.record(seq)));
        let deleted = join_all((3..=5).map(|seq| story.unsend(seq, Some(2))));
        tokio::join!(recorded, deleted);
        story.assert_last_sent(&story.row().await, Some(2));
    }
}

#[tokio::test]
async fn message_deleted_before_its_preview_comes_was_not_written() {
    let story = Story::begin().await;
    story.unsend(2, Some(1)).await;
    story.record(2).await;
    story.assert_last_sent(&story.row().await, Some(1));
}

#[tokio::test]
async fn malformed_deletion_is_refused_and_changes_nothing() {
    let story = Story::begin().await;
    story.record(1).await;
    story.record(2).await;
    let whole = DeletedMessage {
        sender_id: story.ada.to_string(),
        created_at: story.messages[2].created_at,
        previous_created_at: story.messages[1].created_at,
    };
    for broken in [
        DeletedMessage { sender_id: "65f0".to_owned(), ..whole.clone() },
        DeletedMessage { created_at: None, ..whole.clone() },
        DeletedMessage { previous_created_at: whole.created_at, ..whole.clone() },
    ] {
        let refused = story.try_unsend(2, Some(1), broken).await.expect_err("a refusal");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    story.assert_last_sent(&story.row().await, Some(2));
    story.assert_shown(Some(&story.messages[2])).await;
}
