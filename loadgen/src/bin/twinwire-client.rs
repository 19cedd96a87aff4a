//! The client's binary.
fn main() {}
