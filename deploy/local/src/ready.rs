//! What is printed when the suite is ready.

use std::{io::Write as _, net::SocketAddr, path::PathBuf};

use chat_local::{process::Process, processes::Processes, suite::Suite};

/// A suite that is ready, as its user sees it.
pub(crate) struct Ready {
    gateways: Vec<SocketAddr>,
    services: Vec<(&'static str, SocketAddr)>,
    /// Port of the suite's metrics, where it is in one process.
    metrics: Option<u16>,
    /// The processes, and where their logs are; nothing where the suite is in one process.
    processes: Option<(Vec<Process>, PathBuf)>,
}

impl Ready {
    /// A suite in this process.
    pub(crate) fn together(suite: &Suite, metrics: u16) -> Self {
        let Suite { gateways, services } = suite.clone();
        Self { gateways, services, metrics: Some(metrics), processes: None }
    }

    /// A suite of processes, and the servers behind it.
    pub(crate) fn apart(suite: &Processes, servers: Vec<Process>, logs: PathBuf) -> Self {
        let services = suite.services.iter().map(|(name, process)| (*name, process.address));
        Self {
            gateways: suite.gateways.iter().map(|process| process.address).collect(),
            services: services.collect(),
            metrics: None,
            processes: Some((suite.all().cloned().chain(servers).collect(), logs)),
        }
    }

    /// Prints where everything is.
    pub(crate) fn say(&self) -> std::io::Result<()> {
        let gateways = self.gateways.iter().map(|address| format!(" http://{address}"));
        let services = self.services.iter().map(|(name, address)| format!(" {name}={address}"));
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "one-time passwords are echoed and not limited by address: for development only"
        )?;
        if let Some(port) = self.metrics {
            writeln!(out, "METRICS http://127.0.0.1:{port}/metrics")?;
        }
        if let Some((processes, logs)) = &self.processes {
            let processes = processes.iter().map(|process| {
                format!(" {}={}@{}", process.name, process.pid().unwrap_or(0), process.address)
            });
            writeln!(out, "PROCESSES{}", processes.collect::<String>())?;
            writeln!(out, "LOGS {}", logs.display())?;
        }
        let (gateways, services) = (gateways.collect::<String>(), services.collect::<String>());
        writeln!(out, "READY gateways{gateways} services{services}")?;
        writeln!(
            out,
            "NEXT curl -s http://{}/api/auth/send-otp-login -H 'content-type: application/json' \
             -d '{{\"phone\":\"+15550000001\"}}'",
            self.gateways[0]
        )
    }
}
