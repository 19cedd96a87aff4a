//! What a suite found, for people and programs.

mod badge;
mod details;
mod explain;
#[cfg(test)]
mod fixture;
mod html;
mod json;
mod junit;
mod markdown;
mod progress;
mod summary;
mod terminal;

pub use badge::badge;
pub use explain::Subject;
pub use html::html;
pub use json::{begun, json, line, list_json, record};
pub use junit::junit;
pub use markdown::markdown;
pub use progress::Progress;
pub use terminal::{list, terminal};
