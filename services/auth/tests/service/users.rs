//! The profiles that the service under test needs: a map behind the user service's contract, so that
//! these tests need no other service.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use chat_kit::{caller::Caller, server, shutdown::Lifecycle};
use chat_proto::v1::{
    self as pb, FindUserIdsByNameRequest, FindUserIdsByNameResponse, UpsertProfileRequest,
    UpsertProfileResponse, User,
    user_service_server::{UserService, UserServiceServer},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, codegen::tokio_stream::wrappers::TcpListenerStream};

use crate::support::eventually;

/// The profiles of a test, by the id of their account.
#[derive(Clone, Default)]
pub struct Users {
    profiles: Arc<Mutex<HashMap<String, User>>>,
    is_down: Arc<AtomicBool>,
    is_held: Arc<watch::Sender<bool>>,
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

    /// Has searches for names wait, or go on.
    pub fn set_held(&self, is_held: bool) {
        self.is_held.send_replace(is_held);
    }

    /// Waits until somebody's search is held.
    pub async fn until_searched(&self) {
        eventually(async || (self.is_held.receiver_count() > 0).then_some(())).await;
    }

    fn profiles(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.profiles.lock().expect("no test panics with the lock")
    }
}

/// Implements the service: what the service under test does not call is not there.
macro_rules! without {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl UserService for Users {
            $(
                async fn $name(
                    &self,
                    _: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    Err(Status::unimplemented("not called by this service"))
                }
            )*

            async fn upsert_profile(
                &self,
                request: Request<UpsertProfileRequest>,
            ) -> Result<Response<UpsertProfileResponse>, Status> {
                self.upsert(request)
            }

            async fn find_user_ids_by_name(
                &self,
                request: Request<FindUserIdsByNameRequest>,
            ) -> Result<Response<FindUserIdsByNameResponse>, Status> {
                self.find_by_name(request).await
            }
        }
    };
}

without! {
    get_user(GetUserRequest) -> GetUserResponse;
    get_users(GetUsersRequest) -> GetUsersResponse;
    find_user(FindUserRequest) -> FindUserResponse;
    update_profile(UpdateProfileRequest) -> UpdateProfileResponse;
    list_users(ListUsersRequest) -> ListUsersResponse;
    find_users_by_phones(FindUsersByPhonesRequest) -> FindUsersByPhonesResponse;
    get_presence(GetPresenceRequest) -> GetPresenceResponse;
    list_partner_presences(ListPartnerPresencesRequest) -> ListPartnerPresencesResponse;
    count_online(CountOnlineRequest) -> CountOnlineResponse;
    restate_presence(RestatePresenceRequest) -> RestatePresenceResponse;
    register_sockets(RegisterSocketsRequest) -> RegisterSocketsResponse;
    unregister_sockets(UnregisterSocketsRequest) -> UnregisterSocketsResponse;
    renew_gateway(RenewGatewayRequest) -> RenewGatewayResponse;
}

impl Users {
    fn upsert(
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

    async fn find_by_name(
        &self,
        request: Request<FindUserIdsByNameRequest>,
    ) -> Result<Response<FindUserIdsByNameResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("switched off"));
        }
        self.is_held.subscribe().wait_for(|is_held| !is_held).await.expect("a sender");
        let name = request.into_inner().name;
        let profiles = self.profiles();
        let named = profiles.values().filter(|user| user.name == name);
        let mut user_ids: Vec<String> = named.map(|user| user.id.clone()).collect();
        user_ids.sort();
        user_ids.truncate(2);
        Ok(Response::new(FindUserIdsByNameResponse { user_ids }))
    }
}

/// Serves the profiles.
pub async fn serve_users(users: Users, life: Lifecycle) -> tonic::transport::Uri {
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
