//! Every window once a round, in an order that is drawn anew each time; the ratios of a round's windows; and the bars that
//! figures are held against.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::Hash;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use twinwire_statistics::Median;

use crate::run::Plan;
use crate::window::{Side, Window};

/// Seeds the order of the windows. Any number does: the order only has to be balanced, and the same for a rerun.
const SEED: u64 = 20;

/// How often one block is tried. A fault of the programs shows each time; that the machine had no time for one of the
/// processes at an edge of a window is a matter of chance.
const TRIES: u32 = 3;

/// Which server and generator a window is of.
pub trait Pairing: Copy + Eq + Hash + Debug {
    /// Transport, server and generator in the table.
    fn names(self) -> [&'static str; 3];
}

/// One round's windows.
pub type Round<P> = HashMap<P, Window>;

/// A ratio of two pairings' CPU for each request.
#[derive(Debug, Clone, Copy)]
pub struct Ratio<P> {
    pub name: &'static str,
    pub side: Side,
    pub of: P,
    pub to: P,
    /// `None` if the ratio is only shown.
    pub bar: Option<Bar>,
}

impl<P: Pairing> Ratio<P> {
    /// Its median over these rounds; a round without one of the two windows does not count.
    pub fn median(&self, rounds: &[Round<P>]) -> Option<Median> {
        let us = |round: &Round<P>, pairing: P| round.get(&pairing)?.us(self.side);
        Median::of(rounds.iter().filter_map(|round| Some(us(round, self.of)? / us(round, self.to)?)))
    }
}

/// Runs all rounds; `measure` gives a block's windows in its order. A measurement prints each round's ratios that have a
/// bar. A block that a starved machine spoiled is measured again, and a line says so.
pub fn rounds<P: Pairing>(
    plan: &Plan,
    mut blocks: Vec<Vec<P>>,
    ratios: &[Ratio<P>],
    mut measure: impl FnMut(&[P]) -> anyhow::Result<Vec<Window>>,
) -> anyhow::Result<Vec<Round<P>>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut rounds = Vec::with_capacity(plan.rounds);
    for number in 1..=plan.rounds {
        blocks.shuffle(&mut random);
        let mut round = Round::new();
        for block in &mut blocks {
            block.shuffle(&mut random);
            let mut tries = 1;
            let windows = loop {
                match measure(block) {
                    Err(error) if tries < TRIES => eprintln!("again: {block:?}: {error:#}"),
                    result => break result?,
                }
                tries += 1;
            };
            round.extend(block.iter().copied().zip(windows));
        }
        rounds.push(round);
        if plan.is_measurement {
            let with_bar = ratios.iter().filter(|ratio| ratio.bar.is_some());
            let shown = with_bar.filter_map(|ratio| {
                let median = ratio.median(&rounds[number - 1..])?;
                Some(format!(" {} {}: {:.2}", ratio.of.names()[0], ratio.name, median.value))
            });
            eprintln!("round {number}/{}:{}", plan.rounds, shown.collect::<Vec<_>>().join(";"));
        }
    }
    Ok(rounds)
}

/// Prints what each pairing cost, as medians over the rounds, and the ratios; whether every bar is met.
pub fn print<P: Pairing>(rounds: &[Round<P>], pairings: &[P], ratios: &[Ratio<P>]) -> bool {
    println!(
        "\ntransport  server generator  server µs  generator µs  both µs  requests/s  server CPU  generator CPU  stolen"
    );
    for &pairing in pairings {
        let median = |of: &dyn Fn(&Window) -> Option<f64>| {
            Some(Median::of(rounds.iter().filter_map(|round| of(round.get(&pairing)?)))?.value)
        };
        let us = |side| figure(median(&|window| window.us(side)), 2);
        let percent = |share: &dyn Fn(&Window) -> Option<f64>| {
            format!("{} %", figure(median(share).map(|share| share * 100.0), 0))
        };
        let [transport, server, generator] = pairing.names();
        println!(
            "{transport:10} {server:6} {generator:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}",
            us(Side::Server),
            us(Side::Generator),
            us(Side::Both),
            figure(median(&|window| Some(window.rate())), 0),
            percent(&|window| Some(window.busy(Side::Server))),
            percent(&|window| Some(window.busy(Side::Generator))),
            percent(&|window| window.steal),
        );
    }
    println!(
        "Medians over the rounds. µs: user and system time for each request. One side's CPU is near 100 % in a closed\n\
         load; if neither is, other programs ran at the same time, and the ratios are wider than they need be.\n\n\
         {:10} {:36} {:>7} {:>17} {:>6}",
        "transport", "ratio of CPU for each request", "median", "95 % interval", "bar"
    );
    let rows = ratios
        .iter()
        .map(|ratio| print_ratio(ratio.of.names()[0], ratio.name, ratio.median(rounds), ratio.bar));
    rows.filter(|is_met| !is_met).count() == 0
}

/// Prints a row of the table of ratios; whether its bar is met.
pub fn print_ratio(transport: &str, name: &str, median: Option<Median>, bar: Option<Bar>) -> bool {
    let (verdict, is_met) = match bar {
        Some(bar) => verdict(bar.is_met(median), "too few rounds for an interval"),
        None => ("", true),
    };
    let (value, interval) = (figure(median.map(|median| median.value), 3), interval(median, 3));
    let bar = bar.map_or("–".to_owned(), |bar| bar.to_string());
    println!("{transport:10} {name:36} {value:>7} {interval:>17} {bar:>6}  {verdict}");
    is_met
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Between one over this and this, for a ratio of two figures that should be equal.
    Within(f64),
}

impl Bar {
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(bar) => figure <= bar,
            Self::AtLeast(bar) => figure >= bar,
            Self::Within(bar) => (1.0 / bar..=bar).contains(&figure),
        }
    }

    /// Whether it holds at the worse end of the interval; `None` without an interval.
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

/// A figure with this many decimals, or a dash.
pub fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// The interval of a median, or a dash.
pub fn interval(median: Option<Median>, decimals: usize) -> String {
    let interval = median.and_then(|median| median.interval());
    interval.map_or("–".to_owned(), |(low, high)| format!("{low:.decimals$} to {high:.decimals$}"))
}

/// What is printed of a bar, and whether it is known to be met.
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
