//! How long the steps of setting up clients took.

use twinwire_os::clock::Nanos;

use crate::record::Latencies;

/// Times of the steps, over all clients of one transport and worker.
#[derive(Debug, Default)]
pub struct SetupTimes {
    /// Clients set up, or sessions renewed.
    pub clients: u32,
    /// From `q` to its reply, in a session that is renewed.
    pub quit: Latencies,
    pub connect: Latencies,
    pub login: Latencies,
    pub upgrade: Latencies,
    pub preload: Latencies,
}

/// Times of one client's steps, in ns; `None` for a step that was not taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepTimes {
    pub quit: Option<Nanos>,
    pub connect: Option<Nanos>,
    pub login: Option<Nanos>,
    pub upgrade: Option<Nanos>,
    pub preload: Option<Nanos>,
}

impl SetupTimes {
    pub fn add(&mut self, steps: StepTimes) {
        self.clients += 1;
        let parts = [
            (&mut self.quit, steps.quit),
            (&mut self.connect, steps.connect),
            (&mut self.login, steps.login),
            (&mut self.upgrade, steps.upgrade),
            (&mut self.preload, steps.preload),
        ];
        for (latencies, taken) in parts {
            if let Some(ns) = taken {
                latencies.record(ns);
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.clients += other.clients;
        self.quit.merge(&other.quit);
        self.connect.merge(&other.connect);
        self.login.merge(&other.login);
        self.upgrade.merge(&other.upgrade);
        self.preload.merge(&other.preload);
    }
}
