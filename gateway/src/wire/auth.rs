//! Logging in: one-time passwords, passwords, and the session that they open.

use axum::{http::StatusCode, response::Response};
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Dialect, envelope, fields, user};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// A request for a one-time password.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = SendOtpRequest)]
pub struct SendOtp {
    #[serde(deserialize_with = "fields::text")]
    phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    name: Option<String>,
}

impl SendOtp {
    /// Makes the canonical request.
    pub fn into_request(
        self,
        purpose: pb::OtpPurpose,
        device: pb::Device,
    ) -> Result<pb::SendOtpRequest, ApiError> {
        Ok(pb::SendOtpRequest {
            phone: fields::required("phone", [self.phone])?,
            purpose: purpose.into(),
            name: fields::first([self.name]),
            device: Some(device),
        })
    }
}

/// A one-time password with the account that it opens or makes. Not to be printed.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = VerifyOtpRequest)]
pub struct VerifyOtp {
    #[serde(deserialize_with = "fields::text")]
    otp: Option<String>,
    session_id: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    phone: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    password: Option<String>,
}

impl VerifyOtp {
    /// Makes the canonical request of a login.
    pub fn into_login(self, device: pb::Device) -> Result<pb::VerifyLoginRequest, ApiError> {
        Ok(pb::VerifyLoginRequest {
            otp_session_id: fields::required("sessionId", [self.session_id])?,
            code: fields::required("otp", [self.otp])?,
            device: Some(device),
        })
    }

    /// Makes the canonical request of a registration.
    pub fn into_registration(
        self,
        device: pb::Device,
    ) -> Result<pb::VerifyRegistrationRequest, ApiError> {
        Ok(pb::VerifyRegistrationRequest {
            otp_session_id: fields::required("sessionId", [self.session_id])?,
            code: fields::required("otp", [self.otp])?,
            phone: fields::required("phone", [self.phone])?,
            name: fields::required("name", [self.name])?,
            password: self.password,
            device: Some(device),
        })
    }
}

/// A password with the name or phone that it belongs to. Not to be printed.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = PasswordLoginRequest)]
pub struct PasswordLogin {
    #[serde(deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    password: Option<String>,
}

