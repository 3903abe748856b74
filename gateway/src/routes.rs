//! Every route of the HTTP surface, one row each: its paths, the old one without prefix beside the common
//! one, and the handler behind them.

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, on},
};

use crate::{
    http::{
        auth, blocks, calls, contacts, conversations, groups, health, marks, messages, requests,
        users,
    },
    state::AppState,
};

/// The routes, and the table of them.
#[derive(Default)]
pub struct Routes {
    router: Router<AppState>,
    table: Vec<(Method, &'static str)>,
    seconds: Vec<(Method, &'static str, &'static str)>,
}

/// Returns all routes.
#[must_use]
pub fn all() -> Routes {
    calls(groups(users(messages(conversations(auth(Routes::default()))))))
        .get(&["/"], health::banner)
        .get(&["/health"], health::health)
        .get(&["/health/db"], health::database)
        .get(&["/ping"], health::ping)
}

fn auth(routes: Routes) -> Routes {
    routes
        .post(&["/api/auth/send-otp", "/auth/send-otp"], auth::send_otp)
        .post(
            &["/api/auth/verify-otp-register", "/auth/verify-otp-register"],
            auth::verify_otp_register,
        )
        .post(&["/api/auth/send-otp-login", "/auth/send-otp-login"], auth::send_otp_login)
        .post(&["/api/auth/verify-otp-login", "/auth/verify-otp-login"], auth::verify_otp_login)
        .post(&["/api/auth/login", "/auth/login"], auth::login)
        .post(&["/api/auth/logout", "/auth/logout"], auth::logout)
        .get(&["/api/auth/me", "/auth/me"], auth::me)
}

fn conversations(routes: Routes) -> Routes {
    routes
        .get(&["/api/conversations"], conversations::list)
        .get(&["/conversations"], conversations::list_bare)
        .post(&["/api/conversations", "/conversations"], conversations::open)
        .get(&["/api/conversations/{id}", "/conversations/{id}"], conversations::get)
        .delete(&["/api/conversations/{id}", "/conversations/{id}"], conversations::clear)
        .put(&["/api/conversations/{id}/mute"], marks::mute)
        .delete(&["/api/conversations/{id}/mute"], marks::unmute)
        .put(&["/api/conversations/{id}/pin"], marks::pin)
        .delete(&["/api/conversations/{id}/pin"], marks::unpin)
        .put(&["/api/conversations/{id}/archive"], marks::archive)
        .delete(&["/api/conversations/{id}/archive"], marks::unarchive)
        .post(&["/api/conversations/contacts/sync", "/contacts/sync"], contacts::sync)
        .post(
            &["/api/conversations/contacts/start-chat", "/contacts/start-chat"],
            requests::start_chat,
        )
        .post(&["/api/conversations/chat-requests", "/chat-requests"], requests::create)
        .get(&["/api/conversations/chat-requests"], requests::list)
        .get(&["/chat-requests"], requests::list_bare)
        .post(
            &["/api/conversations/chat-requests/{id}/accept", "/chat-requests/{id}/accept"],
            requests::accept,
        )
        .post(
            &["/api/conversations/chat-requests/{id}/decline", "/chat-requests/{id}/decline"],
            requests::decline,
        )
}

fn messages(routes: Routes) -> Routes {
    routes
        .get(&["/api/messages"], messages::history)
        .get(&["/messages"], messages::history_bare)
        .post(&["/api/messages", "/messages"], messages::send)
        .get(&["/api/messages/conversation/{id}"], messages::history_of)
        .get(&["/api/conversations/{id}/messages"], messages::missed)
        .get(&["/api/messages/search", "/messages/search"], messages::search)
        .patch(&["/api/messages/{id}", "/messages/{id}"], messages::edit)
        .delete(&["/api/messages/{id}", "/messages/{id}"], messages::delete)
        .patch(&["/api/messages/{id}/read", "/messages/{id}/read"], messages::mark_read)
        .put(
            &["/api/messages/{id}/reactions/{reaction}", "/messages/{id}/reactions/{reaction}"],
            messages::react,
        )
        .delete(
            &["/api/messages/{id}/reactions/{reaction}", "/messages/{id}/reactions/{reaction}"],
            messages::take_back,
        )
}

fn users(routes: Routes) -> Routes {
    routes
        .get(&["/api/users"], users::list)
        .get(&["/users"], users::list_bare)
        .get(&["/api/users/search"], users::search)
        .get(&["/users/search"], users::search_bare)
        .get(&["/api/users/by-ids"], users::by_ids)
        .get(&["/users/by-ids"], users::by_ids_bare)
        .get(&["/api/users/presence"], users::presence)
        .get(&["/presence"], users::presence_bare)
        .get(&["/api/users/profile", "/users/profile"], users::own)
        .get(&["/api/users/profile/{id}", "/users/profile/{id}"], users::profile)
        .patch(&["/api/users/me", "/users/me"], users::edit)
        .put(&["/api/users/me", "/users/me"], users::edit)
        .get(&["/api/users/blocked"], blocks::list)
        .put(&["/api/users/{id}/block"], blocks::block)
        .delete(&["/api/users/{id}/block"], blocks::unblock)
        .get(&["/api/users/online/count", "/users/online/count"], users::online_count)
}

fn groups(routes: Routes) -> Routes {
    routes
        .get(&["/api/groups"], groups::list)
        .post(&["/api/groups", "/api/groups/create"], groups::create)
        .get(&["/api/groups/search"], groups::search)
        .get(&["/api/groups/public"], groups::public)
        .post(&["/api/groups/join"], groups::join)
        .post(&["/api/groups/add-participant"], groups::add_participant)
        .post(&["/api/groups/remove-participant"], groups::remove_participant)
        .post(&["/api/groups/promote-admin"], groups::promote)
        .post(&["/api/groups/demote-admin"], groups::demote)
        .get(&["/api/groups/{id}"], groups::get)
        .put(&["/api/groups/{id}"], groups::update)
        .patch(&["/api/groups/{id}"], groups::update)
        .post(&["/api/groups/{id}/members"], groups::add_member)
        .delete(&["/api/groups/{id}/members/{user}"], groups::remove_member)
        .delete(&["/api/groups/{id}/leave"], groups::leave)
        .get(&["/api/groups/{id}/invite-link"], groups::invite)
        .post(&["/api/groups/{id}/invite-link"], groups::rotate_invite)
        .delete(&["/api/groups/{id}/invite-link"], groups::revoke_invite)
        .post(&["/api/groups/{id}/join"], groups::join_public)
}

fn calls(routes: Routes) -> Routes {
    routes.get(&["/api/calls"], calls::list).get(&["/api/calls/ice-servers"], calls::ice_servers)
}

impl Routes {
    /// Returns the router.
    pub fn router(self) -> Router<AppState> {
        self.router
    }

