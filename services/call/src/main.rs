//! The process of the call service.

use std::process::ExitCode;

use chat_call::{Config, Service};
use chat_kit::{server, telemetry};

fn main() -> ExitCode {
    chat_kit::process::run(env!("CARGO_PKG_NAME"), |life| async move {
        let config = Config::load()?;
        let _reporting = telemetry::start(env!("CARGO_PKG_NAME"), &config.telemetry).await?;
        let address = server::reserve(config.grpc.listen)?;
        let service = Service::connect(&config, &life, None).await?;
        let listener = server::listen(address)?;
        let (own, within) = (life.clone(), config.stop.pause + config.stop.drain);
        life.spawn("grpc", async move { service.serve(listener, &config, &own).await });
        life.ended(within).await
    })
}
