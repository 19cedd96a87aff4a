//! A variant of the scenario → passes: which clients take part, over which transport, in which order.
//!
//! Everything here follows from the scenario and its seed; no clock is read.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use twinwire_os::clock::{Nanos, nanos};

use crate::domain::Transport;
use crate::record;
use crate::scenario::Variant;
use crate::scenario::model::{Load, Scenario};

/// One trial of one load over one transport, or over several: mixed or interleaved.
#[derive(Debug, Clone, PartialEq)]
pub struct PassPlan {
    pub load: usize,
    /// Counts from 1.
    pub trial: u32,
    /// The transports that take part, in the scenario's order.
    pub transports: Vec<Transport>,
    /// The clients, by index: one cohort after the other.
    pub clients: Vec<ClientPlan>,
    /// Number of clients of a cohort. An interleaved pass has a cohort on each transport, any other pass has one.
    /// Clients read only the keys of their own cohort.
    pub cohort: u32,
    /// The windows, in their order.
    pub windows: Vec<WindowPlan>,
    /// Requests a second over one cohort's clients, for an open load whose phases do not state the rate.
    pub rate: Option<f64>,
    /// Seeds the clients' choices. It is the same for every transport, so that each gets the same requests.
    pub seed: u64,
}

impl PassPlan {
    /// Whether the load switches between the transports.
    pub fn is_interleaved(&self) -> bool {
        self.clients.len() > self.cohort as usize
    }

    /// How this client's session of this number ends: half of the sessions by `q`, the others by a close or a reset.
    pub fn session_end(&self, client: u32, session: u32) -> SessionEnd {
        match self.session_end_draw(client, session) % 4 {
            0 => SessionEnd::Close,
            1 => SessionEnd::Reset,
            _ => SessionEnd::Quit,
        }
    }

    /// The random number that decides how this client's session of this number ends. It does not affect the requests.
    pub fn session_end_draw(&self, client: u32, session: u32) -> u64 {
        mix(self.seed, &[3, u64::from(self.number(client)), u64::from(session)])
    }

    /// Number of a client within its cohort. Clients with the same number send the same requests on each transport.
    pub fn number(&self, client: u32) -> u32 {
        client % self.cohort.max(1)
    }
}

/// How a client ends a session to begin its next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// By `q`: once the server has closed, the name is free (LIFE-3).
    Quit,
    /// By closing the connection: the name becomes free a while later (LIFE-2).
    Close,
    /// By a reset, likewise.
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPlan {
    pub group: u16,
    /// Index of its transport among the pass's.
    pub transport: u8,
    /// Its place in the order in which clients become active, from 0; groups become active in proportion.
    pub rank: u32,
}

/// A part of load time that runs without a break. Load time counts from the load's beginning, warm-up included, for
/// each transport by itself, and stands still between its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// The transport under load; `None`: all of the pass's at once.
    pub transport: Option<u8>,
    /// First instant, in load time.
    pub from: Nanos,
    /// End, in load time.
    pub until: Nanos,
    /// Number of the pair that it forms with the same window of the other transport, from 0; `None` in the warm-up, and
    /// in a load that is not interleaved.
    pub pair: Option<u32>,
}

impl WindowPlan {
    pub fn length(&self) -> Nanos {
        self.until - self.from
    }

    /// Whether the transport of this index is under load.
    pub fn is_of(&self, transport: usize) -> bool {
        self.transport.is_none_or(|active| usize::from(active) == transport)
    }
}

/// The trials of one load, each with its passes. The order of the transports is drawn from the seed.
///
/// `transports` are those of the scenario that the target offers. `rate` is the load's rate in requests/s, which was
/// probed if the scenario asks for a share.
pub fn trials(
    scenario: &Scenario,
    load_index: usize,
    transports: &[Transport],
    rate: Option<f64>,
) -> Vec<Vec<PassPlan>> {
    let load = &scenario.loads[load_index];
    let plan = |trial| trial_passes(scenario, load_index, trial, transports, rate);
    (1..=load.trials).map(plan).collect()
}

