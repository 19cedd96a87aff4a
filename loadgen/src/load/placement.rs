//! Which CPUs the server and the generator run on.

use twinwire_os::cpus;

/// The CPUs of each side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The server's, if this program starts it; empty: not confined.
    pub server: Vec<usize>,
    /// The generator's, one worker on each; empty: one worker, not confined.
    pub generator: Vec<usize>,
}

impl Placement {
    /// Splits the CPUs that this process may use: the first half to the server, the rest to the generator.
    /// With a single CPU, or a server that this program does not start, nothing is confined.
    #[must_use]
    pub fn split(server_is_ours: bool) -> Self {
        let cpus = cpus::allowed();
        if cpus.len() < 2 || !server_is_ours {
            return Self::default();
        }
        let (server, generator) = cpus.split_at(cpus.len() / 2);
        Self { server: server.to_vec(), generator: generator.to_vec() }
    }

    /// All CPUs in use; empty: every one.
    #[must_use]
    pub fn used(&self) -> Vec<usize> {
        self.server.iter().chain(&self.generator).copied().collect()
    }

    pub(super) fn workers(&self) -> usize {
        self.generator.len().max(1)
    }
}
