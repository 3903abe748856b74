//! The document of the HTTP surface, `OpenAPI` 3.1, and a page that shows it. The document is made of the
//! handlers' attributes and of the wire types; nothing in it is written down twice:
//!
//! - A handler says its path, its request, its answer and the failures that are its own.
//! - A module of `wire` says which types its answers have.
//! - The rest follows: what all routes fail with, the second paths, the meaning of fields by their names.

mod complete;
mod failures;
mod flat;
mod page;
mod schemas;
mod sockets;
#[cfg(test)]
mod tests;
mod words;

use std::sync::LazyLock;

use axum::{Router, http::StatusCode, response::Response, routing::get};
use serde_json::Value;
use utoipa::OpenApi;

pub(crate) use self::{
    schemas::{Form, OLD, Schemas, UNIFIED},
    sockets::{ALL, BOTH, DESKTOP, Events, MOBILE, NEW, Nothing},
};
use crate::{
    http::{
        auth, blocks, calls, contacts, conversations, groups, health, marks, messages, requests,
        users,
    },
    routes,
    state::AppState,
    wire::{self, envelope},
};

/// Where the document is.
const PATHS: [&str; 2] = ["/openapi.json", "/api/openapi.json"];
/// Where that of the socket surface is.
const EVENT_PATHS: [&str; 2] = ["/asyncapi.json", "/api/asyncapi.json"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "chat",
        version = "1.0.0",
        description = "Accounts, conversations, groups and messages over HTTP; live events come over Socket.IO. \
                       Answers depend on the vocabulary that a client declares: `unified` has one spelling \
                       of everything, the old families share answers with every spelling."
    ),
    servers((url = "/", description = "This gateway")),
    tags(
        (name = "auth", description = "Logging in and out, by one-time password or password"),
        (name = "users", description = "Profiles and who is online"),
        (name = "blocks", description = "Whom the caller wants to hear nothing of"),
        (name = "contacts", description = "The caller's address book"),
        (name = "conversations", description = "The caller's conversations"),
        (name = "groups", description = "Groups, their members, administrators and invite links"),
        (name = "messages", description = "Sending messages and reading them again"),
        (name = "calls", description = "Past and present calls, and the servers that help them; calls themselves are made on sockets"),
        (name = "health", description = "What operators and their probes ask")
    ),
    paths(
        health::banner, health::health, health::database, health::ping,
        auth::send_otp, auth::verify_otp_register, auth::send_otp_login, auth::verify_otp_login,
        auth::login, auth::logout, auth::me,
        users::list, users::list_bare, users::search, users::search_bare, users::by_ids,
        users::by_ids_bare, users::presence, users::presence_bare, users::own, users::profile,
        users::edit, users::online_count,
        blocks::block, blocks::unblock, blocks::list,
        contacts::sync,
        conversations::list, conversations::list_bare, conversations::open, conversations::get, conversations::clear,
        marks::mute, marks::unmute, marks::pin, marks::unpin, marks::archive, marks::unarchive,
        messages::history, messages::history_bare, messages::history_of, messages::send,
        messages::missed,
        messages::mark_read, messages::edit, messages::delete, messages::react,
        messages::take_back,
        requests::create, requests::accept, requests::decline, requests::start_chat,
        requests::list, requests::list_bare,
        messages::search, groups::list, groups::create, groups::search, groups::public, groups::join,
        groups::add_participant, groups::remove_participant, groups::promote, groups::demote,
        groups::get, groups::update, groups::add_member, groups::remove_member, groups::leave,
        groups::invite, groups::rotate_invite, groups::revoke_invite, groups::join_public,
        calls::list, calls::ice_servers,
    )
)]
struct Operations;

/// The document, made once.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let operations = serde_json::to_value(Operations::openapi()).expect("a document is JSON");
    complete::document(operations, wire::schemas(), &routes::all())
});

/// Returns the document.
#[must_use]
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// The document of the socket surface, made once.
static EVENTS: LazyLock<Value> = LazyLock::new(|| sockets::document(wire::events()));

/// Returns the document of the socket surface, `AsyncAPI` 3.
#[must_use]
pub fn events() -> &'static Value {
    &EVENTS
}

/// Returns the routes of the documents and of the page that shows it.
pub(crate) fn routes() -> Router<AppState> {
    let paths = PATHS.into_iter();
    let router = paths.fold(Router::new(), |router, path| router.route(path, get(served)));
    let router =
        EVENT_PATHS.into_iter().fold(router, |router, path| router.route(path, get(served_events)));
    router.route("/docs", get(page::index)).route("/docs/{file}", get(page::file))
}

async fn served_events() -> Response {
    envelope::json(StatusCode::OK, events())
}

async fn served() -> Response {
    envelope::json(StatusCode::OK, document())
}
