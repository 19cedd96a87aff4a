//! The two sides of a load.

use super::named::named;

named! {
    /// Which side was at its limit.
    Side {
        /// The target.
        Server "server",
        /// This program.
        Generator "generator",
    }
}
