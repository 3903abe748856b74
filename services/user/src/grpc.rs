//! The gRPC surface of the user service: open the caller, parse, call the use case, wrap.

use chat_kit::caller::Caller;
use chat_proto::v1::{
    FindUserIdsByNameRequest, FindUserIdsByNameResponse, FindUserRequest, FindUserResponse,
    FindUsersByPhonesRequest, FindUsersByPhonesResponse, GetPresenceRequest, GetPresenceResponse,
    GetUserRequest, GetUserResponse, GetUsersRequest, GetUsersResponse, ListUsersRequest,
    ListUsersResponse, UpdateProfileRequest, UpdateProfileResponse, UpsertProfileRequest,
    UpsertProfileResponse, user_service_server::UserService,
};
use tonic::{Request, Response, Status};

use crate::{Service, convert};

#[tonic::async_trait]
impl UserService for Service {
    async fn upsert_profile(
        &self,
        request: Request<UpsertProfileRequest>,
    ) -> Result<Response<UpsertProfileResponse>, Status> {
        Caller::open(&request)?.require_service()?;
        let profile = convert::profile(&request.into_inner(), &self.limits)?;
        let user = Some(self.keep_profile(&profile).await?.into());
        Ok(Response::new(UpsertProfileResponse { user }))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        Caller::open(&request)?;
        let id = convert::user_id(&request.into_inner().user_id)?;
        let user = Some(self.user(id).await?.into());
        Ok(Response::new(GetUserResponse { user }))
    }

    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        Caller::open(&request)?;
        let ids = convert::user_ids(&request.into_inner().user_ids, &self.limits)?;
        let users = self.users(&ids).await?;
        let users = users.into_iter().map(Into::into).collect();
        Ok(Response::new(GetUsersResponse { users }))
    }

    async fn find_user(
        &self,
        request: Request<FindUserRequest>,
    ) -> Result<Response<FindUserResponse>, Status> {
        Caller::open(&request)?;
        let lookups = convert::lookups(&request.into_inner().contact);
        let user = Some(self.find(&lookups).await?.into());
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
        let caller = Caller::open(&request)?.user_id()?;
        let changes = convert::changes(request.into_inner(), &self.limits)?;
        let user = Some(self.change_profile(caller, &changes).await?.into());
        Ok(Response::new(UpdateProfileResponse { user }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let caller = Caller::open(&request)?.user_id()?;
        let wanted = convert::wanted(request.into_inner())?;
        let page = self.list(caller, &wanted).await?;
        Ok(Response::new(page.into()))
    }

    async fn find_users_by_phones(
        &self,
        request: Request<FindUsersByPhonesRequest>,
    ) -> Result<Response<FindUsersByPhonesResponse>, Status> {
        let caller = Caller::open(&request)?.user_id()?;
        let phones = convert::phones(&request.into_inner().phones, &self.limits)?;
        let users = self.find_by_phones(caller, &phones).await?;
        let users = users.into_iter().map(Into::into).collect();
        Ok(Response::new(FindUsersByPhonesResponse { users }))
    }

    async fn get_presence(
        &self,
        request: Request<GetPresenceRequest>,
    ) -> Result<Response<GetPresenceResponse>, Status> {
        Caller::open(&request)?;
        let ids = convert::user_ids(&request.into_inner().user_ids, &self.limits)?;
        let users = self.users(&ids).await?;
        let presences = users.iter().map(convert::presence).collect();
        Ok(Response::new(GetPresenceResponse { presences }))
    }
}
