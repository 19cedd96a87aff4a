//! Every window once a round, in an order that is drawn anew each time; a round's windows are compared with each other.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::hash::Hash;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use twinwire_statistics::Median;

use crate::table::{Bar, figure, interval, verdict};
use crate::window::{Side, Window};

/// Seeds the order of the windows. Any number does: the order only has to be balanced, and the same for a rerun.
const SEED: u64 = 20;

/// How often one block is tried. A fault of the programs shows each time; a machine that had no time for one of the
/// processes at an edge of a window is a matter of chance.
const TRIES: u32 = 3;

/// Which server and generator a window is of.
pub trait Cell: Copy + Eq + Hash + Debug {
    fn transport(self) -> &'static str;
    /// The names of server and generator in the table.
    fn sides(self) -> (&'static str, &'static str);
}

/// One round's windows.
pub type Round<C> = HashMap<C, Window>;

/// A ratio of two cells' CPU for each request.
#[derive(Debug, Clone, Copy)]
pub struct Ratio<C> {
    pub name: &'static str,
    pub side: Side,
    pub of: C,
    pub to: C,
    /// `None` if the ratio is only shown.
    pub bar: Option<Bar>,
}

/// A line of the table of ratios.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub transport: &'static str,
    pub name: &'static str,
    pub median: Option<Median>,
    pub bar: Option<Bar>,
}

impl<C: Cell> Ratio<C> {
    /// Over these rounds; a round without one of the two windows does not count.
    #[must_use]
    pub fn line(&self, rounds: &[Round<C>]) -> Line {
        let us = |round: &Round<C>, cell: C| round.get(&cell)?.us(self.side);
        let ratio = |round| Some(us(round, self.of)? / us(round, self.to)?);
        let median = Median::of(rounds.iter().filter_map(ratio));
        Line { transport: self.of.transport(), name: self.name, median, bar: self.bar }
    }
}

/// Runs all rounds; `measure` gives a block's windows in its order. With `progress`, prints each round's ratios that
/// have a bar. A block that a starved machine spoiled is measured again, and a line says so.
pub fn rounds<C: Cell>(
    mut blocks: Vec<Vec<C>>,
    count: usize,
    progress: Option<&[Ratio<C>]>,
    mut measure: impl FnMut(&[C]) -> anyhow::Result<Vec<Window>>,
) -> anyhow::Result<Vec<Round<C>>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut rounds = Vec::with_capacity(count);
    for number in 1..=count {
        blocks.shuffle(&mut random);
        let mut round = Round::new();
        for block in &mut blocks {
            block.shuffle(&mut random);
            let mut tries = 1;
            let windows = loop {
                match measure(block) {
                    Err(error) if tries < TRIES => eprintln!("again: {block:?}: {error:#}"),
                    outcome => break outcome?,
                }
                tries += 1;
            };
            round.extend(block.iter().copied().zip(windows));
        }
        if let Some(ratios) = progress {
            let with_bar = ratios.iter().filter(|ratio| ratio.bar.is_some());
            let lines = with_bar.map(|ratio| ratio.line(std::slice::from_ref(&round)));
            let shown = lines.filter_map(|line| {
                Some(format!(" {} {}: {:.2}", line.transport, line.name, line.median?.value))
            });
            eprintln!("round {number}/{count}:{}", shown.collect::<Vec<_>>().join(";"));
        }
        rounds.push(round);
    }
    Ok(rounds)
}

/// The table of ratios, and whether every bar is met.
#[must_use]
pub fn ratios(lines: &[Line]) -> (String, bool) {
    let mut out = format!(
        "{:10} {:36} {:>7} {:>17} {:>6}\n",
        "transport", "ratio of CPU for each request", "median", "95 % interval", "bar"
    );
    let mut all_met = true;
    for Line { transport, name, median, bar } in lines {
        let (verdict, is_met) = match bar {
            Some(bar) => verdict(bar.is_met(*median), "too few rounds for an interval"),
            None => ("", true),
        };
        all_met &= is_met;
        let (value, interval) = (figure(median.map(|median| median.value), 3), interval(*median, 3));
        let bar = bar.map_or("–".to_owned(), |bar| bar.to_string());
        let _ = writeln!(out, "{transport:10} {name:36} {value:>7} {interval:>17} {bar:>6}  {verdict}");
    }
    (out, all_met)
}

/// What each cell cost, as medians over the rounds.
#[must_use]
pub fn costs<C: Cell>(rounds: &[Round<C>], cells: &[C]) -> String {
    let mut out = format!(
        "{:10} {:6} {:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}\n",
        "transport",
        "server",
        "generator",
        "server µs",
        "generator µs",
        "both µs",
        "requests/s",
        "server CPU",
        "generator CPU",
        "stolen"
    );
    for &cell in cells {
        let median = |of: &dyn Fn(&Window) -> Option<f64>| {
            Some(Median::of(rounds.iter().filter_map(|round| of(round.get(&cell)?)))?.value)
        };
        let us = |side| figure(median(&|window| window.us(side)), 2);
        let percent = |share: &dyn Fn(&Window) -> Option<f64>| {
            format!("{} %", figure(median(share).map(|share| share * 100.0), 0))
        };
        let (server, generator) = cell.sides();
        let _ = writeln!(
            out,
            "{:10} {server:6} {generator:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}",
            cell.transport(),
            us(Side::Server),
            us(Side::Generator),
            us(Side::Both),
            figure(median(&|window| Some(window.rate())), 0),
            percent(&|window| Some(window.busy(Side::Server))),
            percent(&|window| Some(window.busy(Side::Generator))),
            percent(&|window| window.steal),
        );
    }
    out
}
