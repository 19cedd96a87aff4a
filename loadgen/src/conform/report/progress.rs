//! A line for each group of cases, on stderr, once all of the group are done.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::super::suite::Event;
use super::summary::{Counts, in_words};

/// Shows how far a suite is.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    due: usize,
    counts: Counts,
}

impl Progress {
    /// Nothing is shown where it is `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { quiet, groups: BTreeMap::new() }
    }

    /// Takes what happens.
    pub fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Begins(due) => {
                for group in due {
                    self.groups.entry((*group).to_owned()).or_default().due += 1;
                }
            }
            Event::Done(result) => {
                let group = self.groups.entry(result.group.clone()).or_default();
                *group.counts.entry(result.verdict).or_default() += 1;
                if group.counts.values().sum::<usize>() == group.due {
                    let line = format!("{:<20} {}", result.group, in_words(&group.counts));
                    self.show(&line);
                }
            }
            Event::Died(case) => self.show(&format!("the server died in `{case}` and is started anew")),
        }
    }

    fn show(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
