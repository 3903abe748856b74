//! The process of the message service.

use std::process::ExitCode;

use chat_kit::{process, server, telemetry};
use chat_message::Config;

fn main() -> ExitCode {
    process::run(env!("CARGO_PKG_NAME"), |life| async move {
        let config = Config::load()?;
        let _reporting = telemetry::start(env!("CARGO_PKG_NAME"), &config.telemetry).await?;
        let address = server::reserve(config.grpc.listen)?;
        let connected = chat_message::connect(&config, &life, None).await?;
        let listener = server::listen(address)?;
        let within = config.stop.pause + config.stop.drain;
        life.spawn("grpc", async move { connected.serve(listener, &config).await });
        life.ended(within).await
    })
}
