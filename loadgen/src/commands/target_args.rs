//! The flags that say what to talk to, shared by every command that talks to a target.

use std::path::PathBuf;

use super::CommandError;
use crate::scenario::model::Transport;
use crate::target::embedded::Embedded;
use crate::target::{Target, socket_address, websocket};
use crate::wire::Endpoint;

/// What to talk to; without any of these, the embedded server.
#[derive(Debug, Clone, Default, clap::Args)]
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
    #[arg(long, value_name = "CMD", hide = true)]
    launch: Vec<String>,
}

pub(super) fn transport(name: &str) -> Result<Transport, String> {
    let names: Vec<&str> = Transport::ALL.iter().map(|transport| transport.name()).collect();
    Transport::from_name(name).ok_or_else(|| format!("transports are {}", names.join(", ")))
}

impl TargetArgs {
    /// The endpoints that the flags name; none: the embedded server.
    ///
    /// # Errors
    /// Where an address is none, or a flag is for later.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, CommandError> {
        let later = [
            ("--tls", self.tls.is_some()),
            ("--wss", self.wss.is_some()),
            ("--ca", self.ca.is_some()),
            ("--profile", self.profile.is_some()),
            ("--launch", !self.launch.is_empty()),
        ];
        if let Some((flag, _)) = later.into_iter().find(|(_, given)| *given) {
            return Err(CommandError::NotYet(format!("`{flag}`")));
        }
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

    /// The target at these endpoints; `embedded` makes the embedded server where there are none.
    ///
    /// # Errors
    /// Where it lacks a required transport.
    pub fn target(
        &self,
        endpoints: Vec<Endpoint>,
        embedded: impl FnOnce() -> Embedded,
    ) -> Result<Target, CommandError> {
        let target = if endpoints.is_empty() {
            Target::Embedded(Box::new(embedded()))
        } else {
            Target::External { endpoints, pid: None }
        };
        match self.require.iter().find(|&&transport| !target.has(transport)) {
            Some(lacking) => Err(CommandError::Usage(format!(
                "the target does not offer `{lacking}`, which --require asks for"
            ))),
            None => Ok(target),
        }
    }
}
