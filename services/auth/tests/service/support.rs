//! Starts the service for a test, and calls it.

use std::time::Duration;

use chat_auth::{Config, Otp, Passwords, Provider, Service, Token};
use chat_kit::{
    caller::Caller,
    client::{Channel, channel},
    config::{Grpc, Mongo, Nats, Secret, SigningSecret, Stop, Telemetry, Upstream},
    error,
    id::UserId,
    server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    CheckSessionRequest, CheckSessionResponse, CheckSessionsRequest, DeadSession, Device,
    HeldSession, Login, OtpPurpose, RevokeSessionRequest, RevokeSessionResponse, SendOtpRequest,
    VerifyLoginRequest, VerifyPasswordRequest, VerifyRegistrationRequest,
    auth_service_client::AuthServiceClient,
};
use mongodb::Database;
use tonic::{Request, Status};

use crate::users::{Users, serve_users};

/// The secret that the service under test signs with.
pub const SECRET: &str = "0c5b3b0c4f0f4f6f9a2d8a51c6f8e7d1";

/// A running auth service.
pub struct Auth {
    pub config: Config,
    pub users: Users,
    client: AuthServiceClient<Channel>,
    life: Lifecycle,
}

impl Drop for Auth {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// Starts the service with a database of its own. Codes come back in the answers.
pub async fn auth() -> Auth {
    auth_with(|_| ()).await
}

/// Starts the service with a changed configuration.
pub async fn auth_with(change: impl FnOnce(&mut Config)) -> Auth {
    let servers = chat_local::testing::servers().await;
    let users = Users::default();
    let life = Lifecycle::new();
    let mut config = Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: Mongo {
            uri: Secret::new(&servers.mongodb_uri),
            database: Some(format!("test_auth_{}", UserId::new())),
        },
        nats: Nats::new(&servers.nats_url),
        telemetry: Telemetry::default(),
        token: Token::new(SigningSecret::new(SECRET).expect("long enough")),
        otp: Otp { echo: true, ..Otp::new(Provider::Log) },
        password: Passwords::default(),
        user: Upstream::new(serve_users(users.clone(), life.clone()).await),
    };
    change(&mut config);
    start(config, users, life).await
}

async fn start(config: Config, users: Users, life: Lifecycle) -> Auth {
    let service = Service::connect(&config, &life, None).await.expect("connected");
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = config.clone();
    life.spawn("grpc", async move { service.serve(listener, &served).await });
    let url = format!("http://{address}").parse().expect("an address");
    Auth { client: AuthServiceClient::new(channel(&Upstream::new(url))), config, users, life }
}

/// A code with its session.
pub struct Sent {
    pub session_id: String,
    pub code: String,
}

impl Auth {
    /// Starts another replica on the same database.
    pub async fn replica(&self, change: impl FnOnce(&mut Config)) -> Auth {
        let mut config = self.config.clone();
        change(&mut config);
        start(config, self.users.clone(), Lifecycle::new()).await
    }

    /// Calls `SendOtp` as the gateway.
    pub async fn send(&self, request: SendOtpRequest) -> Result<Sent, Status> {
        let sent = self.client.clone().send_otp(as_gateway(request)).await?;
        let sent = sent.into_inner();
        Ok(Sent { session_id: sent.otp_session_id, code: sent.code.unwrap_or_default() })
    }

    /// Has a login code sent.
    pub async fn send_login(&self, phone: &str) -> Sent {
        let sent = self.send(request(phone, OtpPurpose::Login)).await;
        sent.expect("a login code")
    }

    /// Has a registration code sent.
    pub async fn send_registration(&self, phone: &str) -> Sent {
        let sent = self.send(request(phone, OtpPurpose::Registration)).await;
        sent.expect("a registration code")
    }

    /// Tries a login code from no known address.
    pub async fn verify(&self, session_id: &str, code: &str) -> Result<Login, Status> {
        self.verify_from(session_id, code, "").await
    }

    /// Tries a login code from an address.
    pub async fn verify_from(
        &self,
        session_id: &str,
        code: &str,
        address: &str,
    ) -> Result<Login, Status> {
        let request = VerifyLoginRequest {
            otp_session_id: session_id.to_owned(),
            code: code.to_owned(),
            device: Some(device(address)),
        };
        let answer = self.client.clone().verify_login(as_gateway(request)).await?;
        Ok(answer.into_inner().login.expect("a login"))
    }

    /// Logs a phone in.
    pub async fn log_in(&self, phone: &str) -> Login {
        let sent = self.send_login(phone).await;
        let login = self.verify(&sent.session_id, &sent.code).await;
        login.expect("a login")
    }

    /// Tries a registration code.
    pub async fn register(&self, sent: &Sent, phone: &str, name: &str) -> Result<Login, Status> {
        self.register_with(sent, phone, name, None).await
    }

