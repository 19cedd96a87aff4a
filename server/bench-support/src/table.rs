//! Bars, and how figures are printed.

use std::fmt;

use twinwire_statistics::Median;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Between one over this and this, for a ratio of two figures that should be equal.
    Within(f64),
}

impl Bar {
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(bar) => figure <= bar,
            Self::AtLeast(bar) => figure >= bar,
            Self::Within(bar) => (1.0 / bar..=bar).contains(&figure),
        }
    }

    /// Whether it holds at the worse end of the interval; `None` without an interval.
    #[must_use]
    pub fn is_met(self, median: Option<Median>) -> Option<bool> {
        let (low, high) = median?.interval()?;
        Some(self.holds(low) && self.holds(high))
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AtMost(bar) => format!("{bar:.2}"),
            Self::AtLeast(bar) => format!("≥ {bar:.2}"),
            Self::Within(bar) => format!("1/{bar:.2}…"),
        };
        f.pad(&text)
    }
}

/// A figure with this many decimals; a dash if there is none.
#[must_use]
pub fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// The interval of a median; a dash if there is none.
#[must_use]
pub fn interval(median: Option<Median>, decimals: usize) -> String {
    let interval = median.and_then(|median| median.interval());
    interval.map_or("–".to_owned(), |(low, high)| format!("{low:.decimals$} to {high:.decimals$}"))
}

/// What is printed of a bar, and whether the run may pass.
#[must_use]
pub fn verdict(is_met: Option<bool>, unknown: &str) -> (&str, bool) {
    match is_met {
        Some(true) => ("met", true),
        Some(false) => ("missed", false),
        None => (unknown, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_must_hold_at_the_worse_end_of_the_interval() {
        let median = Median::of([0.9, 1.0, 1.0, 1.0, 1.1, 1.2]);
        for (bar, is_met) in [
            (Bar::AtMost(1.2), true),
            (Bar::AtMost(1.1), false),
            (Bar::AtLeast(0.9), true),
            (Bar::AtLeast(1.0), false),
            (Bar::Within(1.2), true),
            (Bar::Within(1.1), false),
        ] {
            assert_eq!(bar.is_met(median), Some(is_met), "{bar:?}");
        }
        assert_eq!(Bar::AtMost(2.0).is_met(Median::of([1.0; 5])), None);
    }
}
