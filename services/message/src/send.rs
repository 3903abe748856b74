//! Sending a message: may the caller, then store it, then answer and announce it.

use std::{pin::pin, sync::Arc, time::Duration};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    error::ServiceError as _,
    id::{ConversationId, UserId},
    telemetry::trace,
    time::after,
};
use chat_proto::v1 as pb;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};
use tonic::Code;

use crate::{
    Service,
    convert::{self, NewMessage, NewSystemMessage, Target},
    error::Error,
    event,
    queue::Turn,
    store::messages::{Inserted, Last, Message, Quote},
    words,
};

/// How long numbers and first messages are looked for before the caller is told to try again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer waits for the preview in the conversation's list.
const PREVIEW_TIMEOUT: Duration = Duration::from_millis(100);
/// Pause between two looks for a first message that is not on a majority yet.
const FIRST_MESSAGE_PAUSE: Duration = Duration::from_millis(20);

/// A message as it was sent, and whether it had been before.
#[derive(Debug)]
pub struct Sent {
    /// The stored message.
    pub message: Message,
    /// Whether an earlier try had stored it.
    pub is_repetition: bool,
}

/// Who may hear of a message, and of whom it speaks.
struct Audience {
    conversation_id: ConversationId,
    member_ids: Vec<String>,
    recipient_id: Option<UserId>,
}

