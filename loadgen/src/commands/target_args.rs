//! The flags that say what to talk to, shared by every command that talks to a target.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CommandError;
use crate::scenario::model::Transport;
use crate::scenario::{HOUR, MILLISECOND, duration_within};
use crate::target::embedded::Embedded;
use crate::target::launched::{Launch, Launched};
use crate::target::{Target, socket_address, websocket};
use crate::wire::Endpoint;

/// What to talk to; without any of these, the embedded server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target (default: the embedded server, started afresh for each trial)")]
pub struct TargetArgs {
    /// A server that speaks lines over TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp: Option<String>,

    /// A server that speaks unterminated messages over TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp_raw: Option<String>,

    /// A WebSocket server: ws://HOST:PORT/PATH
    #[arg(long, value_name = "URL")]
    pub ws: Option<String>,

    /// Start the target: a program and its arguments, split as a shell splits them, but run without one. {tcp},
    /// {tcp-raw} and {ws} in it become free ports, which are then the target; without them it listens at the
    /// addresses given by the flags above. It runs afresh for each trial, and with it all that it starts is measured
    /// and stopped; its output goes to server.log (repeatable: one for each transport, say)
    #[arg(long, value_name = "CMD ARGS")]
    pub launch: Vec<String>,

    /// Longest that launched programs may take to listen
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = launch_timeout)]
    pub launch_timeout: Duration,

    /// Fail with exit code 2 where the target lacks this transport, instead of skipping it (repeatable)
    #[arg(long, value_name = "TRANSPORT", value_parser = transport)]
    pub require: Vec<Transport>,

    #[arg(long, value_name = "HOST:PORT", hide = true)]
    tls: Option<String>,
    #[arg(long, value_name = "URL", hide = true)]
    wss: Option<String>,
    #[arg(long, value_name = "FILE", hide = true)]
    ca: Option<PathBuf>,
    #[arg(long, value_name = "NAME|FILE", hide = true)]
    profile: Option<String>,
}

fn launch_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, MILLISECOND, HOUR)
}

pub(super) fn transport(name: &str) -> Result<Transport, String> {
    let names: Vec<&str> = Transport::ALL.iter().map(|transport| transport.name()).collect();
    Transport::from_name(name).ok_or_else(|| format!("transports are {}", names.join(", ")))
}

/// What to talk to, checked, with nothing started yet.
#[derive(Debug, Clone)]
pub enum Plan {
    /// The embedded server.
    Embedded,
    /// The user's programs.
    Launched(Launch),
    /// Servers that run already; never empty.
    External(Vec<Endpoint>),
}

impl Plan {
    /// The transports that it offers.
    #[must_use]
    pub fn transports(&self) -> Vec<Transport> {
        match self {
            Self::Embedded => Embedded::OFFERS.to_vec(),
            Self::Launched(launch) => launch.transports(),
            Self::External(endpoints) => endpoints.iter().map(Endpoint::transport).collect(),
        }
    }

    /// The target, which logs to the file `log` where it is ours to start.
    ///
    /// # Errors
    /// Where this program's own file cannot be found, which is needed to start anything.
    pub fn target(&self, log: &Path) -> Result<Target, CommandError> {
        let executable = || std::env::current_exe().map_err(CommandError::Machine);
        Ok(match self {
            Self::Embedded => Target::Embedded(Box::new(Embedded::new(executable()?, log))),
            Self::Launched(launch) => {
                Target::Launched(Box::new(Launched::new(launch.clone(), executable()?, log)))
            }
            Self::External(endpoints) => Target::External { endpoints: endpoints.clone(), pid: None },
        })
    }
}

impl TargetArgs {
    /// What the flags name.
    ///
    /// # Errors
    /// Where an address or a command is none, a flag is for later, or a required transport is lacking.
    pub fn plan(&self) -> Result<Plan, CommandError> {
        let later = [
            ("--tls", self.tls.is_some()),
            ("--wss", self.wss.is_some()),
            ("--ca", self.ca.is_some()),
            ("--profile", self.profile.is_some()),
        ];
        if let Some((flag, _)) = later.into_iter().find(|(_, given)| *given) {
            return Err(CommandError::NotYet(format!("`{flag}`")));
        }
        let endpoints = self.endpoints()?;
        let plan = match (self.launch.as_slice(), endpoints.as_slice()) {
            ([], []) => Plan::Embedded,
            ([], _) => Plan::External(endpoints),
            (commands, _) => Plan::Launched(Launch::new(commands, endpoints, self.launch_timeout)?),
        };
        match self.require.iter().find(|transport| !plan.transports().contains(transport)) {
            Some(lacking) => Err(CommandError::Usage(format!(
                "the target does not offer `{lacking}`, which --require asks for"
            ))),
            None => Ok(plan),
        }
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>, CommandError> {
        let mut endpoints = Vec::new();
        if let Some(text) = &self.tcp {
            endpoints.push(Endpoint::Tcp(socket_address(text)?));
        }
        if let Some(text) = &self.tcp_raw {
            endpoints.push(Endpoint::TcpRaw(socket_address(text)?));
        }
        if let Some(text) = &self.ws {
            let (address, url) = websocket(text)?;
            endpoints.push(Endpoint::WebSocket(address, url));
        }
        Ok(endpoints)
    }
}
