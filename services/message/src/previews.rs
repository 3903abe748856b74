//! Previews on their way to the conversation service: those that are due together go with one call.

use std::{num::NonZeroUsize, time::Duration};

use chat_kit::{
    batch::{Batches, Bounds},
    caller::{Caller, new_request_id},
    client::Channel,
};
use chat_proto::v1::{self as pb, conversation_service_client::ConversationServiceClient};
use tonic::{Code, Status};

/// Calls side by side: while one waits for the conversation service's database, the next is on its way.
const UNDER_WAY: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");
/// Most previews of one call; the conversation service takes 256.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// Previews that wait for a call; further ones are left to the relay.
const WAITING: usize = 4096;

/// Previews, and what became of each.
pub(crate) type Previews = Batches<pb::RecordActivityRequest, Result<(), Status>>;

/// Describes the way to the conversation service, whose calls end after `timeout`.
pub(crate) fn previews(
    conversation: ConversationServiceClient<Channel>,
    timeout: Duration,
) -> Previews {
    let bounds = Bounds {
        under_way: UNDER_WAY,
        at_once: AT_ONCE,
        waiting: WAITING,
        // A call before it, and its own.
        patience: timeout.saturating_mul(2),
    };
    Batches::new(bounds, move |activities| record(conversation.clone(), activities))
}

async fn record(
    mut conversation: ConversationServiceClient<Channel>,
    activities: Vec<pb::RecordActivityRequest>,
) -> Vec<Result<(), Status>> {
    let count = activities.len();
    // Whoever sent these may do so no more: they are shown because they are stored.
    let caller = Caller::service("message", &new_request_id());
    let request = caller.request(pb::RecordActivitiesRequest { activities });
    match conversation.record_activities(request).await {
        Ok(answer) => outcomes(count, answer.into_inner().failures),
        Err(status) => vec![Err(status); count],
    }
}

/// Gives every preview its own outcome.
fn outcomes(count: usize, failures: Vec<pb::ActivityFailure>) -> Vec<Result<(), Status>> {
    let mut outcomes = vec![Ok(()); count];
    for failure in failures {
        let pb::ActivityFailure { place, code, message, details } = failure;
        let place = usize::try_from(place).ok();
        if let Some(outcome) = place.and_then(|place| outcomes.get_mut(place)) {
            *outcome = Err(Status::with_details(Code::from(code), message, details.into()));
        } else {
            tracing::error!(?place, count, "a failure of a preview that was not sent");
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_belongs_to_the_preview_at_its_place() {
        let failure = |place, code: Code| pb::ActivityFailure {
            place,
            code: code.into(),
            message: "no".to_owned(),
            details: b"why".to_vec(),
        };
        let failures = vec![failure(1, Code::NotFound), failure(9, Code::Internal)];
        let outcomes = outcomes(3, failures);
        outcomes[0].as_ref().expect("shown");
        outcomes[2].as_ref().expect("shown");
        let failed = outcomes[1].as_ref().expect_err("not shown");
        assert_eq!((failed.code(), failed.message()), (Code::NotFound, "no"));
        assert_eq!(failed.details(), b"why");
    }
}
