//! One-time passwords, passwords, sessions, and the caller's own profile.

use axum::{extract::State, response::Response};
use chat_kit::caller::Caller;
use chat_proto::v1::{GetUserRequest, OtpPurpose, RevokeSessionRequest};

use super::{Body, FromDevice, RequestId};
use crate::{
    auth::Identity,
    clients::held,
    error::ApiError,
    state::AppState,
    wire::{Declared, auth, user},
};

/// Name under which the gateway calls for somebody who is not logged in.
const SERVICE: &str = "gateway";

/// Sends a code to register with.
#[utoipa::path(
    post,
    path = "/api/auth/send-otp",
    tag = "auth",
    security(()),
    request_body = auth::SendOtp,
    responses((status = 200, description = "The code is on its way", body = ref("#/components/schemas/OtpSentAnswer"))),
    extensions(("x-reasons" = json!(["400 missing", "400 invalid_phone", "409 phone_taken", "429 too_many_otp_requests", "503 otp_not_delivered"]))),
)]
pub async fn send_otp(
    State(state): State<AppState>,
    RequestId(request_id): RequestId,
    FromDevice(device): FromDevice,
    Body(body): Body<auth::SendOtp>,
) -> Result<Response, ApiError> {
    let request = body.into_request(OtpPurpose::Registration, device)?;
    let request = Caller::service(SERVICE, &request_id).request(request);
    let sent = state.clients.auth.clone().send_otp(request).await?;
    Ok(auth::otp_sent(sent.get_ref()))
}

/// Sends a code to log in with.
#[utoipa::path(
    post,
    path = "/api/auth/send-otp-login",
    tag = "auth",
    security(()),
    request_body = auth::SendOtp,
    responses((status = 200, description = "The code is on its way", body = ref("#/components/schemas/OtpSentAnswer"))),
    extensions(("x-reasons" = json!(["400 missing", "400 invalid_phone", "429 too_many_otp_requests", "503 otp_not_delivered"]))),
)]
pub async fn send_otp_login(
    State(state): State<AppState>,
    RequestId(request_id): RequestId,
    FromDevice(device): FromDevice,
    Body(body): Body<auth::SendOtp>,
) -> Result<Response, ApiError> {
    let request = body.into_request(OtpPurpose::Login, device)?;
    let request = Caller::service(SERVICE, &request_id).request(request);
    let sent = state.clients.auth.clone().send_otp(request).await?;
    Ok(auth::otp_sent(sent.get_ref()))
}

/// Makes an account with a code.
#[utoipa::path(
    post,
    path = "/api/auth/verify-otp-register",
    tag = "auth",
    security(()),
    request_body = auth::VerifyOtp,
    responses((status = 201, description = "The account is made, and a session opened", body = ref("#/components/schemas/LoginAnswer"))),
    extensions(("x-reasons" = json!(["400 missing", "400 invalid_phone", "400 invalid_otp_format", "400 invalid_otp", "400 expired_otp", "409 phone_taken"]))),
)]
pub async fn verify_otp_register(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    RequestId(request_id): RequestId,
    FromDevice(device): FromDevice,
    Body(body): Body<auth::VerifyOtp>,
) -> Result<Response, ApiError> {
    let request = body.into_registration(device)?;
    let request = Caller::service(SERVICE, &request_id).request(request);
    let opened = state.clients.auth.clone().verify_registration(request).await?;
    auth::registered(dialect, opened.get_ref().login.as_ref())
}

/// Logs in with a code.
#[utoipa::path(
    post,
    path = "/api/auth/verify-otp-login",
    tag = "auth",
    security(()),
    request_body = auth::VerifyOtp,
    responses((status = 200, description = "A session is opened", body = ref("#/components/schemas/LoginAnswer"))),
    extensions(("x-reasons" = json!(["400 missing", "400 invalid_otp_format", "400 invalid_otp", "400 expired_otp"]))),
)]
pub async fn verify_otp_login(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    RequestId(request_id): RequestId,
    FromDevice(device): FromDevice,
    Body(body): Body<auth::VerifyOtp>,
) -> Result<Response, ApiError> {
    let request = body.into_login(device)?;
    let request = Caller::service(SERVICE, &request_id).request(request);
    let opened = state.clients.auth.clone().verify_login(request).await?;
    auth::logged_in(dialect, opened.get_ref().login.as_ref())
}

/// Logs in with a password.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "auth",
    security(()),
    request_body = auth::PasswordLogin,
    responses((status = 200, description = "A session is opened", body = ref("#/components/schemas/LoginAnswer"))),
    extensions(("x-reasons" = json!(["400 missing", "401 invalid_credentials"]))),
)]
pub async fn login(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    RequestId(request_id): RequestId,
    FromDevice(device): FromDevice,
    Body(body): Body<auth::PasswordLogin>,
) -> Result<Response, ApiError> {
    let request = body.into_request(device)?;
    let request = Caller::service(SERVICE, &request_id).request(request);
    let opened = state.clients.auth.clone().verify_password(request).await?;
    auth::logged_in(dialect, opened.get_ref().login.as_ref())
}

/// Ends the caller's session. Its sockets, here as elsewhere, end with the event of it.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "auth",
    responses((status = 200, description = "The session is over", body = ref("#/components/schemas/SaidAnswer"))),
    extensions(("x-reasons" = json!(["400 no_session"]))),
)]
pub async fn logout(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let request = identity.caller.request(RevokeSessionRequest {});
    state.clients.auth.clone().revoke_session(request).await?;
    if let Some(session) = identity.session() {
        state.sessions.revoke(session);
    }
    Ok(auth::logged_out())
}

/// Answers with the caller's own profile.
#[utoipa::path(
    get,
    path = "/api/auth/me",
    tag = "auth",
    responses((status = 200, description = "The caller's own profile", body = ref("#/components/schemas/OwnProfileAnswer"))),
)]
pub async fn me(
    State(state): State<AppState>,
    Declared(dialect): Declared,
    identity: Identity,
) -> Result<Response, ApiError> {
    let request = GetUserRequest { user_id: identity.user_id.to_string() };
    let call = || {
        let request = identity.caller.request(request.clone());
        let mut client = state.clients.user.clone();
        async move { client.get_user(request).await }
    };
    // Any failure here makes the mobile client forget its session.
    let found = held(state.config.http.hold, call).await?;
    let user = found.into_inner().user.ok_or_else(|| ApiError::incomplete("user"))?;
    Ok(user::own_profile(dialect, &user))
}
