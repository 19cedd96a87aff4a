//! The flight recorder: each worker keeps its last requests, so that a violation can be shown with what led to it.
//!
//! A request costs one store into a ring of fixed size. Only when a reply is wrong is anything shared: the violation
//! is noted with the puts that matter for it, and each worker adds what its own ring knows of those.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::context::PassContext;
use super::ending::Ending;
use super::replay;
use crate::domain::{Role, Rule, ViolationKind};
use crate::measure::clock::{self, Nanos};
use crate::oracle::{
    Due, Era, Expect, Finding, Lives, Origin, Session, TAG_BYTES, World, request, writer_of_forbidden,
};
use crate::record::{VIOLATIONS_KEPT, Violation};

/// Requests that one worker keeps: a tenth of a second and more at full rate, which is longer than the sweep that
/// looks at them; 1.2 MB.
const KEPT: usize = 16_384;

/// Requests sent behind the one that was answered wrongly that are shown with it.
const LATER_MAX: usize = 32;

/// An answered request.
#[derive(Debug, Clone, Copy)]
pub struct Flight {
    /// Index of the client.
    pub client: u32,
    /// Bytes of the reply.
    pub length: u32,
    /// What was asked.
    pub expect: Expect,
    /// When.
    pub sent: Nanos,
    /// When the reply was there.
    pub replied: Nanos,
    /// The reply's first bytes: all of most status texts, the tag of a value.
    pub head: [u8; TAG_BYTES],
}

impl Flight {
    /// A request with its reply.
    #[must_use]
    pub fn new(client: u32, expect: Expect, sent: Nanos, reply: &[u8], replied: Nanos) -> Self {
        let mut head = [0; TAG_BYTES];
        let kept = reply.len().min(TAG_BYTES);
        head[..kept].copy_from_slice(&reply[..kept]);
        Self { client, length: reply.len() as u32, expect, sent, replied, head }
    }

    /// What is kept of the reply.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        &self.head[..(self.length as usize).min(TAG_BYTES)]
    }
}

/// One worker's last requests.
#[derive(Debug)]
pub struct Ring {
    kept: Vec<Flight>,
    /// Where the next one goes.
    next: usize,
    /// Incidents that this worker has looked at.
    looked_at: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self { kept: Vec::with_capacity(KEPT), next: 0, looked_at: 0 }
    }
}

