//! Events about messages, in the order in which a socket sent them.

use super::queue::Job;
use crate::wire::{Dialect, event, message, socket};

/// Sends a message. The members hear of it through the fan-out, like those of other gateways.
pub async fn on_send(job: Job) {
    let mut client = job.state.clients.message.clone();
    let response = match client.send_message(job.caller.request(job.request.clone())).await {
        Ok(response) => response.into_inner(),
        Err(status) => return job.refuse(&status.into()),
    };
    let Some(message) = response.message else { return };
    let is_unified = job.name == event::MESSAGE_SEND || job.peer.dialect() == Dialect::Unified;
    if response.is_repetition && !is_unified {
        // Everybody heard the first one; the repetition is answered to whom repeated it.
        job.peer.emit(event::MESSAGE_SENT, &socket::sent(&message));
    }
    let body = if is_unified { message::unified(&message) } else { socket::sent(&message) };
    job.accept(&body);
}
