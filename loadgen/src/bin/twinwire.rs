//! The harness's binary.
fn main() {}
