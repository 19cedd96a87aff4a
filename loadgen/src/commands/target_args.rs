//! The flags that choose the target, shared by every command that uses one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CommandError;
use crate::conform::profile::Profile;
use crate::domain::{Framing, Transport};
use crate::scenario::{HOUR, MILLISECOND, duration_within};
use crate::targets::embedded::Embedded;
use crate::targets::launched::Launched;
use crate::targets::{Certificate, Launch, LaunchCommand, Target, TlsSetup, ask_certificate, endpoint};
use crate::wire::{Endpoint, Header, TrustStore};

/// The target; without any of these flags, the embedded server.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target (default: the embedded server, started afresh for each trial)")]
pub struct TargetArgs {
    /// A server that speaks lines over TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp: Option<String>,

    /// A server that speaks unterminated messages over TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub tcp_raw: Option<String>,

    /// A WebSocket server: ws://HOST:PORT/PATH. ws://USER:PASSWORD@HOST:PORT/ sends Basic credentials. No report
    /// contains them, nor anything after a `?`
    #[arg(long, value_name = "URL")]
    pub ws: Option<String>,

    /// A server that speaks lines over TLS. Its certificate must be valid for HOST
    #[arg(long, value_name = "HOST:PORT")]
    pub tls: Option<String>,

    /// A WebSocket server over TLS: wss://HOST:PORT/PATH. Its certificate must be valid for HOST
    #[arg(long, value_name = "URL")]
    pub wss: Option<String>,

    /// Send this header field in each WebSocket handshake, for example for a proxy that needs a key. NAME=@VARIABLE
    /// takes the value from the environment. No report contains the value (repeatable)
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,

    /// Over TLS, trust only the certificates in this PEM file: a CA's, or the server's own self-signed one [default:
    /// those that this system trusts; a certificate made for the embedded server or for {cert} is always trusted]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Start the target: a program and its arguments, split as a shell would split them, but run without a shell.
    /// {tcp}, {tcp-raw}, {ws}, {tls} and {wss} in it become free ports, which are then the target; without them the
    /// target listens at the addresses given by the flags above. For TLS it needs a certificate: its own, valid for
    /// localhost, whose CA --ca names; or the one that the harness makes for {cert} and {key} (PEM files). It is
    /// started afresh for each trial. Everything that it starts is measured and stopped with it, and its output goes to
    /// server.log (repeatable, for example one for each transport)
    #[arg(long, value_name = "CMD ARGS")]
    pub launch: Vec<String>,

    /// How long launched programs may take to listen
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = launch_timeout)]
    pub launch_timeout: Duration,

    /// Fail with exit code 2 if the target lacks this transport, instead of skipping it (repeatable)
    #[arg(long, value_name = "TRANSPORT", value_parser = transport)]
    pub require: Vec<Transport>,

    #[arg(long, value_name = "NAME|FILE", hide = true)]
    profile: Option<String>,
}

fn launch_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, MILLISECOND, HOUR)
}

