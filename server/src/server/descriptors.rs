//! How many connections the process's limit on open files allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::StartError;
use crate::{config::Config, operator, runtime::CLOSING_MAX};

/// What a process needs without any client: standard streams, libraries' files, and some to spare.
const PROCESS_DESCRIPTORS: usize = 32;

/// What a server with one worker and one client needs. The runtime's library panics if some of them are missing.
const DESCRIPTORS_MIN: usize = 16;

/// What a worker's runtime opens: its epoll, its waker, and their duplicates.
const WORKER_DESCRIPTORS: usize = 8;

/// The most connections to serve at once: as configured, or as many as the descriptors allow.
///
/// Raises the process's soft limit to its hard limit first, as far as the system allows.
pub(super) fn connections_max(config: &Config) -> Result<usize, StartError> {
    let operator =
        if config.control.is_some() || !config.metrics.is_empty() { operator::DESCRIPTORS } else { 0 };
    let listeners = config.listeners.iter().map(|endpoint| endpoint.addresses.len()).sum::<usize>();
    let listeners = listeners + config.metrics.len();
    let reserved = PROCESS_DESCRIPTORS
        + WORKER_DESCRIPTORS * config.workers.count()
        + listeners
        + CLOSING_MAX
        + operator;
    let limit = raise();
    if limit < DESCRIPTORS_MIN {
        return Err(StartError::TooFewDescriptors { needed: DESCRIPTORS_MIN, limit });
    }
    match config.connections_max {
        None => Ok(limit.saturating_sub(reserved).max(1)),
        Some(connections) => {
            let connections = connections.get();
            let needed = connections.saturating_add(reserved);
            if needed > limit {
                return Err(StartError::Descriptors { connections, needed, limit });
            }
            Ok(connections)
        }
    }
}

/// The limit in force after trying to raise it. If none can be read, none is assumed.
fn raise() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}