impl Service {
    /// Stores a message of `sender`, who calls, and announces it. Once he has the answer, the message
    /// survives any crash; the work goes on when he goes away.
    pub async fn send(
        &self,
        caller: Caller,
        sender: UserId,
        mut new: NewMessage,
    ) -> Result<Sent, Error> {
        trace::note("message_id", new.id);
        let place = self.place()?;
        let conversation_id = match &new.target {
            Target::Conversation(id) => *id,
            Target::Peer(peer) => self.open_direct(&caller, peer.clone()).await?,
        };
        match self.admit(&caller, sender, conversation_id, &mut new).await {
            Ok(audience) => self.store(place, caller, sender, new, audience).await,
            Err(error) if is_refusal(&error) => {
                let stored = self.stored(&caller, sender, conversation_id, new.client_id).await?;
                let message = stored.ok_or(error)?;
                Ok(Sent { message, is_repetition: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns who hears of a message, if its sender may send it, and completes it.
    async fn admit(
        &self,
        caller: &Caller,
        sender: UserId,
        conversation_id: ConversationId,
        new: &mut NewMessage,
    ) -> Result<Audience, Error> {
        let audience = self.audience(caller, sender, conversation_id).await?;
        self.complete(new, &audience).await?;
        Ok(audience)
    }

    /// Returns what an earlier try of a send that is refused now has stored, while its sender may read it.
    async fn stored(
        &self,
        caller: &Caller,
        sender: UserId,
        conversation_id: ConversationId,
        client_id: Option<String>,
    ) -> Result<Option<Message>, Error> {
        let Some(client_id) = client_id else { return Ok(None) };
        match self.get_audience(caller, conversation_id, pb::Act::Read).await {
            Ok(_) => {
                let messages = &self.store.messages;
                Ok(messages.by_client_id(conversation_id, sender, &client_id).await?)
            }
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Completes a message by what only the conversation tells: what the message said that it answers, and
    /// that whom it mentions is a member.
    async fn complete(&self, new: &mut NewMessage, audience: &Audience) -> Result<(), Error> {
        for mentioned in &new.parts.mention_ids {
            if !audience.member_ids.contains(&mentioned.to_string()) {
                let message = format!("{mentioned} is no member, and cannot be mentioned");
                return Err(Error::Invalid { field: "mention_ids", message });
            }
        }
        if let Some(reply) = &mut new.parts.reply {
            let answered = self.store.messages.by_id(reply.to).await?;
            let of_here =
                answered.filter(|message| message.conversation_id == audience.conversation_id);
            let Some(answered) = of_here else {
                let message = "the answered message is none of this conversation".to_owned();
                return Err(Error::Invalid { field: "reply_to_id", message });
            };
            reply.quote = answered.deleted_at.is_none().then(|| Quote::of(&answered));
            reply.given = reply.given.take().filter(|_| answered.deleted_at.is_none());
        }
        Ok(())
    }

    /// Stores and announces what happened in a conversation, in the name of whoever did it, for a service.
    pub async fn send_system(&self, caller: Caller, new: NewSystemMessage) -> Result<Sent, Error> {
        let NewSystemMessage { actor, conversation_id, message } = new;
        trace::note("message_id", message.id);
        let place = self.place()?;
        let audience = self.get_audience(&caller, conversation_id, pb::Act::Deliver).await?;
        let member_ids = audience.member_ids;
        let audience = Audience { conversation_id, member_ids, recipient_id: None };
        self.store(place, caller, actor, message, audience).await
    }

    /// Takes a place among the sends under way. It is held until the message is announced as well: what
    /// is answered already is still work.
    fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.sends).try_acquire_owned().map_err(|_| Error::Overloaded)
    }

    async fn store(
        &self,
        place: OwnedSemaphorePermit,
        caller: Caller,
        sender: UserId,
        new: NewMessage,
        audience: Audience,
    ) -> Result<Sent, Error> {
        trace::note("conversation_id", audience.conversation_id);
        let (answer, answered) = oneshot::channel();
        let service = self.clone();
        let work = async move {
            match service.commit(sender, &new, &audience).await {
                Ok((mut sent, Some(turn))) => {
                    service.check_quote(&mut sent.message).await;
                    service.announce(&caller, sent, audience.member_ids, turn, answer).await;
                }
                Ok((sent, None)) => drop(answer.send(Ok(sent))),
                Err(error) => drop(answer.send(Err(error))),
            }
            drop(place);
        };
        self.life.spawn_work(tracing::Instrument::in_current_span(work));
        answered.await.unwrap_or(Err(Error::Stopping))
    }

    async fn audience(
        &self,
        caller: &Caller,
        sender: UserId,
        conversation_id: ConversationId,
    ) -> Result<Audience, Error> {
        let audience = self.get_audience(caller, conversation_id, pb::Act::Post).await?;
        let mut recipient_id = None;
        if audience.is_direct {
            for member in &audience.member_ids {
                let member = convert::id("member_ids", member)?;
                recipient_id = if member == sender { recipient_id } else { Some(member) };
            }
        }
        Ok(Audience { conversation_id, member_ids: audience.member_ids, recipient_id })
    }

    /// Stores the message with the next number of its conversation. A first message comes with its
    /// turn to be announced, a repetition without.
    async fn commit(
        &self,
        sender: UserId,
        new: &NewMessage,
        audience: &Audience,
    ) -> Result<(Sent, Option<Turn>), Error> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let messages = &self.store.messages;
        let entering = self.queues.enter(audience.conversation_id);
        let mut tail =
            tokio::time::timeout_at(until, entering).await.map_err(|_| Error::Contended)?;
        while Instant::now() < until {
            let last = match tail.last {
                Some(last) => last,
                None => messages.last(audience.conversation_id).await?,
            };
            let message = Arc::new(numbered(sender, new, audience, last));
            // Known again only when the outcome is: an insert without answer may have happened.
            tail.last = None;
            match messages.insert(&message).await? {
                Inserted::Stored => {
                    tail.last =
                        Some(Some(Last { seq: message.seq, created_at: message.created_at }));
                    let message = Arc::unwrap_or_clone(message);
                    let sent = Sent { message, is_repetition: false };
                    return Ok((sent, Some(tail.take_turn())));
                }
                Inserted::SeqTaken => {}
                Inserted::ClientIdTaken | Inserted::IdTaken => {
                    drop(tail);
                    return Ok((self.first(sender, new, audience, until).await?, None));
                }
            }
        }
        Err(Error::Contended)
    }

    /// Finds the message that an earlier try stored. It may not be on a majority yet, and only what
    /// is may be acknowledged: so it is looked for until then.
    async fn first(
        &self,
        sender: UserId,
        new: &NewMessage,
        audience: &Audience,
        until: Instant,
    ) -> Result<Sent, Error> {
        let messages = &self.store.messages;
        while Instant::now() < until {
            if let Some(client_id) = &new.client_id {
                let conversation = audience.conversation_id;
                if let Some(message) =
                    messages.by_client_id(conversation, sender, client_id).await?
                {
                    return Ok(Sent { message, is_repetition: true });
                }
            }
            if let Some(message) = messages.by_id(new.id).await? {
                let is_the_same = message.sender_id == sender
                    && message.conversation_id == audience.conversation_id
                    && message.client_id == new.client_id;
                return if is_the_same {
                    Ok(Sent { message, is_repetition: true })
                } else {
                    Err(Error::MessageIdInUse)
                };
            }
            tokio::time::sleep(FIRST_MESSAGE_PAUSE).await;
        }
        Err(Error::Contended)
    }

    /// Forgets what a stored message quotes if that was deleted meanwhile. Where nobody can say, it is not
    /// shown now.
    async fn check_quote(&self, message: &mut Message) {
        if let Err(error) = self.forget_stale_quote(message).await {
            tracing::warn!(id = %message.id, %error, "a quote cannot be checked");
            if let Some(reply) = &mut message.reply {
                (reply.quote, reply.given) = (None, None);
            }
        }
    }

    /// Answers and announces a stored message. From here on nothing fails the call: what is not
    /// announced now stays in the outbox, and a relay announces it.
    async fn announce(
        &self,
        caller: &Caller,
        sent: Sent,
        member_ids: Vec<String>,
        mut turn: Turn,
        answer: oneshot::Sender<Result<Sent, Error>>,
    ) {
        let message = sent.message.clone();
        // The list shows the message before anybody hears of it. When that takes too long it is not
        // waited for any more and still goes on: a call that is given up costs its connection more than
        // one that is answered late.
        let mut recording = pin!(self.record_activity(&message));
        let recorded = tokio::time::timeout(PREVIEW_TIMEOUT, &mut recording).await.ok();
        // The caller may have gone away; the message is stored all the same.
        answer.send(Ok(sent)).ok();

        let Some(entry) = message.outbox.first().cloned() else {
            return;
        };
        let id = message.id;
        let event = event::build(&entry, message.clone(), member_ids);
        let publishing = async {
            turn.come().await;
            let publishing = self.publisher.start(&event, &caller.request_id).await;
            drop(turn);
            publishing?.confirmed().await
        };
        let recording = async {
            match recorded {
                Some(recorded) => recorded,
                None => recording.await,
            }
        };
        match tokio::join!(publishing, recording) {
            (Ok(()), Ok(())) => self.outbox.announced(id, entry.event_id),
            (Ok(()), Err(error)) => tracing::warn!(%id, %error, "preview is left to the relay"),
            (Err(error), _) => tracing::warn!(%id, %error, "announcement is left to the relay"),
        }
    }
}

/// Says whether a send failed because it may not be: as it is, it always will.
fn is_refusal(error: &Error) -> bool {
    let refusals =
        [Code::PermissionDenied, Code::InvalidArgument, Code::FailedPrecondition, Code::NotFound];
    refusals.contains(&error.code())
}

/// Returns the document of a message that follows `last`.
fn numbered(sender: UserId, new: &NewMessage, audience: &Audience, last: Option<Last>) -> Message {
    let now = DateTime::now();
    let parts = new.parts.clone();
    let is_written = parts.system.is_none();
    let earliest = last.map(|last| after(last.created_at, Duration::from_millis(1)));
    Message {
        id: new.id,
        conversation_id: audience.conversation_id,
        seq: last.map_or(0, |last| last.seq) + 1,
        sender_id: sender,
        recipient_id: audience.recipient_id,
        content: new.content.clone(),
        kind: new.kind,
        attachment: parts.attachment,
        reply: parts.reply,
        forwarding: parts.forwarding,
        call: parts.call,
        location: parts.location,
        contact: parts.contact,
        mention_ids: parts.mention_ids,
        system: parts.system,
        tokens: if is_written { words::tokens(&new.content) } else { Vec::new() },
        reactions: Vec::new(),
        versions: Vec::new(),
        edited_at: None,
        change: 0,
        changed_at: None,
        deleted_for: Vec::new(),
        is_hidden: false,
        deleted_at: None,
        client_id: new.client_id.clone(),
        created_at: earliest.map_or(now, |earliest| now.max(earliest)),
        previous_created_at: last.map(|last| last.created_at),
        origin_id: new.origin_id,
        outbox: vec![event::created_entry(new.id, now)],
    }
}
