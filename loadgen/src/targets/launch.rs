//! What to launch: `--launch` commands and where their programs will be.

use std::time::Duration;

use super::Certificate;
use super::command::{LaunchCommand, LaunchError};
use crate::domain::Transport;
use crate::wire::{Endpoint, Header, Trust};

/// What to launch, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub(super) commands: Vec<LaunchCommand>,
    pub(super) given: Vec<Endpoint>,
    pub(super) headers: Vec<Header>,
    pub(super) security: TlsSetup,
    pub(super) timeout: Duration,
}

/// How the launched programs' TLS is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSetup {
    /// Which certificates to trust; `None` if no program speaks TLS.
    pub trust: Option<Trust>,
    /// The certificate that is made for them, if one is.
    pub certificate: Option<Certificate>,
}

impl Launch {
    /// These commands, whose programs listen on the ports that they are given, or at the `given` addresses. `timeout` is
    /// the longest that they may take to listen.
    ///
    /// # Errors
    /// Where it is not clear where a transport is.
    pub fn new(
        commands: Vec<LaunchCommand>,
        given: Vec<Endpoint>,
        security: TlsSetup,
        timeout: Duration,
    ) -> Result<Self, LaunchError> {
        let asked: Vec<Transport> = commands.iter().flat_map(LaunchCommand::transports).collect();
        if asked.is_empty() && given.is_empty() {
            return Err(LaunchError::NoAddress);
        }
        match given.iter().map(Endpoint::transport).find(|given| asked.contains(given)) {
            Some(transport) => Err(LaunchError::TwoPorts(transport)),
            None => Ok(Self { commands, given, headers: Vec::new(), security, timeout }),
        }
    }

    /// With these fields in the handshakes of WebSockets on fresh ports; given addresses have theirs already.
    #[must_use]
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self { headers, ..self }
    }

    /// The transports that the programs offer, in the order of reports.
    #[must_use]
    pub fn transports(&self) -> Vec<Transport> {
        let given = self.given.iter().map(Endpoint::transport);
        let mut all: Vec<_> = self.commands.iter().flat_map(LaunchCommand::transports).chain(given).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The commands as the user wrote them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(LaunchCommand::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(commands: &[&str], given: Vec<Endpoint>) -> Result<Launch, LaunchError> {
        let commands = commands.iter().map(|text| LaunchCommand::parse(text).unwrap()).collect();
        Launch::new(commands, given, TlsSetup::default(), Duration::from_secs(1))
    }

    fn tcp() -> Endpoint {
        Endpoint::lines("127.0.0.1:1601".parse::<std::net::SocketAddr>().unwrap().into(), None)
    }

    #[test]
    fn a_launch_offers_what_it_has_ports_or_addresses_for() {
        let both = launch(&["a {ws}", "b {tcp-raw} {ws}"], vec![tcp()]).unwrap();
        assert_eq!(both.transports(), [Transport::Tcp, Transport::TcpRaw, Transport::WebSocket]);
        assert_eq!(launch(&["a"], vec![tcp()]).unwrap().transports(), [Transport::Tcp]);
    }

    #[test]
    fn it_must_be_clear_where_a_target_listens() {
        assert_eq!(launch(&["a", "b c"], Vec::new()), Err(LaunchError::NoAddress));
        assert_eq!(launch(&["a {tcp}"], vec![tcp()]), Err(LaunchError::TwoPorts(Transport::Tcp)));
    }
}
