//! Judgements over a finished record: whether a load's figures may be trusted, whether thresholds hold.
//!
//! Pure functions; nothing here measures or draws.

pub mod floor;
pub mod losses;
pub mod thresholds;
pub mod verdict;
