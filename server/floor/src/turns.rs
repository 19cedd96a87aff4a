//! Several servers measured as near to each other in time as can be: one generator asks them in turn.
//!
//! What disturbs a machine lasts for seconds, and falls on whoever is measured just then. Turns of a tenth of a second
//! spread it evenly, and one generator for all of them has no part in the difference. A server costs nothing while
//! another has its turn.

use crate::roles::Task;
use crate::tcp::Crowd;
use crate::window::Window;

/// Turns that make up a window.
pub const TURNS: u32 = 10;

/// Each turn's requests before it are not counted: what the last server has left in the caches goes out.
const WARMUPS_PER_TURN: u32 = 5;

/// A window for each task, made of turns. `length` is the whole window's, and the first turn of each is not counted.
pub fn alternate(tasks: &[Task]) -> anyhow::Result<Vec<Window>> {
    let tasks: Vec<Task> = tasks
        .iter()
        .map(|task| {
            let length = task.length / TURNS;
            Task { warmup: length / WARMUPS_PER_TURN, length, ..task.clone() }
        })
        .collect();
    let mut crowds: Vec<Crowd> = tasks.iter().map(Crowd::open).collect::<Result<_, _>>()?;
    let mut turn = |number: usize| crowds[number].turn(&tasks[number]);
    for number in 0..tasks.len() {
        turn(number)?;
    }
    let mut windows: Vec<Window> = (0..tasks.len()).map(&mut turn).collect::<Result<_, _>>()?;
    for round in 1..TURNS {
        // There and back: none is always behind the same other.
        for place in 0..windows.len() {
            let number = if round % 2 == 0 { place } else { windows.len() - 1 - place };
            windows[number] = windows[number].and(&turn(number)?);
        }
    }
    Ok(windows)
}
