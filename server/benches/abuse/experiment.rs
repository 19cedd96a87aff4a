//! One abuse against one server: windows in pairs, with and without it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use twinwire_floor::{open_files, server::Server};

use crate::{
    abuse::Abuse,
    abuser::Task,
    neighbour::{Latencies, Neighbours},
    peer::Doors,
    processes::{Abusers, serve, settle},
};

/// How many keys a large store has: the default limit.
const STORE_KEYS: usize = 1_000_000;

/// What a process needs beside its abusers' or clients' connections; the server keeps some for those on their way out.
const DESCRIPTORS_SPARE: usize = 512;

/// In how many windows, one after the other, everything of the stores that ended is freed.
const ENDS_WINDOWS: u32 = 3;

/// How long neighbours ask before anything is measured: caches and the processor's clock settle.
const WARMUP: Duration = Duration::from_millis(300);

/// The size of the experiment.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub pairs: usize,
    pub window: Duration,
    pub server_cpu: usize,
    pub client_cpu: usize,
    /// Each abuse is so many times smaller than it should be.
    pub divisor: usize,
}

/// The two windows of a pair, over each transport.
pub struct Pair {
    pub without: [Latencies; 2],
    pub with: [Latencies; 2],
}

/// What an abuse came to.
pub struct Outcome {
    pub abuse: Abuse,
    /// How many abusers there were at once, or connections in each window.
    pub size: usize,
    /// Whether the limit on descriptors allowed no more.
    pub is_short: bool,
    pub pairs: Vec<Pair>,
    pub served: u64,
    pub resident_kib_before: u64,
    /// The most at the end of a window with the abuse.
    pub resident_kib_max: u64,
    pub resident_kib_after: u64,
    pub growth_kib_max: u64,
    /// How long the server took to stop with all large stores in it.
    pub stop: Option<Duration>,
}

impl Outcome {
    /// How much the server's memory grew at most.
    pub fn growth_kib(&self) -> u64 {
        self.resident_kib_max.max(self.resident_kib_after).saturating_sub(self.resident_kib_before)
    }
}

impl Plan {
    /// Whether nothing is measured.
    pub fn is_trial(&self) -> bool {
        self.divisor > 1
    }

    /// How many abusers there are at once, or connections in a window.
    fn size(&self, abuse: Abuse) -> usize {
        // Two at least, for there are two transports.
        let size = (abuse.size() / self.divisor).max(2);
        if abuse.is_crowd() { size } else { size.div_ceil(self.pairs) }
    }

    fn task(&self, abuse: Abuse, doors: Doors, size: usize) -> Task {
        let store_keys = STORE_KEYS / self.divisor;
        Task { abuse, doors, size, hold: self.window, store_keys }
    }

    /// Runs one abuse. An error where the server did not serve as its limits say, or kept descriptors.
    pub fn run(&self, abuse: Abuse) -> anyhow::Result<Outcome> {
        let meant = self.size(abuse);
        let size = if abuse.is_crowd() { affordable(meant) } else { meant };
        let server = serve(abuse, self.server_cpu)?;
        let mut neighbours = Neighbours::login(server.doors(), abuse.has_managers())?;
        window(&mut neighbours, || {
            thread::sleep(WARMUP);
            Ok(())
        })?;
        let before = server.holdings()?;
        let mut outcome = Outcome {
            abuse,
            size,
            is_short: size < meant,
            pairs: Vec::with_capacity(self.pairs),
            served: 0,
            resident_kib_before: before.resident_kib,
            resident_kib_max: 0,
            resident_kib_after: 0,
            growth_kib_max: abuse.growth_kib_max(size),
            stop: None,
        };
        for number in 0..self.pairs.min(abuse.pairs_max()) {
            let quiet = |neighbours: &mut Neighbours| {
                window(neighbours, || {
                    thread::sleep(self.window);
                    Ok(())
                })
            };
            // Each comes first as often as second, in the order of the Thue-Morse sequence: no drift favours one.
            let (without, with) = if number.count_ones().is_multiple_of(2) {
                let without = quiet(&mut neighbours)?;
                (without, self.abused(&server, &mut neighbours, &mut outcome)?)
            } else {
                let with = self.abused(&server, &mut neighbours, &mut outcome)?;
                settle(&server, before.descriptors)?;
                (quiet(&mut neighbours)?, with)
            };
            settle(&server, before.descriptors).with_context(|| format!("after {}", abuse.name()))?;
            outcome.pairs.push(Pair { without, with });
        }
        outcome.resident_kib_after = server.holdings()?.resident_kib;
        if abuse == Abuse::LargeStores {
            let abusers = Abusers::start(&self.task(abuse, server.doors(), size), self.is_trial())?;
            abusers.wait_until_full()?;
            // Whoever does not close when the server does is waited for, which is not what is measured here.
            drop(neighbours);
            let began = Instant::now();
            drop(server);
            outcome.stop = Some(began.elapsed());
            drop(abusers);
        }
        Ok(outcome)
    }

    /// A window with the abuse: from its beginning until all of it has been there, and no shorter than the others.
    fn abused(
        &self,
        server: &Server,
        neighbours: &mut Neighbours,
        outcome: &mut Outcome,
    ) -> anyhow::Result<[Latencies; 2]> {
        let began = Instant::now();
        let (abuse, doors, size) = (outcome.abuse, server.doors(), outcome.size);
        let abusers = Abusers::start(&self.task(abuse, doors, size), self.is_trial())?;
        if abuse == Abuse::LargeStores {
            // What is to be noticed comes when the sessions end, not while a flood fills their stores.
            abusers.wait_until_full()?;
            outcome.resident_kib_max = outcome.resident_kib_max.max(server.holdings()?.resident_kib);
            return window(neighbours, || {
                outcome.served += abusers.stop()?;
                thread::sleep(self.window * ENDS_WINDOWS);
                Ok(())
            });
        }
        let measured = window(neighbours, || {
            abusers.wait_until_full()?;
            thread::sleep(self.window.saturating_sub(began.elapsed()));
            outcome.resident_kib_max = outcome.resident_kib_max.max(server.holdings()?.resident_kib);
            Ok(())
        })?;
        outcome.served += abusers.stop()?;
        Ok(measured)
    }
}

/// So many connections, or as many as the limit on open files allows.
fn affordable(connections: usize) -> usize {
    let limit = open_files::raise_limit((connections + DESCRIPTORS_SPARE) as u64);
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_SPARE).max(1);
    connections.min(most)
}

/// Has the neighbours ask while `wait` waits.
fn window(
    neighbours: &mut Neighbours,
    wait: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<[Latencies; 2]> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let measuring = scope.spawn(|| neighbours.measure(&is_over));
        let waited = wait();
        is_over.store(true, Ordering::Relaxed);
        let measured = measuring.join().expect("the neighbours do not panic");
        waited?;
        measured
    })
}