    /// Returns method and path of every route.
    #[must_use]
    pub fn table(&self) -> &[(Method, &'static str)] {
        &self.table
    }

    /// Returns method, common path and other path of what has more than one.
    #[must_use]
    pub fn seconds(&self) -> &[(Method, &'static str, &'static str)] {
        &self.seconds
    }

    fn get<T: 'static>(self, paths: &[&'static str], handler: impl Handler<T, AppState>) -> Self {
        self.on(&Method::GET, MethodFilter::GET, paths, handler)
    }

    fn post<T: 'static>(self, paths: &[&'static str], handler: impl Handler<T, AppState>) -> Self {
        self.on(&Method::POST, MethodFilter::POST, paths, handler)
    }

    fn put<T: 'static>(self, paths: &[&'static str], handler: impl Handler<T, AppState>) -> Self {
        self.on(&Method::PUT, MethodFilter::PUT, paths, handler)
    }

    fn patch<T: 'static>(self, paths: &[&'static str], handler: impl Handler<T, AppState>) -> Self {
        self.on(&Method::PATCH, MethodFilter::PATCH, paths, handler)
    }

    fn delete<T: 'static>(
        self,
        paths: &[&'static str],
        handler: impl Handler<T, AppState>,
    ) -> Self {
        self.on(&Method::DELETE, MethodFilter::DELETE, paths, handler)
    }

    fn on<T: 'static>(
        mut self,
        method: &Method,
        filter: MethodFilter,
        paths: &[&'static str],
        handler: impl Handler<T, AppState>,
    ) -> Self {
        for (path, handler) in paths.iter().zip(std::iter::repeat(handler)) {
            self.router = self.router.route(path, on(filter, handler));
            self.table.push((method.clone(), path));
        }
        if let Some((common, others)) = paths.split_first() {
            self.seconds.extend(others.iter().map(|path| (method.clone(), *common, *path)));
        }
        self
    }
}
