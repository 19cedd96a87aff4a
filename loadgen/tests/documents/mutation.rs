//! Texts of TOML with a few random changes.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is put in wherever a document is read.
const SNIPPETS: &[&str] = &[
    "",
    "0",
    "-1",
    "99999999999999999999",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    "\n",
    "é",
    "\0",
    "nan",
    "true",
    "\"5s\"",
    "[[load]]\n",
    "#",
];

/// One of these texts, in which some characters have given way to snippets, these more among them.
pub fn of(texts: Vec<String>, more: &[&'static str]) -> impl Strategy<Value = String> {
    let snippet = select([SNIPPETS, more].concat());
    let change = (any::<Index>(), 0..6_usize, snippet);
    (select(texts), prop::collection::vec(change, 1..6)).prop_map(|(mut text, changes)| {
        for (index, length, snippet) in changes {
            let boundaries: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            let Some(&start) = boundaries.get(index.index(boundaries.len().max(1))) else { continue };
            let end = boundaries.iter().copied().find(|&at| at >= start + length).unwrap_or(text.len());
            text.replace_range(start..end, snippet);
        }
        text
    })
}
