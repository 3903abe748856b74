//! The gRPC surface of the call service: open the caller, parse, call the use case, wrap.

use std::time::Duration;

use bson::DateTime;
use chat_kit::caller::Caller;
use chat_proto::v1::{
    AddCandidateRequest, AddCandidateResponse, AnswerCallRequest, AnswerCallResponse,
    AttachSocketRequest, AttachSocketResponse, DeclineCallRequest, DeclineCallResponse,
    DetachSocketRequest, DetachSocketResponse, EndCallRequest, EndCallResponse,
    GetIceServersRequest, GetIceServersResponse, ListCallsRequest, ListCallsResponse,
    NoteRungRequest, NoteRungResponse, PlaceCallRequest, PlaceCallResponse, RenewCallsRequest,
    RenewCallsResponse, call_service_server::CallService,
};
use tonic::{Request, Response, Status};

use crate::{Service, convert, socket::Attached};

#[tonic::async_trait]
impl CallService for Service {
    async fn place_call(
        &self,
        request: Request<PlaceCallRequest>,
    ) -> Result<Response<PlaceCallResponse>, Status> {
        let caller = Caller::open(&request)?;
        let new = convert::new_call(request.into_inner(), &caller, &self.limits)?;
        let call = Some(self.place(&caller, new, DateTime::now()).await?.into());
        Ok(Response::new(PlaceCallResponse { call }))
    }

    async fn answer_call(
        &self,
        request: Request<AnswerCallRequest>,
    ) -> Result<Response<AnswerCallResponse>, Status> {
        let caller = Caller::open(&request)?;
        let AnswerCallRequest { call_id, sdp, socket_id } = request.into_inner();
        let by = convert::party(&caller, socket_id)?;
        let answer = convert::description(sdp, &self.limits)?;
        let call = self.answer(&call_id.parse()?, &by, &answer, DateTime::now()).await?;
        Ok(Response::new(AnswerCallResponse { call: Some(call.into()) }))
    }

    async fn decline_call(
        &self,
        request: Request<DeclineCallRequest>,
    ) -> Result<Response<DeclineCallResponse>, Status> {
        let by = convert::ender(&Caller::open(&request)?)?;
        let id = request.into_inner().call_id.parse()?;
        let call = Some(self.decline(&id, &by, DateTime::now()).await?.into());
        Ok(Response::new(DeclineCallResponse { call }))
    }

    async fn add_candidate(
        &self,
        request: Request<AddCandidateRequest>,
    ) -> Result<Response<AddCandidateResponse>, Status> {
        let caller = Caller::open(&request)?;
        let AddCandidateRequest { call_id, candidate, socket_id } = request.into_inner();
        let by = convert::party(&caller, socket_id)?;
        let candidate = convert::candidate(candidate, &self.limits)?;
        let (id, now) = (call_id.parse()?, DateTime::now());
        self.add_candidate(&caller, &id, &by, &candidate, now).await?;
        Ok(Response::new(AddCandidateResponse {}))
    }

    async fn end_call(
        &self,
        request: Request<EndCallRequest>,
    ) -> Result<Response<EndCallResponse>, Status> {
        let caller = Caller::open(&request)?;
        let hang_up = convert::hang_up(request.into_inner(), &caller)?;
        let call = Some(self.hang_up(&hang_up, DateTime::now()).await?.into());
        Ok(Response::new(EndCallResponse { call }))
    }

    async fn list_calls(
        &self,
        request: Request<ListCallsRequest>,
    ) -> Result<Response<ListCallsResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let wanted = convert::wanted(request.into_inner(), &self.limits)?;
        Ok(Response::new(self.list(user, &wanted).await?.into()))
    }

    async fn get_ice_servers(
        &self,
        request: Request<GetIceServersRequest>,
    ) -> Result<Response<GetIceServersResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        Ok(Response::new(self.ice.answer(user, DateTime::now())))
    }

    async fn renew_calls(
        &self,
        request: Request<RenewCallsRequest>,
    ) -> Result<Response<RenewCallsResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let (held, unknown) = convert::held(request.into_inner())?;
        let released = self.renew(held, DateTime::now()).await?;
        let released = released.into_iter().map(Into::into).chain(unknown).collect();
        Ok(Response::new(RenewCallsResponse { released }))
    }

    async fn detach_socket(
        &self,
        request: Request<DetachSocketRequest>,
    ) -> Result<Response<DetachSocketResponse>, Status> {
        let user = Caller::open(&request)?.user_id()?;
        let DetachSocketRequest { socket_id, unheard_millis } = request.into_inner();
        let socket_id = convert::socket_id(socket_id)?;
        let unheard = Duration::from_millis(unheard_millis.into());
        self.detach(user, &socket_id, unheard, DateTime::now()).await?;
        Ok(Response::new(DetachSocketResponse {}))
    }

    async fn attach_socket(
        &self,
        request: Request<AttachSocketRequest>,
    ) -> Result<Response<AttachSocketResponse>, Status> {
        let caller = Caller::open(&request)?;
        let AttachSocketRequest { socket_id, may_repeat } = request.into_inner();
        let by = convert::party(&caller, socket_id)?;
        let Attached { call, missed } = self.attach(&by, may_repeat, DateTime::now()).await?;
        Ok(Response::new(AttachSocketResponse { call: call.map(Into::into), missed }))
    }

    async fn note_rung(
        &self,
        request: Request<NoteRungRequest>,
    ) -> Result<Response<NoteRungResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        if let Some((id, sessions)) = convert::rung(request.into_inner())? {
            self.store.calls().note_rung(&id, &sessions).await?;
        }
        Ok(Response::new(NoteRungResponse {}))
    }
}
