//! The gRPC methods of the message service: open the caller, parse, call the use case, wrap.

use chat_kit::caller::Caller;
use chat_proto::v1::{self as pb, message_service_server::MessageService};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    change::Changer,
    convert::{self, NewMessage, NewSystemMessage},
    receipts::Read,
};

#[tonic::async_trait]
impl MessageService for Service {
    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let caller = Caller::open(&request)?;
        let sender = caller.user_id()?;
        let new = NewMessage::parse(request.into_inner(), self.max_content_length.get())?;
        let sent = self.send(caller, sender, new).await?;
        Ok(Response::new(pb::SendMessageResponse {
            message: Some(sent.message.into()),
            is_repetition: sent.is_repetition,
        }))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let caller = Caller::open(&request)?;
        let reader = caller.user_id()?;
        let page = self.list(&caller, reader, request.into_inner()).await?;
        let total_count = page.total_count;
        let seen = |message| convert::seen_by(reader, message);
        let messages = page.messages.into_iter().map(seen).collect();
        Ok(Response::new(pb::ListMessagesResponse { messages, total_count }))
    }

    async fn list_changes(
        &self,
        request: Request<pb::ListChangesRequest>,
    ) -> Result<Response<pb::ListChangesResponse>, Status> {
        let caller = Caller::open(&request)?;
        let reader = caller.user_id()?;
        let asked = convert::known(request.into_inner())?;
        let changes = self.list_changes(&caller, reader, asked).await?;
        Ok(Response::new(changes.into()))
    }

    async fn list_after(
        &self,
        request: Request<pb::ListAfterRequest>,
    ) -> Result<Response<pb::ListAfterResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let messages = self.list_after(request.into_inner()).await?;
        let messages = messages.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListAfterResponse { messages }))
    }

    async fn get_list_states(
        &self,
        request: Request<pb::GetListStatesRequest>,
    ) -> Result<Response<pb::GetListStatesResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let rows = convert::rows(request.into_inner())?;
        let states = self.list_states(user, rows).await?;
        let rows = states.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::GetListStatesResponse { rows }))
    }

    async fn mark_read(
        &self,
        request: Request<pb::MarkReadRequest>,
    ) -> Result<Response<pb::MarkReadResponse>, Status> {
        let caller = Caller::open(&request)?;
        let reader = caller.user_id()?;
        let read = self.mark_read(caller, reader, request.into_inner().target).await?;
        let Read { read_seq, has_advanced } = read;
        Ok(Response::new(pb::MarkReadResponse { read_seq, has_advanced }))
    }

    async fn mark_delivered(
        &self,
        request: Request<pb::MarkDeliveredRequest>,
    ) -> Result<Response<pb::MarkDeliveredResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let ids = convert::delivered(&request.into_inner())?;
        let delivered = self.mark_delivered(&caller, user, &ids).await?;
        let message_ids = delivered.iter().map(ToString::to_string).collect();
        Ok(Response::new(pb::MarkDeliveredResponse { message_ids }))
    }

    async fn catch_up_delivered(
        &self,
        request: Request<pb::CatchUpDeliveredRequest>,
    ) -> Result<Response<pb::CatchUpDeliveredResponse>, Status> {
        let caller = Caller::open(&request)?;
        let user = caller.user_id()?;
        let advanced_count = self.catch_up_delivered(&caller, user).await?;
        Ok(Response::new(pb::CatchUpDeliveredResponse { advanced_count }))
    }

    async fn send_system_message(
        &self,
        request: Request<pb::SendSystemMessageRequest>,
    ) -> Result<Response<pb::SendSystemMessageResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let new = NewSystemMessage::parse(request.into_inner(), self.max_content_length.get())?;
        let sent = self.send_system(caller, new).await?;
        Ok(Response::new(pb::SendSystemMessageResponse {
            message: Some(sent.message.into()),
            is_repetition: sent.is_repetition,
        }))
    }

    async fn edit_message(
        &self,
        request: Request<pb::EditMessageRequest>,
    ) -> Result<Response<pb::EditMessageResponse>, Status> {
        let (changer, request) = changer(request, |request| &request.message_id)?;
        let content = convert::new_content(request.content, self.max_content_length.get())?;
        let message = Some(self.edit(changer, content).await?.into());
        Ok(Response::new(pb::EditMessageResponse { message }))
    }

    async fn delete_message(
        &self,
        request: Request<pb::DeleteMessageRequest>,
    ) -> Result<Response<pb::DeleteMessageResponse>, Status> {
        let (changer, request) = changer(request, |request| &request.message_id)?;
        let deleted = if request.for_caller_alone {
            self.delete_for_caller(changer).await?
        } else {
            self.delete(changer).await?
        };
        let message = Some(convert::left_of(&deleted));
        Ok(Response::new(pb::DeleteMessageResponse { message }))
    }

    async fn add_reaction(
        &self,
        request: Request<pb::AddReactionRequest>,
    ) -> Result<Response<pb::AddReactionResponse>, Status> {
        let (changer, request) = changer(request, |request| &request.message_id)?;
        let reaction = convert::reaction(&request.reaction)?;
        let message = Some(self.react(changer, reaction).await?.into());
        Ok(Response::new(pb::AddReactionResponse { message }))
    }

    async fn remove_reaction(
        &self,
        request: Request<pb::RemoveReactionRequest>,
    ) -> Result<Response<pb::RemoveReactionResponse>, Status> {
        let (changer, request) = changer(request, |request| &request.message_id)?;
        let reaction = convert::reaction(&request.reaction)?;
        let message = Some(self.take_back(changer, reaction).await?.into());
        Ok(Response::new(pb::RemoveReactionResponse { message }))
    }

    async fn search_messages(
        &self,
        request: Request<pb::SearchMessagesRequest>,
    ) -> Result<Response<pb::SearchMessagesResponse>, Status> {
        let caller = Caller::open(&request)?;
        let reader = caller.user_id()?;
        let found = self.search(&caller, reader, request.into_inner()).await?;
        Ok(Response::new(convert::found(found)))
    }
}

/// Opens a call that changes a message.
fn changer<T>(request: Request<T>, message: fn(&T) -> &String) -> Result<(Changer, T), Status> {
    let caller = Caller::open(&request)?;
    let user = caller.user_id()?;
    let request = request.into_inner();
    let message = convert::id("message_id", message(&request))?;
    Ok((Changer { caller, user, message }, request))
}