impl PasswordLogin {
    /// Makes the canonical request.
    pub fn into_request(self, device: pb::Device) -> Result<pb::VerifyPasswordRequest, ApiError> {
        Ok(pb::VerifyPasswordRequest {
            identifier: fields::required("name", [self.name])?,
            password: fields::required("password", [self.password])?,
            device: Some(device),
        })
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OtpSent<'a> {
    session_id: &'a str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp: Option<&'a str>,
}

/// Answers that a one-time password is on its way.
#[must_use]
pub fn otp_sent(sent: &pb::SendOtpResponse) -> Response {
    envelope::ok(OtpSent {
        session_id: &sent.otp_session_id,
        message: "the code is on its way",
        otp: sent.code.as_deref(),
    })
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoggedIn<'a, T> {
    token: &'a str,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_new_user: Option<bool>,
    #[schema(inline)]
    user: T,
}

/// Answers with the session that a login opened.
pub fn logged_in(dialect: Dialect, login: Option<&pb::Login>) -> Result<Response, ApiError> {
    opened(dialect, login, StatusCode::OK, None)
}

/// Answers with the session that a registration opened.
pub fn registered(dialect: Dialect, login: Option<&pb::Login>) -> Result<Response, ApiError> {
    opened(dialect, login, StatusCode::CREATED, Some(true))
}

fn opened(
    dialect: Dialect,
    login: Option<&pb::Login>,
    status: StatusCode,
    is_new_user: Option<bool>,
) -> Result<Response, ApiError> {
    let login = login.ok_or_else(|| ApiError::incomplete("login"))?;
    let user = login.user.as_ref();
    let user = user.ok_or_else(|| ApiError::incomplete("login.user"))?;
    let (token, session_id) = (login.token.as_str(), login.session_id.as_str());
    Ok(match dialect {
        Dialect::Unified => envelope::with_status(
            status,
            LoggedIn {
                token,
                session_id,
                expires_at: fields::iso(login.expires_at.as_ref()),
                is_new_user,
                user: user::Unified::from(user),
            },
        ),
        _ => envelope::with_status(
            status,
            LoggedIn {
                token,
                session_id,
                expires_at: None,
                is_new_user,
                user: user::AuthUser::from(user),
            },
        ),
    })
}

/// Answers that the session is over.
#[must_use]
pub fn logged_out() -> Response {
    envelope::ok(envelope::Said { message: "logged out" })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("OtpSentAnswer", [Form::same::<OtpSent<'_>>()]);
    let old = Form::old::<LoggedIn<'_, user::AuthUser<'_>>>();
    let unified = Form::unified::<LoggedIn<'_, user::Unified<'_>>>();
    schemas.answer("LoginAnswer", [old, unified]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> pb::Device {
        pb::Device::default()
    }

    type Remove = fn(&mut VerifyOtp);

    #[test]
    fn missing_fields_are_named() {
        let error =
            SendOtp::default().into_request(pb::OtpPurpose::Login, device()).expect_err("no phone");
        assert_eq!((error.error.as_ref(), error.status.as_u16()), ("missing", 400));
        assert!(error.message.contains("phone"), "{error}");

        let full = VerifyOtp {
            otp: Some("123456".to_owned()),
            session_id: Some("s".to_owned()),
            name: Some("Ada".to_owned()),
            phone: Some("+15550000001".to_owned()),
            password: None,
        };
        let removals: [(Remove, &str); 4] = [
            (|body| body.otp = None, "otp"),
            (|body| body.session_id = Some(String::new()), "sessionId"),
            (|body| body.name = Some(String::new()), "name"),
            (|body| body.phone = None, "phone"),
        ];
        for (remove, field) in removals {
            let mut body = full.clone();
            remove(&mut body);
            let error = body.into_registration(device()).expect_err(field);
            assert_eq!(error.error, "missing");
            assert!(error.message.contains(field), "{error}");
        }
        assert!(full.clone().into_login(device()).is_ok());
        assert!(full.into_registration(device()).is_ok());
    }

    #[test]
    fn scalars_are_texts() {
        let body = serde_json::json!({
            "otp": 123_456, "sessionId": "s", "name": true, "phone": 15_550_000_001_i64,
        });
        let body: VerifyOtp = fields::read(body).expect("a body");
        let request = body.into_registration(device()).expect("a request");
        assert_eq!(request.code, "123456");
        assert_eq!((request.name.as_str(), request.phone.as_str()), ("true", "15550000001"));
        for field in ["otp", "name", "phone", "sessionId"] {
            let body = serde_json::json!({ field: { "$ne": null } });
            let Err(error) = fields::read::<VerifyOtp>(body) else { panic!("{field} is taken") };
            assert_eq!(error.error, "validation_error");
        }
    }

    #[test]
    fn login_by_password_names_what_is_missing() {
        for (body, field) in [
            (serde_json::json!({}), "name"),
            (serde_json::json!({ "name": "", "password": "secret" }), "name"),
            (serde_json::json!({ "name": "Ada" }), "password"),
            (serde_json::json!({ "name": "Ada", "password": "" }), "password"),
            (serde_json::json!({ "name": "Ada", "password": null }), "password"),
        ] {
            let body: PasswordLogin = fields::read(body).expect("a body");
            let error = body.into_request(device()).expect_err(field);
            assert_eq!((error.error.as_ref(), error.status.as_u16()), ("missing", 400));
            assert!(error.message.contains(field), "{error}");
        }
        let body = serde_json::json!({ "name": 15_550_000_001_i64, "password": " 123456 " });
        let body: PasswordLogin = fields::read(body).expect("a body");
        let request = body.into_request(device()).expect("a request");
        assert_eq!(request.identifier, "15550000001");
        assert_eq!(request.password, " 123456 ");
        for field in ["name", "password"] {
            let body = serde_json::json!({ field: { "$ne": null } });
            assert!(fields::read::<PasswordLogin>(body).is_err(), "{field}");
        }
    }

    #[test]
    fn password_of_a_registration_may_be_a_number_or_absent() {
        let registration = |password: serde_json::Value| {
            let body = serde_json::json!({
                "otp": "123456", "sessionId": "s", "name": "Ada", "phone": "+1", "password": password,
            });
            let body: VerifyOtp = fields::read(body).expect("a body");
            body.into_registration(device()).expect("a request").password
        };
        assert_eq!(registration(serde_json::json!(123_456)).as_deref(), Some("123456"));
        assert_eq!(registration(serde_json::json!(" p ")).as_deref(), Some(" p "));
        assert_eq!(registration(serde_json::json!(null)), None);
    }

    #[test]
    fn login_without_its_parts_is_an_error() {
        let login = pb::Login::default();
        for login in [None, Some(&login)] {
            let error = logged_in(Dialect::Flutter, login).expect_err("incomplete");
            assert_eq!(error.error, "server_error");
        }
    }
}
