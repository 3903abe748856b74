//! The process of the gateway.

use std::process::ExitCode;

use chat_gateway::Config;
use chat_kit::{process, server, telemetry};

fn main() -> ExitCode {
    process::run(env!("CARGO_PKG_NAME"), |life| async move {
        let config = Config::load()?;
        let _reporting = telemetry::start(env!("CARGO_PKG_NAME"), &config.telemetry).await?;
        let address = server::reserve(config.listen)?;
        let within = config.stop.pause + config.stop.drain;
        let gateway = chat_gateway::connect(config).await?;
        let listener = server::listen(address)?;
        let own = life.clone();
        life.spawn("http", async move { gateway.serve(listener, &own).await });
        life.ended(within).await
    })
}
