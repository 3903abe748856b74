//! What the list shows of a conversation's newest message.

use bson::DateTime;
use chat_kit::{
    caller::Actor,
    id::{ConversationId, UserId},
};

use crate::{
    Service,
    convert::Activity,
    error::Error,
    store::{conversations::Preview, previews::NewPreview, replaced::Replacement},
};

impl Service {
    /// Stores a preview unless a newer one is stored. One guarded write, so that repetitions and any
    /// order of several previews end the same.
    pub(crate) async fn record(
        &self,
        actor: &Actor,
        conversation: ConversationId,
        preview: Preview,
    ) -> Result<(), Error> {
        let member = whose(actor, &preview)?;
        let new = NewPreview { conversation, member, preview };
        let mut outcomes = self.record_each(vec![new]).await;
        outcomes.pop().expect("one outcome for each preview")
    }

    /// Stores many previews in the same way, of which each may fail for itself.
    pub(crate) async fn record_all(
        &self,
        actor: &Actor,
        activities: Vec<Activity>,
    ) -> Vec<Result<(), Error>> {
        let mut outcomes: Vec<Result<(), Error>> = Vec::with_capacity(activities.len());
        let (mut previews, mut places) = (Vec::new(), Vec::new());
        for (place, activity) in activities.into_iter().enumerate() {
            let new = activity.and_then(|(conversation, preview)| {
                let member = whose(actor, &preview)?;
                Ok(NewPreview { conversation, member, preview })
            });
            outcomes.push(new.map(|new| {
                previews.push(new);
                places.push(place);
            }));
        }
        for (place, outcome) in places.into_iter().zip(self.record_each(previews).await) {
            outcomes[place] = outcome;
        }
        outcomes
    }

    /// Shows something else in the place of a message that changed. One guarded write, like the others.
    pub(crate) async fn replace(&self, replacement: Replacement) -> Result<(), Error> {
        let stored = self.store.conversations();
        if stored.replace_preview(&replacement, DateTime::now()).await? {
            return Ok(());
        }
        Err(Error::ConversationNotFound)
    }

    async fn record_each(&self, previews: Vec<NewPreview>) -> Vec<Result<(), Error>> {
        let found = self.store.previews().record(&previews, DateTime::now()).await;
        let mut outcomes = Vec::with_capacity(previews.len());
        for (new, found) in previews.iter().zip(found) {
            outcomes.push(match found {
                Ok(true) => Ok(()),
                Ok(false) => Err(self.why_not_found(new.conversation).await),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn why_not_found(&self, id: ConversationId) -> Error {
        match self.store.audiences().get(id, None).await {
            Ok(Some(_)) => Error::NotAMember,
            Ok(None) => Error::ConversationNotFound,
            Err(error) => error,
        }
    }
}

/// Returns who must be a member, so that an actor may record a preview.
fn whose(actor: &Actor, preview: &Preview) -> Result<Option<UserId>, Error> {
    match actor {
        Actor::User { id, .. } if *id == preview.sender_id => Ok(Some(*id)),
        Actor::User { .. } => Err(Error::NotTheSender),
        // A service shows what was posted while its sender was a member.
        Actor::Service(_) => Ok(None),
    }
}
