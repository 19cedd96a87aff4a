//! The experiment: every window once a round, in an order that is drawn anew each time.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::window::Window;

/// Seeds the order of the windows. Any number does: the order only has to be balanced, and the same for a rerun.
const SEED: u64 = 20;

/// How often one window is tried. A fault of the programs shows each time, a machine that had no time for one of the
/// processes at an edge of the window does not.
const TRIES: u32 = 3;

/// Who talks to whom in a window.
pub trait Cell: Copy + Eq + Hash + Debug {
    /// The transport's name.
    fn transport(self) -> &'static str;
    /// The names of server and generator in the table.
    fn sides(self) -> (&'static str, &'static str);
}

/// One round's windows.
pub type Round<C> = HashMap<C, Window>;

/// Runs all rounds of these windows; `after` hears of each.
///
/// A window that a starved machine spoiled is measured again, and that is said.
pub fn run<C: Cell>(
    cells: &[C],
    rounds: usize,
    mut window: impl FnMut(C) -> anyhow::Result<Window>,
    mut after: impl FnMut(usize, &Round<C>),
) -> anyhow::Result<Vec<Round<C>>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut order = cells.to_vec();
    let mut measured = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        order.shuffle(&mut random);
        let mut round = Round::new();
        for &cell in &order {
            round.insert(cell, at_last(cell, &mut window)?);
        }
        after(number, &round);
        measured.push(round);
    }
    Ok(measured)
}

fn at_last<C: Cell>(cell: C, window: &mut impl FnMut(C) -> anyhow::Result<Window>) -> anyhow::Result<Window> {
    let mut tries = 1;
    loop {
        match window(cell) {
            Err(error) if tries < TRIES => {
                eprintln!("again: {cell:?}: {error:#}");
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}
