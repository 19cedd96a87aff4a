//! When a load's requests are made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LatencyKind;

/// Open or closed load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Requests come at instants of their own, independent of the server.
    Open {
        /// Requests a second over all clients; `None` where every phase states its own.
        rate: Option<Rate>,
        /// How the instants are spread.
        arrivals: Arrivals,
    },
    /// Each client waits for the reply, thinks, and sends the next request.
    Closed {
        /// The pause between a reply and the next request.
        think: Think,
    },
}

/// Offered rate of an open load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// Requests a second over all clients; finite and positive.
    PerSecond(f64),
    /// Share (over 0, at most 1) of what a short probe of the slowest transport reached.
    Share(f64),
}

/// Spread of an open load's instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// A Poisson process: exponential gaps.
    Poisson,
    /// Equal gaps.
    Uniform,
}

/// Pause of a closed load's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Think {
    /// Always the same; zero: the next request follows at once.
    Constant(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
}

impl Model {
    /// `open` or `closed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        if self.is_open() { "open" } else { "closed" }
    }

    /// Whether requests come at instants of their own.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Whether clients never pause. The throughput is then the limit of one side, and the latency that of a queue.
    #[must_use]
    pub fn saturates(&self) -> bool {
        *self == Self::Closed { think: Think::Constant(Duration::ZERO) }
    }

    /// The headline latency of such a load: response for an open one, service for a closed one.
    #[must_use]
    pub const fn headline_kind(&self) -> LatencyKind {
        if self.is_open() { LatencyKind::Response } else { LatencyKind::Service }
    }

    /// Rate and arrivals, or think time, for people.
    #[must_use]
    pub fn pace(&self) -> String {
        match self {
            Self::Closed { think: Think::Constant(think) } if think.is_zero() => "no think time".to_owned(),
            Self::Closed { think: Think::Constant(think) } => format!("think time {}", spaced(*think)),
            Self::Closed { think: Think::Exponential(mean) } => {
                format!("exponential think time, mean {}", spaced(*mean))
            }
            Self::Open { rate, arrivals } => {
                let arrivals = match arrivals {
                    Arrivals::Poisson => "Poisson",
                    Arrivals::Uniform => "uniform",
                };
                match rate {
                    Some(Rate::PerSecond(rate)) => format!("{rate} requests/s, {arrivals} arrivals"),
                    Some(Rate::Share(share)) => {
                        format!("{:.0} % of the probed rate, {arrivals} arrivals", share * 100.0)
                    }
                    None => format!("rate by phase, {arrivals} arrivals"),
                }
            }
        }
    }
}

/// A duration with a space before its unit.
fn spaced(duration: Duration) -> String {
    let text = format!("{duration:?}");
    let unit = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}