impl Ring {
    /// Keeps a request in the place of the oldest one.
    pub fn note(&mut self, flight: Flight) {
        if self.kept.len() < KEPT {
            self.kept.push(flight);
        } else {
            self.kept[self.next] = flight;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// Adds to an incident what this ring knows of its puts: themselves, and the first read that returned each.
    fn tell(&self, world: &World, incident: &mut Incident) {
        for flight in &self.kept {
            if let Some(put) = Origin::put_by(flight.client, flight.expect) {
                if incident.wanted.contains(&put) {
                    incident.puts.insert(put, *flight);
                }
            } else if let Some(read) = Origin::of(world, flight.reply())
                && incident.wanted.contains(&read)
            {
                let first = incident.reads.entry(read).or_insert(*flight);
                if flight.replied < first.replied {
                    *first = *flight;
                }
            }
        }
    }
}

/// What a wrong reply was an answer to.
#[derive(Debug, Clone)]
pub enum Asked {
    /// WebSocket's opening handshake.
    Handshake,
    /// A malformed login.
    BadLogin(&'static str),
    /// A login under its own name, over the transport of this index, while its session went on.
    SecondLogin(usize),
    /// A login under its own name in another case, likewise.
    OtherCase(usize),
    /// The login.
    Login,
    /// The login after a session's end.
    NextLogin(Ending),
    /// The first request of the session after one that ended in this way.
    First(Ending, Expect),
    /// A request, with when it was sent (`None` while setting up), and those sent behind it and not yet answered.
    Request(Expect, Option<Nanos>, Vec<Expect>),
    /// Nothing: the last request, if any, had its reply, and the role then.
    Nothing(Option<(Expect, Nanos, Role)>),
    /// `q`.
    Quit,
    /// Nothing: `q` had its reply, and another one came; and what was sent right behind `q`, if anything.
    AfterQuit(Option<&'static str>),
    /// Nothing: the close after `exiting` did not come.
    Close,
}

/// How the clock's instants read while a window of the load runs.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The clock's instant of load time 0. An interleaved load has another one in each window.
    pub origin: Nanos,
    /// Since when it holds.
    pub since: Nanos,
    /// Load time at which the measured part begins.
    pub measured_from: Nanos,
}

impl Timing {
    /// Seconds since the measured part began; `None` of an instant before this window.
    #[must_use]
    pub fn seconds(&self, at: Nanos) -> Option<f64> {
        let from = self.origin + self.measured_from;
        (at >= self.since).then(|| (at as f64 - from as f64) / clock::SECOND as f64)
    }
}

/// A violation with what is known of how it came about.
#[derive(Debug)]
pub struct Incident {
    violation: Violation,
    /// Index of the client.
    pub client: u32,
    /// Its role when it asked.
    pub role: Role,
    /// What it asked.
    pub asked: Asked,
    /// What the request and those behind it were due.
    pub dues: Vec<Due>,
    /// The sessions that these are about.
    pub lives: Lives,
    /// When the reply was there.
    pub replied: Nanos,
    /// How to read instants; `None` before the load.
    pub timing: Option<Timing>,
    /// The value that was seen, if it was this pass's.
    pub seen: Option<Origin>,
    /// Who tried to write the value that was seen, if nobody may have.
    pub forbidden: Option<u32>,
    /// The role that the client had put as a value, if it had.
    pub role_put: Option<Role>,
    /// Whether it was that role that came back.
    pub saw_role: bool,
    /// The puts that have to be shown.
    pub wanted: Vec<Origin>,
    /// Those that some ring knew.
    pub puts: BTreeMap<Origin, Flight>,
    /// For each of them the first read that returned its value.
    pub reads: BTreeMap<Origin, Flight>,
}

impl Incident {
    /// A wrong reply to a request, or one to none, as its client saw it.
    #[must_use]
    pub fn new(
        context: &PassContext,
        session: &Session,
        finding: Finding,
        mut asked: Asked,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        let world = &context.world;
        let client = session.client();
        let seen = Origin::of(world, reply);
        let refused = finding.rule == Rule::Atom2;
        let request = match &asked {
            Asked::Request(expect, ..) => session.describe(world, *expect),
            _ => "none".to_owned(),
        };
        if let Asked::Request(expect, _, later) = &mut asked {
            // Those behind it only matter where one of them was answered in its place.
            let put = later.iter().position(|put| seen.is_some() && Origin::put_by(client, *put) == seen);
            let needed = if finding.kind == ViolationKind::SwappedReply {
                let open: Vec<Expect> = std::iter::once(*expect).chain(later.iter().copied()).collect();
                session.due_elsewhere(world, &open, reply)
            } else {
                put.map(|at| at + 1)
            };
            later.truncate(needed.filter(|&needed| needed <= LATER_MAX).unwrap_or(0));
        }
        let (batch, role) = match &asked {
            Asked::Request(expect, _, later) => {
                (std::iter::once(*expect).chain(later.iter().copied()).collect(), session.role())
            }
            Asked::Nothing(Some((expect, _, role))) => (vec![*expect], *role),
            _ => (Vec::new(), session.role()),
        };
        let (dues, lives) = session.dues(world, &batch, role, Some(&finding));
        let own: Vec<Origin> = batch.iter().filter_map(|expect| Origin::put_by(client, *expect)).collect();
        let due =
            dues.iter().filter_map(|due| if let Due::Value(origin) = due { Some(*origin) } else { None });
        let mut wanted: Vec<Origin> = due.chain(seen).filter(|origin| !own.contains(origin)).collect();
        if refused {
            // A put that was read and then refused: the read is what shows it.
            wanted.extend(&own);
        }
        // What is due would be gone with its session.
        wanted.retain(|origin| lives.era(*origin) != Era::Later);
        wanted.sort_unstable();
        wanted.dedup();
        let bare = Self::bare(context, (client, role), finding, request, reply, replied);
        let forbidden = writer_of_forbidden(world, reply);
        let role_put = session.role_put();
        let saw_role = role_put.is_some_and(|role| role.name().as_bytes() == reply);
        Self { asked, dues, lives, seen, forbidden, role_put, saw_role, wanted, ..bare }
    }

    /// A wrong reply to a handshake, a login or a `q`: nothing that came before matters. `who`: the client and its role.
    #[must_use]
    pub fn of_session(
        context: &PassContext,
        who: (u32, Role),
        finding: Finding,
        asked: Asked,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        let request = match asked {
            Asked::Login | Asked::NextLogin(_) | Asked::SecondLogin(_) => {
                context.world.client(who.0).name.clone()
            }
            Asked::BadLogin(text) => text.to_owned(),
            Asked::OtherCase(_) => context.world.client(who.0).name.to_ascii_uppercase(),
            Asked::First(_, expect) => {
                let name = |user| context.world.client(user).name.clone();
                request(&context.world, who.0, expect, name, |put| put.value(&context.world))
            }
            Asked::Handshake => "the opening handshake".to_owned(),
            _ => "q".to_owned(),
        };
        Self { asked, ..Self::bare(context, who, finding, request, reply, replied) }
    }

    fn bare(
        context: &PassContext,
        (client, role): (u32, Role),
        finding: Finding,
        request: String,
        reply: &[u8],
        replied: Nanos,
    ) -> Self {
        Self {
            violation: context.violation(client, role, finding, request, reply),
            client,
            role,
            asked: Asked::Nothing(None),
            dues: Vec::new(),
            lives: Lives::default(),
            replied,
            timing: None,
            seen: None,
            forbidden: None,
            role_put: None,
            saw_role: false,
            wanted: Vec::new(),
            puts: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// It was seen during the load.
    #[must_use]
    pub fn during(mut self, timing: Timing) -> Self {
        self.violation.at_s = timing.seconds(self.replied).unwrap_or(0.0);
        self.timing = Some(timing);
        self
    }

    /// What a report says of it, but for how to show it again.
    #[must_use]
    pub fn violation(&self) -> &Violation {
        &self.violation
    }

    /// The violation as the record keeps it.
    #[must_use]
    pub fn into_violation(self, context: &PassContext) -> Violation {
        let replay = replay::replay(context, &self);
        Violation { replay: Some(replay), ..self.violation }
    }
}

/// The first violations of a pass; all workers share it, and touch it only when there are some.
#[derive(Debug, Default)]
pub struct Incidents {
    noted: AtomicUsize,
    list: Mutex<Vec<Incident>>,
}

impl Incidents {
    /// Whether another violation would be kept.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.noted.load(Ordering::Relaxed) < VIOLATIONS_KEPT
    }

    /// Keeps a violation, unless there are enough.
    pub fn note(&self, incident: Incident) {
        let mut list = self.list();
        if list.len() < VIOLATIONS_KEPT {
            list.push(incident);
            self.noted.store(list.len(), Ordering::Release);
        }
    }

    /// Adds what a worker's ring knows of violations that it has not looked at yet.
    pub fn contribute(&self, world: &World, ring: &mut Ring) {
        let noted = self.noted.load(Ordering::Acquire);
        if ring.looked_at < noted {
            self.list()[ring.looked_at..noted].iter_mut().for_each(|incident| ring.tell(world, incident));
            ring.looked_at = noted;
        }
    }

    /// The same for all violations again: some requests were answered only after the violation.
    pub fn contribute_all(&self, world: &World, ring: &mut Ring) {
        ring.looked_at = 0;
        self.contribute(world, ring);
    }

    /// The violations, in the order in which they were seen, each with how to show it again.
    #[must_use]
    pub fn take(&self, context: &PassContext) -> Vec<Violation> {
        let incidents = std::mem::take(&mut *self.list());
        incidents.into_iter().map(|incident| incident.into_violation(context)).collect()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Incident>> {
        self.list.lock().expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_keeps_the_newest_and_does_not_grow() {
        let mut ring = Ring::default();
        let room = ring.kept.capacity();
        for number in 0..KEPT as u64 * 2 + 5 {
            ring.note(Flight::new(1, Expect::Get { key: 3 }, number, b"done", number + 1));
        }
        assert_eq!((ring.kept.len(), ring.kept.capacity()), (KEPT, room));
        let oldest = ring.kept.iter().map(|flight| flight.sent).min();
        assert_eq!(oldest, Some(KEPT as u64 + 5));
        assert_eq!(ring.kept[0].reply(), b"done");
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Flight>() <= 72, "{}", size_of::<Flight>());
    }

    #[test]
    fn of_a_long_reply_the_tag_is_kept() {
        let flight = Flight::new(0, Expect::Upgrade, 1, &[7; 500], 2);
        assert_eq!((flight.length, flight.reply()), (500, &[7; 16][..]));
    }
}
