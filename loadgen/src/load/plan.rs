//! Scenario's variant → passes: who takes part, over which transport, in which order.
//!
//! Everything here follows from the scenario and its seed; no clock is read.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::scenario::Variant;
use crate::scenario::model::{Load, Model, Scenario, Transport};

/// One run of one load over one transport, or, mixed, over all of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassPlan {
    /// Index of the load in the scenario.
    pub load: usize,
    /// Counts from 1.
    pub trial: u32,
    /// The transports that take part, in the scenario's order.
    pub transports: Vec<Transport>,
    /// The clients, by index.
    pub clients: Vec<ClientPlan>,
    /// Seeds the clients' choices; the same for every transport, so that each gets the same requests.
    pub seed: u64,
}

/// One client of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPlan {
    /// Index of its group.
    pub group: u16,
    /// Index of its transport among the pass's.
    pub transport: u8,
}

/// What this version cannot run yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("load `{load}`: {what} cannot be run yet; see README.md for what can")]
pub struct NotYet {
    /// The load.
    pub load: String,
    /// The feature.
    pub what: &'static str,
}

/// Says what of the scenario cannot be run yet, if anything.
///
/// # Errors
/// The first such thing.
pub fn supported(scenario: &Scenario) -> Result<(), NotYet> {
    for load in &scenario.loads {
        let not_yet = |what| Err(NotYet { load: load.name.clone(), what });
        if matches!(load.model, Model::Open { .. }) {
            return not_yet("an open load");
        }
        if load.interleave.is_some() {
            return not_yet("`interleave`");
        }
        if load.phases.len() > 1 || load.phases.iter().any(|phase| phase.clients.is_some()) {
            return not_yet("`phases`");
        }
        if scenario.groups.iter().any(|group| group.reconnect.is_some()) {
            return not_yet("`reconnect`");
        }
    }
    if scenario.thresholds.iter().any(|threshold| threshold.abort) {
        return Err(NotYet { load: scenario.loads[0].name.clone(), what: "`abort` of a threshold" });
    }
    Ok(())
}

/// The trials of one load: for each its passes, the transports in an order drawn from the seed.
///
/// `transports` are those of the scenario that the target has.
#[must_use]
pub fn trials(scenario: &Scenario, load_index: usize, transports: &[Transport]) -> Vec<Vec<PassPlan>> {
    let load = &scenario.loads[load_index];
    (1..=load.trials).map(|trial| trial_passes(scenario, load_index, load, trial, transports)).collect()
}

fn trial_passes(
    scenario: &Scenario,
    load_index: usize,
    load: &Load,
    trial: u32,
    transports: &[Transport],
) -> Vec<PassPlan> {
    let seed = mix(scenario.seed, &[hash(&load.name), u64::from(trial)]);
    let pass = |transports: Vec<Transport>| PassPlan {
        load: load_index,
        trial,
        clients: clients(scenario, &transports),
        transports,
        seed,
    };
    if scenario.is_mixed() {
        return vec![pass(transports.to_vec())];
    }
    let mut order = transports.to_vec();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(mix(seed, &[0])));
    order.into_iter().map(|transport| pass(vec![transport])).collect()
}

/// Clients in the groups' order; those of unpinned groups in a mixed load take the transports in turn.
fn clients(scenario: &Scenario, transports: &[Transport]) -> Vec<ClientPlan> {
    let mut clients = Vec::with_capacity(scenario.clients() as usize);
    for (group_index, group) in scenario.groups.iter().enumerate() {
        let pinned = group.transport.and_then(|pinned| transports.iter().position(|&t| t == pinned));
        for number in 0..group.count as usize {
            let transport = pinned.unwrap_or(number % transports.len()) as u8;
            clients.push(ClientPlan { group: group_index as u16, transport });
        }
    }
    clients
}

/// How reports name a variant's rows: by its label, and `mixed` where all transports ran together.
#[must_use]
pub fn variant_name(variant: &Variant) -> String {
    match (variant.label.as_str(), variant.scenario.is_mixed()) {
        (label, false) => label.to_owned(),
        ("", true) => "mixed".to_owned(),
        (label, true) => format!("{label},mixed"),
    }
}

/// Seed of one client's choices.
#[must_use]
pub fn client_seed(pass_seed: u64, client: u32) -> u64 {
    mix(pass_seed, &[1, u64::from(client)])
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
