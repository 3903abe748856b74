//! The gRPC surface of the user service: open the caller, parse, call the use case, wrap.

use chat_kit::caller::Caller;
use chat_proto::v1::{
    FindUserIdsByNameRequest, FindUserIdsByNameResponse, FindUserRequest, FindUserResponse,
    GetUserRequest, GetUserResponse, GetUsersRequest, GetUsersResponse, UpsertProfileRequest,
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
}
