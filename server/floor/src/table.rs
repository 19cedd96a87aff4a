//! What is printed: the costs, the ratios with their intervals, and whether the bars are met.

use std::fmt::Write;

use crate::estimate::{Bar, Estimate};
use crate::rounds::{Cell, Round};
use crate::window::{Side, Window};

/// One ratio that is reported: CPU for each request of one cell to that of another.
#[derive(Debug, Clone, Copy)]
pub struct Ratio<C> {
    /// What it is called.
    pub what: &'static str,
    /// Whose CPU.
    pub side: Side,
    /// Of which cell.
    pub of: C,
    /// To which.
    pub to: C,
    /// What it is held against; `None` where it is only told.
    pub bar: Option<Bar>,
}

/// A line of the second table.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The transport's name.
    pub transport: &'static str,
    /// What is estimated.
    pub what: &'static str,
    /// `None` where nothing was measured.
    pub estimate: Option<Estimate>,
    /// What it is held against.
    pub bar: Option<Bar>,
}

impl<C: Cell> Ratio<C> {
    /// Its value over the rounds, each round's two windows against each other.
    #[must_use]
    pub fn estimate(&self, rounds: &[Round<C>]) -> Option<Estimate> {
        let us = |round: &Round<C>, cell: C| round.get(&cell)?.us(self.side);
        let ratio = |round| Some(us(round, self.of)? / us(round, self.to)?);
        Estimate::of(rounds.iter().filter_map(ratio).collect())
    }

    /// Its line over the rounds.
    #[must_use]
    pub fn line(&self, rounds: &[Round<C>]) -> Line {
        Line {
            transport: self.of.transport(),
            what: self.what,
            estimate: self.estimate(rounds),
            bar: self.bar,
        }
    }
}

/// The second table, and whether every bar is met.
#[must_use]
pub fn ratios(lines: &[Line]) -> (String, bool) {
    let mut out = format!(
        "{:10} {:36} {:>7} {:>17} {:>6}\n",
        "transport", "ratio of CPU for each request", "median", "95 % interval", "bar"
    );
    let mut all_met = true;
    for Line { transport, what, estimate, bar } in lines {
        let (verdict, met) = verdict(*bar, *estimate);
        all_met &= met;
        let interval = interval(*estimate, 3);
        let median = figure(estimate.map(|estimate| estimate.median), 3);
        let bar = bar.map_or("–".to_owned(), |bar| bar.to_string());
        let _ = writeln!(out, "{transport:10} {what:36} {median:>7} {interval:>17} {bar:>6}  {verdict}");
    }
    (out, all_met)
}

fn verdict(bar: Option<Bar>, estimate: Option<Estimate>) -> (&'static str, bool) {
    let Some(bar) = bar else { return ("", true) };
    match estimate.and_then(|estimate| estimate.meets(bar)) {
        Some(true) => ("met", true),
        Some(false) => ("missed", false),
        None => ("too few rounds to tell", false),
    }
}

/// The first table: what each cell cost, as medians over the rounds.
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
        let us = |side| figure(median(rounds, cell, |window| window.us(side)), 2);
        let percent = |share: &dyn Fn(&Window) -> Option<f64>| {
            let share = median(rounds, cell, share).map(|share| share * 100.0);
            format!("{} %", figure(share, 0))
        };
        let (server, generator) = cell.sides();
        let _ = writeln!(
            out,
            "{:10} {server:6} {generator:9} {:>10} {:>13} {:>8} {:>11} {:>11} {:>14} {:>7}",
            cell.transport(),
            us(Side::Server),
            us(Side::Generator),
            us(Side::Both),
            figure(median(rounds, cell, |window| Some(window.rate())), 0),
            percent(&|window| Some(window.busy(Side::Server))),
            percent(&|window| Some(window.busy(Side::Generator))),
            percent(&|window| window.steal),
        );
    }
    out
}

/// Median over the rounds of some figure of a cell's windows.
pub fn median<C: Cell>(rounds: &[Round<C>], cell: C, of: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
    let figures = rounds.iter().filter_map(|round| of(round.get(&cell)?));
    Some(Estimate::of(figures.collect())?.median)
}

/// A figure with so many decimals; a dash for none.
#[must_use]
pub fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// An estimate's interval with so many decimals; a dash for none.
#[must_use]
pub fn interval(estimate: Option<Estimate>, decimals: usize) -> String {
    let interval = estimate.and_then(|estimate| estimate.interval);
    interval.map_or("–".to_owned(), |(low, high)| format!("{low:.decimals$} to {high:.decimals$}"))
}
