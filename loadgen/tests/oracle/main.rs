//! The oracle from outside: against brute force, and under threads.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

mod histories;
mod threads;
