//! The command line, and how it becomes a [`Config`].

use std::{
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::{Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

use super::{
    control::ControlArgs,
    error::ArgsError,
    limits::LimitArgs,
    secret,
    tls::TlsArgs,
    units::{WORKERS_MAX, cpu, worker_count},
};
use crate::{
    config::{Config, Endpoint, Workers},
    protocol::Transport,
    registry::UpgradePolicy,
};

const DEFAULT_TCP: SocketAddr = loopback(1601);
const DEFAULT_TCP_RAW: &str = "127.0.0.1:1602";
const DEFAULT_WEBSOCKET: SocketAddr = loopback(1603);

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port))
}

/// A key-value server over TCP and WebSocket, with or without TLS, with one store for each connected user.
///
/// If no listener is given, it serves TCP on 127.0.0.1:1601 and WebSocket on 127.0.0.1:1603. It prints one line for
/// each listener when it is ready. A host name is served at all of its addresses, on one port. SIGTERM or Ctrl-C stops
/// it cleanly, a second one at once; SIGHUP makes it reload its certificate.
///
/// Every option can also be set in the environment, --max-connections as `TWINWIRE_MAX_CONNECTIONS`, and in a TOML
/// file, as max-connections = 100. The command line comes first, then the environment, then the file.
#[derive(Debug, Parser)]
#[command(name = "twinwire-server", version, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Subcommands>,

    /// Serve lines over TCP on this address [default: 127.0.0.1:1601, if no listener is given]
    #[arg(long, value_name = "ADDR", value_parser = addresses, help_heading = "Listeners")]
    tcp: Vec<Addresses>,

    /// Serve unterminated messages over TCP, one for each chunk received, as the original clients send them [default:
    /// off]
    #[arg(
        long, value_name = "ADDR", value_parser = addresses, help_heading = "Listeners",
        num_args = 0..=1, require_equals = false, default_missing_value = DEFAULT_TCP_RAW
    )]
    tcp_raw: Vec<Addresses>,

    /// Serve WebSocket on this address, under any path [default: 127.0.0.1:1603, if no listener is given]
    #[arg(long, value_name = "ADDR", value_parser = addresses, help_heading = "Listeners")]
    ws: Vec<Addresses>,

    /// Serve lines over TLS on this address; needs --tls-cert and --tls-key [default: off]
    #[arg(long, value_name = "ADDR", value_parser = addresses, help_heading = "Listeners")]
    tls: Vec<Addresses>,

    /// Serve WebSocket over TLS on this address, under any path; needs --tls-cert and --tls-key [default: off]
    #[arg(long, value_name = "ADDR", value_parser = addresses, help_heading = "Listeners")]
    wss: Vec<Addresses>,

    #[command(flatten)]
    certificate: TlsArgs,

    /// Which clients become managers when they ask: all (open), those that know the secret, or none (closed) [default:
    /// open]
    ///
    /// Required if a listener can be reached from other machines, since managers read all data.
    #[arg(long, value_name = "POLICY", help_heading = "Access")]
    upgrade: Option<Upgrade>,

    /// Read the secret from this file; otherwise it is taken from `TWINWIRE_UPGRADE_SECRET`. It must be one word
    /// [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    upgrade_secret_file: Option<PathBuf>,

    /// Let web pages of this origin open a WebSocket, such as `https://example.com`; `*` allows all pages (repeatable)
    /// [default: none]
    #[arg(long, value_name = "ORIGIN", help_heading = "Access")]
    allow_origin: Vec<String>,

    #[command(flatten)]
    limits: LimitArgs,

    /// Let the operator see and change users through a socket at this path, which only this user may open; see the
    /// subcommand control [default: none]
    #[arg(long, value_name = "PATH", help_heading = "Operation")]
    control: Option<PathBuf>,

    /// Serve metrics for Prometheus on this address, as /metrics; a port alone means 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDR", value_parser = metrics_addresses, help_heading = "Operation")]
    metrics: Option<Addresses>,

    /// The number of threads that serve, at most 1024 [default: one for each CPU]
    #[arg(
        long, value_name = "COUNT", value_parser = worker_count, help_heading = "Threads", conflicts_with = "cpus"
    )]
    workers: Option<NonZeroUsize>,

    /// Serve with one thread on each of these CPUs, such as 0,1 [default: wherever the system runs them]
    #[arg(long, value_name = "LIST", value_parser = cpu, help_heading = "Threads", value_delimiter = ',')]
    cpus: Vec<usize>,

    /// What to log to standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", help_heading = "Logging", default_value = "warn")]
    pub(super) log: LevelFilter,

    /// Read options from this TOML file
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,

    /// Print the options in force and where each comes from, and stop. The exit code is 0 if a server could start with
    /// them on this machine, as far as it shows without opening a port, else 2
    #[arg(long, help_heading = "Configuration")]
    pub(super) check_config: bool,

    /// Stop when standard input ends, for a program that starts this one
    #[arg(long, hide = true)]
    pub(super) until_stdin_closes: bool,
}

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
pub(super) enum Subcommands {
    Control(ControlArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Upgrade {
    Open,
    Secret,
    Closed,
}

/// The addresses of a host, with one port. At least one, and each once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Addresses(Vec<SocketAddr>);

fn addresses(text: &str) -> Result<Addresses, String> {
    let resolved = text
        .to_socket_addrs()
        .map_err(|error| format!("expected HOST:PORT such as 127.0.0.1:1601 ({error})"))?;
    let mut addresses = Vec::new();
    for address in resolved {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("this name has no address".to_owned()) } else { Ok(Addresses(addresses)) }
}

/// Addresses, or a port on loopback.
fn metrics_addresses(text: &str) -> Result<Addresses, String> {
    text.parse().map(|port| Addresses(vec![loopback(port)])).or_else(|_| addresses(text))
}

impl Args {
    /// The configuration that the arguments describe, if they make sense as a whole.
    pub(super) fn into_config(self) -> Result<Config, ArgsError> {
        let listeners = self.listeners();
        if self.upgrade.is_none() {
            for &Endpoint { transport, ref addresses } in &listeners {
                if let Some(&address) = addresses.iter().find(|at| !at.ip().to_canonical().is_loopback()) {
                    return Err(ArgsError::Exposed { transport, address });
                }
            }
        }
        let tls = self.certificate.load(&listeners)?;
        let workers = match (self.cpus.is_empty(), self.workers) {
            (false, _) if self.cpus.len() > WORKERS_MAX => {
                return Err(ArgsError::TooManyCpus { given: self.cpus.len() });
            }
            (false, _) => Workers::Pinned(self.cpus.clone()),
            (true, Some(count)) => Workers::Floating(count),
            (true, None) => Workers::for_each_cpu(),
        };
        let mut config = Config { listeners, tls, workers, ..Config::on_free_ports(&[]) };
        self.limits.apply(&mut config);
        config.upgrade = self.policy(config.message_bytes_max)?;
        config.control.clone_from(&self.control);
        config.metrics = self.metrics.map(|Addresses(addresses)| addresses).unwrap_or_default();
        for origin in &self.allow_origin {
            config
                .origins
                .allow(origin)
                .map_err(|source| ArgsError::Origin { origin: origin.clone(), source })?;
        }
        Ok(config)
    }

    fn listeners(&self) -> Vec<Endpoint> {
        let given = [
            (Transport::Tcp, &self.tcp),
            (Transport::TcpRaw, &self.tcp_raw),
            (Transport::WebSocket, &self.ws),
            (Transport::Tls, &self.tls),
            (Transport::Wss, &self.wss),
        ];
        let chosen: Vec<_> = given
            .into_iter()
            .flat_map(|(transport, hosts)| {
                hosts
                    .iter()
                    .map(move |Addresses(addresses)| Endpoint { transport, addresses: addresses.clone() })
            })
            .collect();
        if !chosen.is_empty() {
            return chosen;
        }
        vec![
            Endpoint { transport: Transport::Tcp, addresses: vec![DEFAULT_TCP] },
            Endpoint { transport: Transport::WebSocket, addresses: vec![DEFAULT_WEBSOCKET] },
        ]
    }

    fn policy(&self, message_bytes_max: usize) -> Result<UpgradePolicy, ArgsError> {
        let policy = self.upgrade.unwrap_or(Upgrade::Open);
        if policy != Upgrade::Secret && self.upgrade_secret_file.is_some() {
            return Err(ArgsError::SecretUnused);
        }
        Ok(match policy {
            Upgrade::Open => UpgradePolicy::Open,
            Upgrade::Closed => UpgradePolicy::Closed,
            Upgrade::Secret => {
                UpgradePolicy::Secret(secret::read(self.upgrade_secret_file.as_deref(), message_bytes_max)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, ArgsError> {
        Args::try_parse_from([&["twinwire-server"], args].concat()).unwrap().into_config()
    }

    #[test]
    fn without_flags_every_limit_is_that_of_an_embedded_server() {
        let mut expected = Config::on_free_ports(&[]);
        let given = config(&[]).unwrap();
        expected.listeners.clone_from(&given.listeners);
        assert_eq!(format!("{given:?}"), format!("{expected:?}"));
    }

    #[test]
    fn role_8_whatever_reaches_beyond_loopback_needs_a_spoken_policy() {
        for exposed in [
            "0.0.0.0:0",
            "[::]:0",
            "192.0.2.1:0",
            "[::ffff:0.0.0.0]:0",
            "[::ffff:192.0.2.1]:0",
            "[fe80::1]:0",
        ] {
            for flag in ["--tcp", "--tcp-raw", "--ws", "--tls", "--wss"] {
                assert!(
                    matches!(config(&[flag, exposed]), Err(ArgsError::Exposed { .. })),
                    "{flag} {exposed}"
                );
                // A listener for TLS then lacks only a certificate.
                let spoken = config(&[flag, exposed, "--upgrade", "open"]);
                assert!(matches!(spoken, Ok(_) | Err(ArgsError::NoCertificate { .. })), "{flag} {exposed}");
            }
            // A listener on loopback does not excuse another one.
            assert!(config(&["--tcp", "127.0.0.1:0", "--ws", exposed]).is_err(), "{exposed}");
        }
        for own in ["127.0.0.1:0", "127.1.2.3:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert!(config(&["--tcp", own]).is_ok(), "{own}");
        }
    }

    #[test]
    fn a_hosts_addresses_are_all_of_those_that_it_has_and_each_once() {
        let Addresses(localhost) = addresses("localhost:1601").unwrap();
        let mut resolved: Vec<_> = "localhost:1601".to_socket_addrs().unwrap().collect();
        for address in &localhost {
            assert!(resolved.contains(address));
            resolved.retain(|other| other != address);
        }
        assert_eq!(resolved, []);
        assert_eq!(metrics_addresses("9464"), Ok(Addresses(vec![loopback(9464)])));
    }

    #[test]
    fn ws_8_a_mistaken_origin_is_refused_at_the_start() {
        assert!(config(&["--allow-origin", "https://a.example", "--allow-origin", "*"]).is_ok());
        assert!(matches!(config(&["--allow-origin", "a.example"]), Err(ArgsError::Origin { .. })));
    }
}
