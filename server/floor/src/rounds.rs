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

/// Runs all rounds of these windows, those of a block together; `after` hears of each.
///
/// A block that a starved machine spoiled is measured again, and that is said.
pub fn run<C: Cell>(
    blocks: &[Vec<C>],
    rounds: usize,
    mut windows: impl FnMut(&[C]) -> anyhow::Result<Vec<Window>>,
    mut after: impl FnMut(usize, &Round<C>),
) -> anyhow::Result<Vec<Round<C>>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut order = blocks.to_vec();
    let mut measured = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        order.shuffle(&mut random);
        let mut round = Round::new();
        for block in &mut order {
            // Within a block as well: who begins is drawn.
            block.shuffle(&mut random);
            round.extend(block.iter().copied().zip(at_last(block, &mut windows)?));
        }
        after(number, &round);
        measured.push(round);
    }
    Ok(measured)
}

fn at_last<C: Cell>(
    block: &[C],
    windows: &mut impl FnMut(&[C]) -> anyhow::Result<Vec<Window>>,
) -> anyhow::Result<Vec<Window>> {
    let mut tries = 1;
    loop {
        match windows(block) {
            Err(error) if tries < TRIES => {
                eprintln!("again: {block:?}: {error:#}");
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}
