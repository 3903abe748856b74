//! Events about messages, in the order in which a socket sent them.

use chat_proto::v1 as pb;
use serde_json::json;

use super::queue::Job;
use crate::wire::{Dialect, event, message};

/// Sends a message. The members hear of it through the fan-out, like those of other gateways.
pub async fn on_send(job: Job<pb::SendMessageRequest>) {
    let mut client = job.state.clients.message.clone();
    let response = match client.send_message(job.caller.request(job.request.clone())).await {
        Ok(response) => response.into_inner(),
        Err(status) => return job.refuse(&status.into()),
    };
    let is_repetition = is_repeated_by_client(&job.request, &response);
    let Some(message) = response.message else { return };
    let is_unified = job.name == event::MESSAGE_SEND || job.peer.dialect() == Dialect::Unified;
    if is_repetition && !is_unified {
        // Everybody heard the first one; the repetition is answered to whom repeated it.
        job.peer.emit(event::MESSAGE_SENT, &message::sent(&message));
    }
    let body = if is_unified { message::unified(&message) } else { message::sent(&message) };
    job.accept(json!({ "message": body }));
}

/// Says whether the client had sent the message before. Ids are made here, one for each event: where the
/// stored message has the one of this event, it was the call that was made again on its way, and the
/// message is announced like any other.
fn is_repeated_by_client(
    request: &pb::SendMessageRequest,
    response: &pb::SendMessageResponse,
) -> bool {
    let stored = response.message.as_ref().map(|message| &message.id);
    response.is_repetition && stored != Some(&request.message_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_that_was_made_again_is_no_repetition_of_the_client() {
        let request = pb::SendMessageRequest { message_id: "1".to_owned(), ..Default::default() };
        for (is_repetition, id, expected) in
            [(false, "1", false), (true, "1", false), (true, "2", true)]
        {
            let message = pb::Message { id: id.to_owned(), ..Default::default() };
            let response = pb::SendMessageResponse { message: Some(message), is_repetition };
            assert_eq!(is_repeated_by_client(&request, &response), expected, "{id}");
        }
    }
}
