//! What operators and the mobile client's test page read. The gateway has no database: its fields say
//! how the services are, under neutral names.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};
use chat_kit::time::to_timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{envelope, fields::iso};
use crate::openapi::{Form, Schemas};

/// Version of the HTTP surface; that of the program is its operator's business.
const API_VERSION: &str = "1.0.0";

#[derive(Serialize, ToSchema)]
struct Banner {
    message: &'static str,
    version: &'static str,
    endpoints: Endpoints,
}

#[derive(Serialize, ToSchema)]
struct Endpoints {
    auth: &'static str,
    messages: &'static str,
    conversations: &'static str,
    users: &'static str,
    groups: &'static str,
}

/// Answers what this is.
#[must_use]
pub fn banner() -> Response {
    envelope::ok(Banner {
        message: "chat",
        version: API_VERSION,
        endpoints: Endpoints {
            auth: "/api/auth",
            messages: "/api/messages",
            conversations: "/api/conversations",
            users: "/api/users",
            groups: "/api/groups",
        },
    })
}

#[derive(Serialize, ToSchema)]
struct Pong {
    message: &'static str,
}

/// Answers that somebody is there.
#[must_use]
pub fn pong() -> Response {
    envelope::ok(Pong { message: "pong" })
}

#[derive(Serialize, ToSchema)]
struct Health {
    success: bool,
    status: &'static str,
    timestamp: Option<String>,
    uptime: f64,
    database: Database,
}

#[derive(Serialize, ToSchema)]
struct Database {
    status: &'static str,
    connected: bool,
    host: &'static str,
    name: &'static str,
}

/// What is behind the services, under neutral names.
const DATABASE_HOST: &str = "mongodb";
const DATABASE_NAME: &str = "chat";
/// The word of the database's driver for a connection that is open.
const READY: u8 = 1;

#[derive(Serialize, ToSchema)]
struct DatabaseHealth {
    status: &'static str,
    timestamp: Option<String>,
    database: ReadyDatabase,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReadyDatabase {
    host: &'static str,
    name: &'static str,
    ready_state: u8,
}

#[derive(Serialize, ToSchema)]
struct DatabaseTrouble {
    success: bool,
    status: &'static str,
    error: &'static str,
    message: &'static str,
    timestamp: Option<String>,
}

/// Answers whether what the services keep can be reached.
#[must_use]
pub fn database(is_reached: bool) -> Response {
    let timestamp = iso(Some(&to_timestamp(bson::DateTime::now())));
    if is_reached {
        let (host, name) = (DATABASE_HOST, DATABASE_NAME);
        let database = ReadyDatabase { host, name, ready_state: READY };
        return envelope::ok(DatabaseHealth { status: "connected", timestamp, database });
    }
    let trouble = DatabaseTrouble {
        success: false,
        status: "disconnected",
        error: "unavailable",
        message: "temporarily unavailable, try again",
        timestamp,
    };
    envelope::json(StatusCode::SERVICE_UNAVAILABLE, &trouble)
}

/// Answers how the services are, and how long this process has run.
#[must_use]
pub fn health(is_healthy: bool, uptime: Duration) -> Response {
    let (status, text, database) = if is_healthy {
        (StatusCode::OK, "ok", "connected")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "disconnected")
    };
    envelope::json(
        status,
        &Health {
            success: is_healthy,
            status: text,
            timestamp: iso(Some(&to_timestamp(bson::DateTime::now()))),
            uptime: uptime.as_secs_f64(),
            database: Database {
                status: database,
                connected: is_healthy,
                host: DATABASE_HOST,
                name: DATABASE_NAME,
            },
        },
    )
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("Banner", [Form::same::<Banner>()]);
    schemas.answer("Pong", [Form::same::<Pong>()]);
    schemas.answer("Health", [Form::failed::<Health>()]);
    schemas.answer("DatabaseHealth", [Form::same::<DatabaseHealth>()]);
    schemas.answer("DatabaseTrouble", [Form::failed::<DatabaseTrouble>()]);
}
