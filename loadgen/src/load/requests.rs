//! What one client asks, and in which order. It is drawn from the client's seed alone, not from the clock or the
//! transport.

use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::domain::{Op, Role};
use crate::oracle::{Expectation, ODD_COMMANDS, ReferenceModel, SessionModel};
use crate::scenario::model::{Group, KeyDistribution, Scenario};

/// One group's distributions, shared by its clients.
#[derive(Debug)]
pub struct GroupMix {
    /// Operations with the upper ends of their shares of 0..total.
    cumulated: Vec<(Op, u64)>,
    total: u64,
    keys: u32,
    distribution: KeyChoice,
    role: Role,
}

#[derive(Debug)]
enum KeyChoice {
    Uniform,
    Zipf(Zipf<f64>),
    Sequential,
}

impl GroupMix {
    pub fn all(scenario: &Scenario) -> Vec<Self> {
        scenario.groups.iter().map(Self::new).collect()
    }

    fn new(group: &Group) -> Self {
        let mut total = 0;
        let cumulated = group.mix.iter().map(|&(op, weight)| {
            total += u64::from(weight);
            (op, total)
        });
        let cumulated = cumulated.collect();
        let distribution = match group.keys.distribution {
            KeyDistribution::Uniform => KeyChoice::Uniform,
            KeyDistribution::Sequential => KeyChoice::Sequential,
            KeyDistribution::Zipf { exponent } => KeyChoice::Zipf(
                Zipf::new(f64::from(group.keys.count), exponent)
                    .expect("a valid scenario has at least one key and a positive exponent"),
            ),
        };
        Self { cumulated, total, keys: group.keys.count, distribution, role: group.role }
    }
}

/// One request with all its choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub op: Op,
    /// The user whose key is named, if the operation names one; `None`: a user that does not exist.
    target: Option<u32>,
    /// Number of the key, or of the odd command; `None`: a key that is never put, or for a bad command the key of the
    /// role.
    key: Option<u32>,
}

impl Request {
    /// Writes it, and returns what its reply is judged by.
    pub fn write(
        &self,
        reference: &ReferenceModel,
        session: &mut SessionModel,
        out: &mut Vec<u8>,
    ) -> Expectation {
        let number = self.key.unwrap_or(0);
        match self.op {
            Op::Put => session.put(reference, number, out),
            Op::Get => session.get(number, out),
            Op::GetMissing => session.get_missing(number, out),
            Op::GetOther => session.get_other(reference, self.target, self.key, out),
            Op::Bad => match (self.target, self.key) {
                (Some(target), _) => session.put_other(reference, target, number, out),
                (None, Some(which)) => session.bad(which as u8, out),
                (None, None) => session.put_role(out),
            },
            Op::Upgrade => session.upgrade(out),
        }
    }
}

/// The stream of one client's requests.
#[derive(Debug)]
pub struct RequestGenerator {
    random: Xoshiro256PlusPlus,
    group: u16,
    /// Number of clients that read each other's keys. Their indices in the pass are consecutive.
    cohort: u32,
    next_key: u32,
}

