//! What became of the clients of a worker, apart from the figures of their requests.

use twinwire_os::clock::Nanos;

use super::super::session::SetupTimes;
use super::backlog::BacklogFigures;
use crate::measure::pauses::Pause;

#[derive(Debug)]
pub struct ClientOutcomes {
    /// By transport.
    pub transports: Vec<TransportOutcomes>,
    /// How the first client was lost, if any was.
    pub first_lost: Option<String>,
    pub pauses: Vec<WorkerPause>,
}

#[derive(Debug, Default)]
pub struct TransportOutcomes {
    /// Clients that were lost.
    pub lost: u32,
    /// Sessions that were renewed during the load.
    pub renewals: SetupTimes,
    /// What waited to be sent. In a mixed load all of it is counted at the first transport.
    pub backlog: BacklogFigures,
    /// Requests of the measured part that lost clients would have sent.
    pub due_of_lost: u64,
    /// Load time that the transport has reached.
    pub reached: Nanos,
}

/// A time in which the worker stood still.
#[derive(Debug, Clone, Copy)]
pub struct WorkerPause {
    /// The transport under load; `None`: all.
    pub transport: Option<u8>,
    /// In load time.
    pub pause: Pause,
}

impl TransportOutcomes {
    /// Adds another's, of another worker or another transport.
    pub fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.renewals.merge(&other.renewals);
        self.backlog.add(&other.backlog);
        self.due_of_lost += other.due_of_lost;
        self.reached = self.reached.max(other.reached);
    }
}

impl ClientOutcomes {
    pub fn new(transports: usize) -> Self {
        let transports = std::iter::repeat_with(TransportOutcomes::default).take(transports).collect();
        Self { transports, first_lost: None, pauses: Vec::new() }
    }

    pub fn merge(&mut self, other: Self) {
        self.transports.iter_mut().zip(&other.transports).for_each(|(sum, part)| sum.merge(part));
        self.first_lost = self.first_lost.take().or(other.first_lost);
        self.pauses.extend(other.pauses);
    }
}
