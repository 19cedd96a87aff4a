//! The servers that a suite runs against: the target, or several embedded servers, each with limits and a policy of its own
//! so that every case finds what it needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::RwLock;

use super::case::model::Need;
use super::profile::{Limits, Operator, Policy, Profile};
use crate::domain::Transport;
use crate::targets::embedded::{self, Embedded};
use crate::targets::{Target, TargetError};
use crate::wire::Endpoint;

/// A server with what is known of it.
#[derive(Debug)]
pub struct Server {
    /// What distinguishes it from the others, for people; empty for the only one.
    pub(super) name: &'static str,
    /// The transports that it offers and that are tested.
    pub(super) transports: Vec<Transport>,
    pub(super) profile: Profile,
    /// Many cases use it at once; who starts it anew, or must be alone, uses it alone.
    pub(super) running: RwLock<Running>,
}

/// A server as it runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) target: Target,
    pub(super) endpoints: Vec<Endpoint>,
    /// How often it was started anew.
    pub(super) restarts: u32,
}

impl Server {
    /// The only server: a target with its profile.
    #[must_use]
    pub fn target(target: Target, transports: Vec<Transport>, profile: Profile) -> Self {
        let running = RwLock::new(Running { target, endpoints: Vec::new(), restarts: 0 });
        Self { name: "", transports, profile, running }
    }

    /// The same server, tested over these transports alone.
    #[must_use]
    pub fn over(self, transports: &[Transport]) -> Self {
        Self { transports: transports.to_vec(), ..self }
    }

    /// Whether it is known to have this.
    pub(super) fn has(&self, need: Need) -> bool {
        let Profile { upgrade, limits, operator, .. } = &self.profile;
        match need {
            Need::UpgradeOpen => *upgrade == Policy::Open,
            Need::UpgradeSecret => matches!(upgrade, Policy::Secret(_)),
            Need::UpgradeClosed => *upgrade == Policy::Closed,
            Need::ManagerCap => limits.managers.is_some(),
            Need::ConnectionLimit => limits.connections.is_some(),
            Need::KeyLimit => limits.keys.is_some(),
            Need::ByteLimit => limits.bytes.is_some(),
            Need::LoginTimeout => limits.login_timeout.is_some(),
            Need::IdleTimeout => limits.idle_timeout.is_some(),
            Need::Promote => operator.promote.is_some(),
            Need::Demote => operator.demote.is_some(),
            Need::Disconnect => operator.disconnect.is_some(),
        }
    }

    /// Starts it, or starts it anew, where it is the harness's to start.
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), TargetError> {
        running.target.fresh(&self.transports, &[]).await?;
        let endpoints = self.transports.iter().filter_map(|transport| running.target.endpoint(*transport));
        running.endpoints = endpoints.collect();
        Ok(())
    }
}

/// The embedded servers, and the folder of their sockets, which must outlive them.
#[derive(Debug)]
pub struct EmbeddedServers {
    /// The first has no limits that a case could run into by chance.
    pub servers: Vec<Server>,
    /// The folder.
    pub folder: TempDir,
}

/// The limits that cases are to run into; each is small, so that few requests are needed, and larger than what the suite's
/// cases need besides.
const LIMITS: Limits = Limits {
    connections: Some(24),
    managers: Some(3),
    keys: Some(100),
    bytes: Some(256 * 1024),
    login_timeout: None,
    idle_timeout: None,
};

/// The time-outs that cases wait for: short, and still longer than a busy machine keeps a client waiting.
const TIMEOUTS: Limits = Limits {
    connections: None,
    managers: None,
    keys: None,
    bytes: None,
    login_timeout: Some(Duration::from_secs(1)),
    idle_timeout: Some(Duration::from_millis(1500)),
};

const NO_LIMITS: Limits = Limits {
    connections: None,
    managers: None,
    keys: None,
    bytes: None,
    login_timeout: None,
    idle_timeout: None,
};

/// Plans the embedded servers, which are `executable` and log to the file `log`.
///
/// # Errors
/// Where the system has no room for their sockets.
pub fn embedded(executable: &Path, log: &Path, profile: &Profile) -> std::io::Result<EmbeddedServers> {
    let folder = tempfile::Builder::new().prefix("twinwire-conform-").tempdir()?;
    let secret: String = format!("s{:032x}", rand::random::<u128>());
    let secret_file = folder.path().join("upgrade-secret");
    std::fs::write(&secret_file, &secret)?;
    let kinds = [
        ("open", Policy::Open, NO_LIMITS),
        ("secret", Policy::Secret(secret), NO_LIMITS),
        ("closed", Policy::Closed, NO_LIMITS),
        ("limits", Policy::Open, LIMITS),
        ("time-outs", Policy::Open, TIMEOUTS),
    ];
    let server = |(name, upgrade, limits): (&'static str, Policy, Limits)| {
        let socket = folder.path().join(name);
        let arguments = arguments(&upgrade, &limits, &secret_file, &socket);
        let operator = operator(executable, &socket);
        let target = Embedded::new(executable.to_owned(), log).with_arguments(arguments);
        let mut profile = profile.clone();
        (profile.upgrade, profile.limits, profile.operator) = (upgrade, limits, operator);
        Server {
            name,
            ..Server::target(Target::Embedded(Box::new(target)), Embedded::OFFERS.to_vec(), profile)
        }
    };
    let servers = kinds.map(server).into();
    Ok(EmbeddedServers { servers, folder })
}

fn arguments(policy: &Policy, limits: &Limits, secret_file: &Path, socket: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--control".into(), socket.into()];
    let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
    match policy {
        Policy::Open => add("--upgrade", "open".into()),
        Policy::Closed => add("--upgrade", "closed".into()),
        Policy::Secret(_) => {
            add("--upgrade", "secret".into());
            add("--upgrade-secret-file", secret_file.into());
        }
    }
    let Limits { connections, managers, keys, bytes, login_timeout, idle_timeout } = limits;
    for (flag, limit) in [
        ("--max-connections", connections.map(u64::from)),
        ("--max-managers", managers.map(u64::from)),
        ("--max-keys", keys.map(u64::from)),
        ("--max-user-bytes", *bytes),
    ] {
        if let Some(limit) = limit {
            add(flag, limit.to_string().into());
        }
    }
    for (flag, time) in [("--login-timeout", login_timeout), ("--idle-timeout", idle_timeout)] {
        if let Some(time) = time {
            add(flag, format!("{}ms", time.as_millis()).into());
        }
    }
    arguments
}

/// The commands of the operator of an embedded server with this control socket.
fn operator(executable: &Path, socket: &Path) -> Operator {
    let command = |action: &str| {
        let words: [PathBuf; 6] = [
            executable.into(),
            embedded::SUBCOMMAND.into(),
            "control".into(),
            socket.into(),
            action.into(),
            "{user}".into(),
        ];
        Some(words.map(|word| word.to_string_lossy().into_owned()).into())
    };
    Operator { promote: command("promote"), demote: command("demote"), disconnect: command("disconnect") }
}
