//! The gRPC face: opens the caller, checks the request, calls the use case, wraps its result.

use chat_kit::{caller::Caller, time};
use chat_proto::v1::{
    CheckSessionRequest, CheckSessionResponse, CheckSessionsRequest, CheckSessionsResponse,
    RevokeSessionRequest, RevokeSessionResponse, SendOtpRequest, SendOtpResponse,
    VerifyLoginRequest, VerifyLoginResponse, VerifyPasswordRequest, VerifyPasswordResponse,
    VerifyRegistrationRequest, VerifyRegistrationResponse, auth_service_server::AuthService,
};
use tonic::{Request, Response, Status};

use crate::{Service, convert, error::Error};

#[tonic::async_trait]
impl AuthService for Service {
    async fn send_otp(
        &self,
        request: Request<SendOtpRequest>,
    ) -> Result<Response<SendOtpResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let sent = self.send(request.into_inner().try_into()?).await?;
        Ok(Response::new(SendOtpResponse { otp_session_id: sent.otp_session_id, code: sent.code }))
    }

    async fn verify_login(
        &self,
        request: Request<VerifyLoginRequest>,
    ) -> Result<Response<VerifyLoginResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let attempt = request.into_inner().try_into()?;
        let login = Some(self.log_in(attempt, &caller.request_id).await?.into());
        Ok(Response::new(VerifyLoginResponse { login }))
    }

    async fn verify_registration(
        &self,
        request: Request<VerifyRegistrationRequest>,
    ) -> Result<Response<VerifyRegistrationResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let registration = request.into_inner().try_into()?;
        let login = Some(self.register(registration, &caller.request_id).await?.into());
        Ok(Response::new(VerifyRegistrationResponse { login }))
    }

    async fn verify_password(
        &self,
        request: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let login = request.into_inner().try_into()?;
        let login = Some(self.log_in_by_password(login, &caller.request_id).await?.into());
        Ok(Response::new(VerifyPasswordResponse { login }))
    }

    async fn check_session(
        &self,
        request: Request<CheckSessionRequest>,
    ) -> Result<Response<CheckSessionResponse>, Status> {
        let held = convert::held_by(&Caller::open(&request)?)?;
        let verdict = self.check(&[held]).await?.pop();
        let expires_at = verdict.unwrap_or(Err(Error::InvalidSession))?;
        Ok(Response::new(CheckSessionResponse { expires_at: expires_at.map(time::to_timestamp) }))
    }

    async fn check_sessions(
        &self,
        request: Request<CheckSessionsRequest>,
    ) -> Result<Response<CheckSessionsResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let held = convert::held(request.get_ref())?;
        let verdicts = self.check(&held).await?.into_iter().enumerate();
        let dead = verdicts.filter_map(|(index, verdict)| convert::dead(index, verdict)).collect();
        Ok(Response::new(CheckSessionsResponse { dead }))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let caller = Caller::open(&request)?;
        let held = convert::held_by(&caller)?;
        self.end_session(held.user_id, held.session, &caller.request_id).await?;
        Ok(Response::new(RevokeSessionResponse {}))
    }
}
