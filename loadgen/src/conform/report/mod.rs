//! What a suite found, for people and programs.

mod progress;
mod terminal;

pub use progress::Progress;
pub use terminal::{list, terminal};