    /// Tries a registration code, with a password.
    pub async fn register_with(
        &self,
        sent: &Sent,
        phone: &str,
        name: &str,
        password: Option<&str>,
    ) -> Result<Login, Status> {
        let request = VerifyRegistrationRequest {
            otp_session_id: sent.session_id.clone(),
            code: sent.code.clone(),
            phone: phone.to_owned(),
            name: name.to_owned(),
            device: Some(device("")),
            password: password.map(str::to_owned),
        };
        let mut client = self.client.clone();
        let answer = client.verify_registration(as_gateway(request)).await?;
        Ok(answer.into_inner().login.expect("a login"))
    }

    /// Makes an account with a password.
    pub async fn account(&self, phone: &str, name: &str, password: &str) -> Login {
        let sent = self.send_registration(phone).await;
        let registered = self.register_with(&sent, phone, name, Some(password)).await;
        registered.expect("an account")
    }

    /// Tries a password from no known address.
    pub async fn log_in_by(&self, identifier: &str, password: &str) -> Result<Login, Status> {
        self.log_in_from(identifier, password, "").await
    }

    /// Tries a password from an address.
    pub async fn log_in_from(
        &self,
        identifier: &str,
        password: &str,
        address: &str,
    ) -> Result<Login, Status> {
        let request = VerifyPasswordRequest {
            identifier: identifier.to_owned(),
            password: password.to_owned(),
            device: Some(device(address)),
        };
        let answer = self.client.clone().verify_password(as_gateway(request)).await?;
        Ok(answer.into_inner().login.expect("a login"))
    }

    /// Checks many sessions.
    pub async fn check_all(&self, sessions: Vec<HeldSession>) -> Result<Vec<DeadSession>, Status> {
        let request = as_gateway(CheckSessionsRequest { sessions });
        Ok(self.client.clone().check_sessions(request).await?.into_inner().dead)
    }

    /// Connects to the database of the service.
    pub async fn database(&self) -> Database {
        let connected = chat_kit::mongo::connect(&self.config.mongo, "test", None).await;
        connected.expect("connected")
    }

    /// Checks the session of a user's token.
    pub async fn check(
        &self,
        user_id: &str,
        session_id: Option<&str>,
    ) -> Result<CheckSessionResponse, Status> {
        let request = as_user(user_id, session_id, CheckSessionRequest {});
        let answer = self.client.clone().check_session(request).await?;
        Ok(answer.into_inner())
    }

    /// Ends the session of a user's token.
    pub async fn revoke(
        &self,
        user_id: &str,
        session_id: Option<&str>,
    ) -> Result<RevokeSessionResponse, Status> {
        let request = as_user(user_id, session_id, RevokeSessionRequest {});
        let answer = self.client.clone().revoke_session(request).await?;
        Ok(answer.into_inner())
    }

    /// Calls `VerifyPassword` as a user, who may not.
    pub async fn log_in_as_user(&self, identifier: &str, password: &str) -> Result<(), Status> {
        let (identifier, password) = (identifier.to_owned(), password.to_owned());
        let request = VerifyPasswordRequest { identifier, password, device: None };
        let request = as_user(&UserId::new().to_string(), None, request);
        self.client.clone().verify_password(request).await.map(drop)
    }

    /// Calls `SendOtp` as a user, who may not.
    pub async fn send_as_user(&self, user_id: &str) -> Result<(), Status> {
        let request = as_user(user_id, None, SendOtpRequest::default());
        self.client.clone().send_otp(request).await.map(drop)
    }
}

fn as_gateway<T>(message: T) -> Request<T> {
    Caller::service("gateway", "test").request(message)
}

fn as_user<T>(user_id: &str, session_id: Option<&str>, message: T) -> Request<T> {
    let id = user_id.parse().expect("an id");
    Caller::user(id, session_id.map(str::to_owned), "test").request(message)
}

/// Asks for a code from no known address.
pub fn request(phone: &str, purpose: OtpPurpose) -> SendOtpRequest {
    SendOtpRequest {
        phone: phone.to_owned(),
        purpose: purpose.into(),
        name: None,
        device: Some(device("")),
    }
}

/// Describes a device at an address.
pub fn device(address: &str) -> Device {
    Device {
        name: "Test".to_owned(),
        address: address.to_owned(),
        user_agent: "test/1.0".to_owned(),
    }
}

/// Returns another code than the given one.
pub fn wrong(code: &str) -> &'static str {
    if code == "111111" { "222222" } else { "111111" }
}

/// Returns the reason of a failure.
pub fn reason<T>(result: Result<T, Status>) -> String {
    match result {
        Ok(_) => "none".to_owned(),
        Err(status) => error::reason(&status).unwrap_or_else(|| status.to_string()),
    }
}

/// Tries something until it gives a value, for five seconds at most.
pub async fn eventually<T>(attempt: impl AsyncFn() -> Option<T>) -> T {
    let found = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.expect("it happens within five seconds")
}
