//! Starts the service for a test, and the profiles it needs: a map behind the user service's contract,
//! so that these tests need no other service.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_auth::{Config, Otp, Provider, Service, Token};
use chat_kit::{
    caller::Caller,
    client::{Channel, channel},
    config::{Grpc, Mongo, Secret, SigningSecret, Stop, Telemetry, Upstream},
    error,
    id::UserId,
    server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    CheckSessionRequest, CheckSessionResponse, Device, FindUserRequest, FindUserResponse,
    GetUserRequest, GetUserResponse, GetUsersRequest, GetUsersResponse, Login, OtpPurpose,
    RevokeSessionRequest, RevokeSessionResponse, SendOtpRequest, UpsertProfileRequest,
    UpsertProfileResponse, User, VerifyLoginRequest, VerifyRegistrationRequest,
    auth_service_client::AuthServiceClient,
    user_service_server::{UserService, UserServiceServer},
};
use tonic::{Request, Response, Status, codegen::tokio_stream::wrappers::TcpListenerStream};

/// The secret that the service under test signs with.
pub const SECRET: &str = "0c5b3b0c4f0f4f6f9a2d8a51c6f8e7d1";

/// Returns the address of a MongoDB for tests.
async fn mongodb_uri() -> String {
    chat_local::testing::servers().await.mongodb_uri.clone()
}

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
    let users = Users::default();
    let life = Lifecycle::new();
    let mut config = Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: Mongo {
            uri: Secret::new(&mongodb_uri().await),
            database: Some(format!("test_auth_{}", UserId::new())),
        },
        telemetry: Telemetry::default(),
        token: Token::new(SigningSecret::new(SECRET).expect("long enough")),
        otp: Otp { echo: true, ..Otp::new(Provider::Log) },
        user: Upstream::new(serve_users(users.clone(), life.clone()).await),
    };
    change(&mut config);
    start(config, users, life).await
}

async fn start(config: Config, users: Users, life: Lifecycle) -> Auth {
    let service = Service::connect(&config, None).await.expect("connected");
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (served, serving) = (config.clone(), life.clone());
    life.spawn("grpc", async move { service.serve(listener, &served, &serving).await });
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
        let request = VerifyRegistrationRequest {
            otp_session_id: sent.session_id.clone(),
            code: sent.code.clone(),
            phone: phone.to_owned(),
            name: name.to_owned(),
            device: Some(device("")),
        };
        let mut client = self.client.clone();
        let answer = client.verify_registration(as_gateway(request)).await?;
        Ok(answer.into_inner().login.expect("a login"))
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

/// The profiles of a test, by the id of their account.
#[derive(Clone, Default)]
pub struct Users {
    profiles: Arc<Mutex<HashMap<String, User>>>,
    is_down: Arc<AtomicBool>,
}

impl Users {
    /// Returns how many profiles there are.
    pub fn count(&self) -> usize {
        self.profiles().len()
    }

    /// Returns the name in a profile.
    pub fn name(&self, id: &str) -> String {
        self.profiles()[id].name.clone()
    }

    /// Has the service fail or work.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    fn profiles(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.profiles.lock().expect("no test panics with the lock")
    }
}

#[tonic::async_trait]
impl UserService for Users {
    async fn upsert_profile(
        &self,
        request: Request<UpsertProfileRequest>,
    ) -> Result<Response<UpsertProfileResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("switched off"));
        }
        let request = request.into_inner();
        let mut profiles = self.profiles();
        let user = profiles.entry(request.user_id.clone()).or_insert_with(|| User {
            id: request.user_id,
            name: request.phone.clone(),
            phone: Some(request.phone),
            ..User::default()
        });
        if let Some(name) = request.name {
            user.name = name;
        }
        let user = Some(user.clone());
        Ok(Response::new(UpsertProfileResponse { user }))
    }

    async fn get_user(
        &self,
        _: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        Err(Status::unimplemented("not called by this service"))
    }

    async fn get_users(
        &self,
        _: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        Err(Status::unimplemented("not called by this service"))
    }

    async fn find_user(
        &self,
        _: Request<FindUserRequest>,
    ) -> Result<Response<FindUserResponse>, Status> {
        Err(Status::unimplemented("not called by this service"))
    }
}

async fn serve_users(users: Users, life: Lifecycle) -> tonic::transport::Uri {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stopping = life.clone();
    life.spawn("users", async move {
        tonic::transport::Server::builder()
            .add_service(UserServiceServer::new(users))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                stopping.stopping().await;
            })
            .await?;
        Ok(())
    });
    format!("http://{address}").parse().expect("an address")
}