impl RequestGenerator {
    /// The stream of a client of this group, in a cohort of this size.
    pub fn new(seed: u64, group: u16, cohort: u32) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), group, cohort, next_key: 0 }
    }

    /// Draws the next request. All choices are made here, so that a request that is never written does not change those
    /// after it.
    pub fn draw(&mut self, groups: &[GroupMix], reference: &ReferenceModel, client: u32) -> Request {
        let group = &groups[usize::from(self.group)];
        let ticket = self.random.random_range(0..group.total);
        let share = group.cumulated.iter().find(|(_, end)| ticket < *end);
        let op = share.expect("the last share ends at the total").0;
        let (target, key) = match op {
            Op::Put | Op::Get => (None, Some(self.key(group))),
            Op::GetMissing => (None, Some(self.random.random_range(0..group.keys))),
            Op::GetOther if group.role == Role::Manager => self.others_key(groups, reference, client),
            Op::GetOther => self.forbidden(groups, reference, client),
            Op::Bad => self.bad(groups, reference, client),
            Op::Upgrade => (None, None),
        };
        Request { op, target, key }
    }

    /// A manager reads another user's key, drawn like that group's own keys.
    fn others_key(
        &mut self,
        groups: &[GroupMix],
        reference: &ReferenceModel,
        client: u32,
    ) -> (Option<u32>, Option<u32>) {
        let target = self.other(client);
        let group = &groups[usize::from(reference.client(target).group)];
        (Some(target), Some(self.key(group)))
    }

    /// A guest tries what is forbidden: a key that exists, one that does not, an absent user, its own.
    fn forbidden(
        &mut self,
        groups: &[GroupMix],
        reference: &ReferenceModel,
        client: u32,
    ) -> (Option<u32>, Option<u32>) {
        let other = self.other(client);
        let key = self.random.random_range(0..groups[usize::from(reference.client(other).group)].keys);
        let own_key = self.random.random_range(0..groups[usize::from(self.group)].keys);
        match self.random.random_range(0..4) {
            0 => (Some(other), Some(key)),
            1 => (Some(other), None),
            2 => (None, Some(key)),
            _ => (Some(client), Some(own_key)),
        }
    }

    /// A bad request: mostly a malformed command, sometimes a write into another's store, or a role that is put as a
    /// value.
    fn bad(
        &mut self,
        groups: &[GroupMix],
        reference: &ReferenceModel,
        client: u32,
    ) -> (Option<u32>, Option<u32>) {
        match self.random.random_range(0..8) {
            0 | 1 => {
                let other = self.other(client);
                let keys = groups[usize::from(reference.client(other).group)].keys;
                (Some(other), Some(self.random.random_range(0..keys)))
            }
            2 => (None, None),
            _ => (None, Some(self.random.random_range(0..u32::from(ODD_COMMANDS)))),
        }
    }

    /// Another client of the same cohort, or the client itself if it is alone.
    fn other(&mut self, own: u32) -> u32 {
        if self.cohort < 2 {
            return own;
        }
        let number = own % self.cohort;
        let drawn = self.random.random_range(0..self.cohort - 1);
        own - number + if drawn >= number { drawn + 1 } else { drawn }
    }

    fn key(&mut self, group: &GroupMix) -> u32 {
        match &group.distribution {
            KeyChoice::Uniform => self.random.random_range(0..group.keys),
            // Zipf counts from 1; the clamp guards against rounding at the far end.
            KeyChoice::Zipf(zipf) => (zipf.sample(&mut self.random) as u32).clamp(1, group.keys) - 1,
            KeyChoice::Sequential => {
                let key = self.next_key % group.keys;
                self.next_key = (key + 1) % group.keys;
                key
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::client_seed;
    use crate::oracle::{ClientSpec, ValueSpec};
    use crate::scenario::model::{Keys, Values};

    fn group(role: Role, distribution: KeyDistribution) -> Group {
        Group {
            name: "group".to_owned(),
            role,
            count: 3,
            mix: Op::ALL.into_iter().zip(1..).collect(),
            keys: Keys { count: 10, distribution },
            values: Values { min: 16, max: 80 },
            preload: 0,
            transport: None,
            reconnect: None,
        }
    }

    /// The first requests of one client, with what each does.
    fn stream(group: &Group, seed: u64, length: usize) -> Vec<(Op, String)> {
        let mixes = [GroupMix::new(group)];
        let spec = ValueSpec { min: 16, max: 80 };
        let reference = ReferenceModel::new(
            1,
            (0..3).map(|i| ClientSpec { name: format!("user{i}"), group: 0, keys: 10, values: spec }),
        );
        let mut session = SessionModel::new(&reference, 0);
        let mut requests = RequestGenerator::new(client_seed(seed, 0), 0, 3);
        let mut next = || {
            let mut out = Vec::new();
            let request = requests.draw(&mixes, &reference, 0);
            request.write(&reference, &mut session, &mut out);
            (request.op, String::from_utf8(out).unwrap())
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_byte_for_byte() {
        for distribution in
            [KeyDistribution::Uniform, KeyDistribution::Sequential, KeyDistribution::Zipf { exponent: 0.99 }]
        {
            let group = group(Role::Guest, distribution);
            assert_eq!(stream(&group, 42, 2000), stream(&group, 42, 2000));
            assert_ne!(stream(&group, 42, 2000), stream(&group, 43, 2000));
        }
    }

    #[test]
    fn operations_come_in_the_proportion_of_their_weights() {
        let stream = stream(&group(Role::Guest, KeyDistribution::Uniform), 1, 21_000);
        for (op, weight) in Op::ALL.into_iter().zip(1_u32..) {
            let seen = stream.iter().filter(|(drawn, _)| *drawn == op).count() as f64;
            let expected = 1000.0 * f64::from(weight);
            // Five standard deviations of a binomial count.
            assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "{op}: {seen} of {expected}");
        }
    }

    #[test]
    fn a_guest_tries_others_missing_keys_absent_users_and_itself() {
        let stream = stream(&group(Role::Guest, KeyDistribution::Uniform), 1, 4000);
        let tries: Vec<&str> =
            stream.iter().filter(|(op, _)| *op == Op::GetOther).map(|(_, text)| text.as_str()).collect();
        for beginning in ["get user1 k", "get user2 k", "get user1 m", "get nobody:0 k", "get user0 k"] {
            assert!(tries.iter().any(|text| text.starts_with(beginning)), "{beginning}");
        }
    }

    #[test]
    fn a_bad_client_tries_odd_commands_anothers_store_and_a_role_as_a_value() {
        let stream = stream(&group(Role::Guest, KeyDistribution::Uniform), 1, 8_000);
        let tries: Vec<&str> =
            stream.iter().filter(|(op, _)| *op == Op::Bad).map(|(_, text)| text.as_str()).collect();
        for beginning in ["put user1 k", "put user2 K0 ", "put role manager", "frobnicate", "PUT k0 v"] {
            assert!(tries.iter().any(|text| text.starts_with(beginning)), "{beginning}");
        }
        assert!(tries.contains(&""));
        let writes = tries.iter().filter(|text| text.starts_with("put user")).count();
        assert!((tries.len() / 8..tries.len() * 3 / 8).contains(&writes), "{writes} of {}", tries.len());
    }

    #[test]
    fn a_manager_reads_keys_of_live_users_other_than_itself() {
        let stream = stream(&group(Role::Manager, KeyDistribution::Uniform), 1, 4000);
        for (_, text) in stream.iter().filter(|(op, _)| *op == Op::GetOther) {
            assert!(text.starts_with("get user1 ") || text.starts_with("get user2 "), "{text}");
        }
    }

    #[test]
    fn zipf_prefers_the_first_keys_and_sequential_goes_round() {
        let zipf = stream(&group(Role::Guest, KeyDistribution::Zipf { exponent: 1.2 }), 1, 10_000);
        let count = |key: &str| zipf.iter().filter(|(op, text)| *op == Op::Get && text == key).count();
        assert!(count("get k0") > 2 * count("get k4"));
        assert!(count("get k9") > 0, "the last key is drawn too");
        let mut sequential = group(Role::Guest, KeyDistribution::Sequential);
        sequential.mix = vec![(Op::Get, 1)];
        let keys: Vec<String> = stream(&sequential, 1, 11).into_iter().map(|(_, text)| text).collect();
        assert_eq!((keys[0].as_str(), keys[9].as_str(), keys[10].as_str()), ("get k0", "get k9", "get k0"));
    }
}