pub(super) fn transport(name: &str) -> Result<Transport, String> {
    Transport::from_name(name).ok_or_else(|| format!("transports are {}", Transport::NAMES.join(", ")))
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

    /// The target, which logs to the file `log` if the harness starts it. The embedded server takes messages of
    /// `message_bytes` (`None`: its default).
    ///
    /// # Errors
    /// If this program's own file, which starts every target, cannot be found.
    pub fn target(&self, log: &Path, message_bytes: Option<u32>) -> Result<Target, CommandError> {
        let executable = || std::env::current_exe().map_err(CommandError::Machine);
        Ok(match self {
            Self::Embedded => {
                Target::Embedded(Box::new(Embedded::new(executable()?, log).taking(message_bytes)))
            }
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
    /// If an address or a command is not valid, or a required transport is missing.
    pub fn plan(&self) -> Result<Plan, CommandError> {
        let commands: Vec<LaunchCommand> =
            self.launch.iter().map(|text| LaunchCommand::parse(text)).collect::<Result<_, _>>()?;
        let security = self.security(&commands)?;
        let headers = self.headers(&commands)?;
        let endpoints = self.endpoints(security.trust.as_ref(), &headers)?;
        let plan = match (commands.is_empty(), endpoints.is_empty()) {
            (true, true) => Plan::Embedded,
            (true, false) => Plan::External(endpoints),
            (false, _) => {
                let launch = Launch::new(commands, endpoints, security, self.launch_timeout)?;
                Plan::Launched(launch.with_headers(headers))
            }
        };
        match self.require.iter().find(|transport| !plan.transports().contains(transport)) {
            Some(lacking) => Err(CommandError::Usage(format!(
                "the target does not offer `{lacking}`, which --require asks for"
            ))),
            None => Ok(plan),
        }
    }

    /// What the target supports: the profile that `--profile` names.
    ///
    /// # Errors
    /// Everything that is wrong with the profile.
    pub fn profile(&self) -> Result<Profile, CommandError> {
        let Some(name) = &self.profile else { return Ok(Profile::default()) };
        Profile::named(name)
            .map_err(|errors| CommandError::Scenarios { passed: String::new(), failed: vec![errors] })
    }

    /// Refuses `--profile`, for commands that do not know it yet.
    pub(super) fn refuse_profile(&self) -> Result<(), CommandError> {
        match self.profile {
            Some(_) => Err(CommandError::NotYet("`--profile`".to_owned())),
            None => Ok(()),
        }
    }

    /// Which certificates to trust, if the target speaks TLS.
    fn security(&self, commands: &[LaunchCommand]) -> Result<TlsSetup, CommandError> {
        let mut asked = commands.iter().flat_map(LaunchCommand::transports);
        let given = self.given().any(|(transport, _)| transport.is_encrypted());
        let encrypted = given || asked.any(Transport::is_encrypted);
        match (&self.ca, ask_certificate(commands)?) {
            (Some(_), true) => Err(CommandError::Usage(
                "--ca says which certificates to trust, and {cert} in --launch makes one that is trusted anyway: keep one of them"
                    .to_owned(),
            )),
            (Some(_), false) if !encrypted => Err(CommandError::Usage(
                "--ca is for a target that speaks TLS: give --tls, --wss, or {tls} or {wss} in --launch; the embedded \
                 server's certificate is made and trusted without it"
                    .to_owned(),
            )),
            (Some(file), false) => Ok(TlsSetup { trust: Some(TrustStore::file(file)?), certificate: None }),
            (None, true) => {
                let certificate = Certificate::generate()?;
                Ok(TlsSetup { trust: Some(certificate.trust().clone()), certificate: Some(certificate) })
            }
            (None, false) if encrypted => Ok(TlsSetup { trust: Some(TrustStore::system()?), certificate: None }),
            (None, false) => Ok(TlsSetup::default()),
        }
    }

    fn headers(&self, commands: &[LaunchCommand]) -> Result<Vec<Header>, CommandError> {
        let asked = commands.iter().flat_map(LaunchCommand::transports);
        let mut all = asked.chain(self.given().map(|(transport, _)| transport));
        if !self.headers.is_empty() && !all.any(|transport| transport.framing() == Framing::WebSocket) {
            return Err(CommandError::Usage(
                "--header is for a target that speaks WebSocket: give --ws or --wss, or {ws} or {wss} in --launch"
                    .to_owned(),
            ));
        }
        let parse = |text: &String| Ok(Header::parse(text, |name| std::env::var_os(name))?);
        self.headers.iter().map(parse).collect()
    }

    /// The addresses that flags give, by transport.
    fn given(&self) -> impl Iterator<Item = (Transport, &str)> {
        let given = |transport| match transport {
            Transport::Tcp => &self.tcp,
            Transport::TcpRaw => &self.tcp_raw,
            Transport::WebSocket => &self.ws,
            Transport::Tls => &self.tls,
            Transport::Wss => &self.wss,
        };
        Transport::ALL
            .into_iter()
            .filter_map(move |transport| Some((transport, given(transport).as_deref()?)))
    }

    fn endpoints(
        &self,
        trust: Option<&TrustStore>,
        headers: &[Header],
    ) -> Result<Vec<Endpoint>, CommandError> {
        self.given().map(|(transport, text)| Ok(endpoint(transport, text, headers, trust)?)).collect()
    }
}
