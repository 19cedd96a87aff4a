//! What callgrind has counted, by the crate that the code comes from.
//!
//! The format: <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::HashMap;

use anyhow::{Context, ensure};

/// Instructions by crate.
pub type Counts = HashMap<String, u64>;

/// The server's own code.
pub const OURS: &str = "twinwire-server";
/// What comes with the compiler.
pub const STANDARD: &str = "standard library";
/// Everything that is not Rust.
pub const C_LIBRARY: &str = "C library";

/// Adds up a whole dump. Fails where the parts are not the sum that it tells itself.
pub fn counts(dump: &str) -> anyhow::Result<Counts> {
    // A file is named once, and by its number from then on.
    let mut names: HashMap<&str, String> = HashMap::new();
    let (mut counts, mut total) = (Counts::new(), None);
    let (mut file, mut is_call) = ("", false);
    for line in dump.lines() {
        let (key, value) = line.split_once('=').unwrap_or_default();
        if matches!(key, "fl" | "fi" | "fe" | "cfi" | "cfl") {
            let (number, name) = value.split_once(')').context("a file without a number")?;
            if !name.is_empty() {
                names.insert(number, crate_of(name.trim_start()));
            }
            if !key.starts_with('c') {
                file = number;
            }
        } else if key == "calls" {
            is_call = true;
        } else if let Some(sum) = line.strip_prefix("summary: ") {
            total = Some(sum.trim().parse::<u64>()?);
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // What a call has cost is counted where it was spent.
            if !std::mem::take(&mut is_call) {
                let cost: u64 = line.split(' ').nth(1).unwrap_or("0").parse()?;
                let name = names.get(file).map_or(C_LIBRARY, String::as_str);
                *counts.entry(name.to_owned()).or_default() += cost;
            }
        }
    }
    let sum: u64 = counts.values().sum();
    ensure!(total == Some(sum), "callgrind counted {total:?} instructions, and {sum} of them have a file");
    Ok(counts)
}

/// The crate whose file this is.
fn crate_of(path: &str) -> String {
    let in_registry = path.split_once("/registry/src/").and_then(|(_, rest)| rest.split('/').nth(1));
    match in_registry.and_then(|folder| folder.rsplit_once('-')) {
        Some((name, _version)) => name.to_owned(),
        None if path.contains("/server/src/") => OURS.to_owned(),
        None if path.starts_with("/rustc/") || path.starts_with("/rust/deps/") => STANDARD.to_owned(),
        None => C_LIBRARY.to_owned(),
    }
}
