//! Binary of the reference server.
fn main() {}
