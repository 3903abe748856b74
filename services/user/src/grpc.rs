//! The gRPC surface of the user service: open the caller, parse, call the use case, wrap.

use chat_kit::caller::Caller;
use chat_proto::v1::{
    CountOnlineRequest, CountOnlineResponse, FindUserIdsByNameRequest, FindUserIdsByNameResponse,
    FindUserRequest, FindUserResponse, FindUsersByPhonesRequest, FindUsersByPhonesResponse,
    GetPresenceRequest, GetPresenceResponse, GetUserRequest, GetUserResponse, GetUsersRequest,
    GetUsersResponse, ListPartnerPresencesRequest, ListPartnerPresencesResponse, ListUsersRequest,
    ListUsersResponse, RegisterSocketsRequest, RegisterSocketsResponse, RenewGatewayRequest,
    RenewGatewayResponse, RestatePresenceRequest, RestatePresenceResponse,
    UnregisterSocketsRequest, UnregisterSocketsResponse, UpdateProfileRequest,
    UpdateProfileResponse, UpsertProfileRequest, UpsertProfileResponse,
    user_service_server::UserService,
};
use tonic::{Request, Response, Status};

use crate::{Service, convert, visibility::Shown};

#[tonic::async_trait]
impl UserService for Service {
    async fn upsert_profile(
        &self,
        request: Request<UpsertProfileRequest>,
    ) -> Result<Response<UpsertProfileResponse>, Status> {
        let caller = Caller::open(&request)?;
        caller.require_service()?;
        let profile = convert::profile(&request.into_inner(), &self.limits)?;
        let user = self.keep_profile(&profile).await?;
        // For whom the account is: he sees himself.
        let owner = Caller::user(user.id, None, &caller.request_id);
        let user = Some(self.show(&owner, user).await?);
        Ok(Response::new(UpsertProfileResponse { user }))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let caller = Caller::open(&request)?;
        let id = convert::user_id(&request.into_inner().user_id)?;
        let user = Some(self.show(&caller, self.user(id).await?).await?);
        Ok(Response::new(GetUserResponse { user }))
    }

    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        let caller = Caller::open(&request)?;
        let ids = convert::user_ids(&request.into_inner().user_ids, &self.limits)?;
        let (users, shown) = tokio::try_join!(self.users(&ids), self.shown(&caller, &ids))?;
        let users = users.into_iter().map(|user| shown.user(user)).collect();
        Ok(Response::new(GetUsersResponse { users }))
    }

    async fn find_user(
        &self,
        request: Request<FindUserRequest>,
    ) -> Result<Response<FindUserResponse>, Status> {
        Caller::open(&request)?;
        let lookups = convert::lookups(&request.into_inner().contact);
        let user = Some(Shown::nothing().user(self.find(&lookups).await?));
        Ok(Response::new(FindUserResponse { user }))
    }

    async fn find_user_ids_by_name(
        &self,
        request: Request<FindUserIdsByNameRequest>,
    ) -> Result<Response<FindUserIdsByNameResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let ids = self.ids_by_name(&request.into_inner().name).await?;
        let user_ids = ids.iter().map(ToString::to_string).collect();
        Ok(Response::new(FindUserIdsByNameResponse { user_ids }))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        let caller = Caller::open(&request)?;
        let changes = convert::changes(request.into_inner(), &self.limits)?;
        let user = self.change_profile(caller.user_id()?, &changes).await?;
        let user = Some(self.show(&caller, user).await?);
        Ok(Response::new(UpdateProfileResponse { user }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let caller = Caller::open(&request)?;
        let wanted = convert::wanted(request.into_inner())?;
        let page = self.list(caller.user_id()?, &wanted).await?;
        let users = self.show_all(&caller, page.users).await?;
        Ok(Response::new(convert::page(users, page.next, page.total)))
    }

    async fn find_users_by_phones(
        &self,
        request: Request<FindUsersByPhonesRequest>,
    ) -> Result<Response<FindUsersByPhonesResponse>, Status> {
        let caller = Caller::open(&request)?.user_id()?;
        let phones = convert::phones(&request.into_inner().phones, &self.limits)?;
        let users = self.find_by_phones(caller, &phones).await?;
        let users = users.into_iter().map(|user| Shown::nothing().user(user)).collect();
        Ok(Response::new(FindUsersByPhonesResponse { users }))
    }

    async fn get_presence(
        &self,
        request: Request<GetPresenceRequest>,
    ) -> Result<Response<GetPresenceResponse>, Status> {
        let caller = Caller::open(&request)?;
        let ids = convert::user_ids(&request.into_inner().user_ids, &self.limits)?;
        let presences = self.presences(&caller, &ids).await?;
        Ok(Response::new(GetPresenceResponse { presences }))
    }

    async fn list_partner_presences(
        &self,
        request: Request<ListPartnerPresencesRequest>,
    ) -> Result<Response<ListPartnerPresencesResponse>, Status> {
        let caller = Caller::open(&request)?;
        let (user, limit) = (caller.user_id()?, request.get_ref().limit);
        let presences = self.partner_presences(&caller, user, limit).await?;
        Ok(Response::new(ListPartnerPresencesResponse { presences }))
    }

    async fn count_online(
        &self,
        request: Request<CountOnlineRequest>,
    ) -> Result<Response<CountOnlineResponse>, Status> {
        Caller::open(&request)?;
        let count = u32::try_from(self.count_online().await?).unwrap_or(u32::MAX);
        Ok(Response::new(CountOnlineResponse { count }))
    }

    async fn restate_presence(
        &self,
        request: Request<RestatePresenceRequest>,
    ) -> Result<Response<RestatePresenceResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let one = convert::user_id(&request.get_ref().user_id)?;
        let other = convert::user_id(&request.get_ref().other_id)?;
        self.restate_between(one, other).await?;
        Ok(Response::new(RestatePresenceResponse {}))
    }

    async fn register_sockets(
        &self,
        request: Request<RegisterSocketsRequest>,
    ) -> Result<Response<RegisterSocketsResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let gateway = convert::gateway(&request.get_ref().gateway_id)?;
        let sockets = convert::sockets(&request.get_ref().sockets)?;
        let lease = self.register(gateway, &sockets).await?;
        let (is_known, lease_millis) = (lease.is_known, convert::lease_millis(&lease));
        Ok(Response::new(RegisterSocketsResponse { is_known, lease_millis }))
    }

    async fn unregister_sockets(
        &self,
        request: Request<UnregisterSocketsRequest>,
    ) -> Result<Response<UnregisterSocketsResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        convert::gateway(&request.get_ref().gateway_id)?;
        let sockets = convert::socket_ids(&request.get_ref().socket_ids)?;
        self.unregister(&sockets).await?;
        Ok(Response::new(UnregisterSocketsResponse {}))
    }

    async fn renew_gateway(
        &self,
        request: Request<RenewGatewayRequest>,
    ) -> Result<Response<RenewGatewayResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let lease = self.renew(convert::gateway(&request.get_ref().gateway_id)?).await?;
        let (is_known, lease_millis) = (lease.is_known, convert::lease_millis(&lease));
        Ok(Response::new(RenewGatewayResponse { is_known, lease_millis }))
    }
}
