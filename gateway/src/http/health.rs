//! What operators and their probes ask.

use axum::{extract::State, response::Response};
use futures_util::future::join_all;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{state::AppState, wire::health};
use chat_kit::client::Channel;

/// Says what this is.
#[utoipa::path(
    get,
    path = "/",
    tag = "health",
    security(()),
    responses((status = 200, description = "What this is", body = ref("#/components/schemas/Banner"))),
)]
pub async fn banner() -> Response {
    health::banner()
}

/// Says that somebody is there.
#[utoipa::path(
    get,
    path = "/ping",
    tag = "health",
    security(()),
    responses((status = 200, description = "Somebody is there", body = ref("#/components/schemas/Pong"))),
)]
pub async fn ping() -> Response {
    health::pong()
}

/// Says whether all services can work, and whether this gateway goes on.
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "All services can work", body = ref("#/components/schemas/Health")),
        (status = 503, description = "A service cannot work, or this gateway is about to end", body = ref("#/components/schemas/Health")),
    ),
)]
pub async fn health(State(state): State<AppState>) -> Response {
    let can_work = !state.stopping.is_cancelled() && can_services_work(&state).await;
    health::health(can_work, state.started.elapsed())
}

/// Says whether all services can work: what they keep is theirs, so they alone reach it.
#[utoipa::path(
    get,
    path = "/health/db",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "All services can work", body = ref("#/components/schemas/DatabaseHealth")),
        (status = 503, description = "A service cannot work", body = ref("#/components/schemas/DatabaseTrouble")),
    ),
)]
pub async fn database(State(state): State<AppState>) -> Response {
    health::database(can_services_work(&state).await)
}

async fn can_services_work(state: &AppState) -> bool {
    let checks = state.clients.health.iter().cloned();
    let serving = join_all(checks.map(|(name, client)| is_serving(name, client))).await;
    serving.into_iter().all(|serving| serving)
}

async fn is_serving(service: &'static str, mut client: HealthClient<Channel>) -> bool {
    let request = HealthCheckRequest { service: service.to_owned() };
    match client.check(request).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => true,
        Ok(_) => {
            tracing::warn!(service, "not serving");
            false
        }
        Err(status) => {
            tracing::warn!(service, code = ?status.code(), "health is not known");
            false
        }
    }
}