fn trial_passes(
    scenario: &Scenario,
    load_index: usize,
    trial: u32,
    transports: &[Transport],
    rate: Option<f64>,
) -> Vec<PassPlan> {
    let load = &scenario.loads[load_index];
    let seed = mix(scenario.seed, &[hash(&load.name), u64::from(trial)]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(mix(seed, &[0]));
    let whole = WindowPlan {
        transport: None,
        from: 0,
        until: nanos(load.warmup) + nanos(load.duration()),
        pair: None,
    };
    let pass = |transports: Vec<Transport>, cohorts: usize, windows| {
        let one = cohort(scenario, &transports);
        let clients = (0..cohorts).flat_map(|cohort| {
            let on = move |client| match cohorts {
                1 => client,
                _ => ClientPlan { transport: cohort as u8, ..client },
            };
            one.iter().copied().map(on)
        });
        let (clients, cohort) = (clients.collect(), one.len() as u32);
        PassPlan { load: load_index, trial, clients, cohort, windows, rate, transports, seed }
    };
    if scenario.is_mixed() {
        return vec![pass(transports.to_vec(), 1, vec![whole])];
    }
    if let Some(length) = load.interleave.filter(|_| transports.len() > 1) {
        let windows = interleaved(load, nanos(length), transports.len() as u8, &mut random);
        return vec![pass(transports.to_vec(), transports.len(), windows)];
    }
    let mut order = transports.to_vec();
    order.shuffle(&mut random);
    order.into_iter().map(|transport| pass(vec![transport], 1, vec![whole])).collect()
}

/// The windows of an interleaved pass: each transport's warm-up, then pair after pair. The order within each pair is
/// drawn again, so that no transport always comes second.
fn interleaved(load: &Load, length: Nanos, transports: u8, random: &mut impl Rng) -> Vec<WindowPlan> {
    let warmup = nanos(load.warmup);
    let end = warmup + nanos(load.duration());
    let mut windows = Vec::new();
    let mut add = |from, until, pair, random: &mut _| {
        let mut order: Vec<u8> = (0..transports).collect();
        order.shuffle(random);
        let window = |transport| WindowPlan { transport: Some(transport), from, until, pair };
        windows.extend(order.into_iter().map(window));
    };
    if warmup > 0 {
        add(0, warmup, None, random);
    }
    let mut from = warmup;
    for pair in 0.. {
        if from >= end {
            break;
        }
        let until = (from + length).min(end);
        add(from, until, Some(pair), random);
        from = until;
    }
    windows
}

/// One cohort's clients in the order of the groups. In a mixed load, those of unpinned groups take the transports in
/// turn.
fn cohort(scenario: &Scenario, transports: &[Transport]) -> Vec<ClientPlan> {
    let mut clients = Vec::with_capacity(scenario.clients() as usize);
    let mut shares = Vec::with_capacity(clients.capacity());
    for (group_index, group) in scenario.groups.iter().enumerate() {
        let pinned = group.transport.and_then(|pinned| transports.iter().position(|&t| t == pinned));
        for number in 0..group.count as usize {
            let transport = match pinned {
                Some(pinned) => pinned as u8,
                None if scenario.is_mixed() => (number % transports.len()) as u8,
                None => 0,
            };
            shares.push((number as f64 + 0.5) / f64::from(group.count));
            clients.push(ClientPlan { group: group_index as u16, transport, rank: 0 });
        }
    }
    let mut order: Vec<usize> = (0..clients.len()).collect();
    order.sort_by(|&a, &b| shares[a].total_cmp(&shares[b]));
    for (rank, client) in order.into_iter().enumerate() {
        clients[client].rank = rank as u32;
    }
    clients
}

/// How reports name a variant: by its label, and by `mixed` if all transports run together.
pub fn variant_name(variant: &Variant) -> String {
    match (variant.label.as_str(), variant.scenario.is_mixed()) {
        (label, false) => label.to_owned(),
        ("", true) => "mixed".to_owned(),
        (label, true) => format!("{label},mixed"),
    }
}

/// The variant for the record.
pub fn variant(variant: &Variant) -> record::VariantInfo {
    record::VariantInfo { label: variant_name(variant), settings: variant.settings.clone() }
}

/// Seed of one client's requests, by its number within its cohort.
pub fn client_seed(pass_seed: u64, number: u32) -> u64 {
    mix(pass_seed, &[1, u64::from(number)])
}

/// Seed of one client's instants. It differs from that of its requests, which must not depend on when replies come.
pub fn schedule_seed(pass_seed: u64, number: u32) -> u64 {
    mix(pass_seed, &[2, u64::from(number)])
}

/// Mixes numbers into a seed with `SplitMix64` (Steele, Lea and Flood 2014), so that near inputs give unrelated seeds.
fn mix(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |state, part| {
        let mut z = (state ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// FNV-1a: a stable hash of a name; the standard library's may change between releases.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests;
