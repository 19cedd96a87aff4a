//! The figures, each taken on a fresh server.

use std::time::Instant;

use anyhow::ensure;
use twinwire_floor::{
    estimate::{Bar, Estimate},
    process::CpuTicks,
    roles::Wire,
    server::Server,
    speech::{Step, arrival, visit},
};

use crate::{
    crowd::Crowd,
    report::Row,
    server::{lack_of_descriptors, settled, start},
};

/// Memory of each idle session, in KiB.
const TCP_KIB_BAR: f64 = 2.0;
const WEBSOCKET_KIB_BAR: f64 = 5.0;

/// Sessions a second that come and go.
const SESSIONS_BAR: f64 = 10_000.0;

/// How many sessions go on at once while they come and go.
const SESSIONS_AT_ONCE: usize = 64;

/// How often the rate is measured: the fewest that have a 95 % interval, which is from the worst to the best then.
const SESSIONS_ROUNDS: usize = 6;

/// What each session may leave behind, in bytes. The smallest thing that can leak is an allocation of 16 bytes and
/// more; less is the allocator's own unrest.
const LEAK_BYTES_BAR: f64 = 1.0;

/// Of the sessions that come and go for ever, so many are over WebSocket.
const WEBSOCKET_SHARE: u64 = 5;

/// Connections that arrive at once: far below what waits for a server that is busy.
const ARRIVALS_AT_ONCE: usize = 128;

/// Sessions before anything is noted, so that what is only ever needed once is there.
const WARMUP_SESSIONS: u64 = 16;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub idle: u64,
    pub held: u64,
    pub sessions: u64,
    pub churn: u64,
    pub server_cpu: usize,
    pub generator_cpu: usize,
}

impl Sizes {
    fn start(&self) -> anyhow::Result<(Server, Crowd)> {
        let (server, mut crowd) = (start(self.server_cpu)?, Crowd::new()?);
        for wire in Wire::BOTH {
            crowd.pass_through(server.door(wire), WARMUP_SESSIONS, visit(wire), SESSIONS_AT_ONCE)?;
        }
        Ok((server, crowd))
    }

    fn ticks(&self) -> Option<CpuTicks> {
        CpuTicks::read(&[self.server_cpu, self.generator_cpu])
    }

    /// Memory of each idle session.
    pub fn memory(&self, wire: Wire) -> anyhow::Result<Vec<Row>> {
        let what = format!("{}: memory of each of {} idle sessions, KiB", wire.name(), self.idle);
        let bar = if wire == Wire::Tcp { TCP_KIB_BAR } else { WEBSOCKET_KIB_BAR };
        if let Some(why) = lack_of_descriptors(self.idle) {
            return Ok(vec![Row::left_out(what, why)]);
        }
        let (server, mut crowd) = self.start()?;
        let before = settled(&server)?;
        crowd.gather(server.door(wire), self.idle, arrival(wire), ARRIVALS_AT_ONCE)?;
        let grown_kib = settled(&server)?.resident_kib.saturating_sub(before.resident_kib);
        // They were idle, and are still there.
        crowd.all(&[Step::Ask("get k", "key not found")], ARRIVALS_AT_ONCE)?;
        Ok(vec![Row::figure(what, grown_kib as f64 / self.idle as f64, 2, Some(Bar::AtMost(bar)))])
    }

    /// Very many connections on both transports, all of which are answered.
    pub fn together(&self) -> anyhow::Result<Vec<Row>> {
        let what = format!("both: of {} connections held at once, answered", self.held);
        if let Some(why) = lack_of_descriptors(self.held) {
            return Ok(vec![Row::left_out(what, why)]);
        }
        let (server, mut crowd) = self.start()?;
        for wire in Wire::BOTH {
            crowd.gather(server.door(wire), self.held / 2, arrival(wire), ARRIVALS_AT_ONCE)?;
        }
        let steps = [Step::Ask("put k v", "done"), Step::Ask("get k", "v")];
        let held = crowd.len();
        let answered = crowd.all(&steps, ARRIVALS_AT_ONCE)?;
        let begun_at = Instant::now();
        ensure!(crowd.all(&steps, held)? == answered, "some were answered only once");
        let seconds = begun_at.elapsed().as_secs_f64();
        Ok(vec![
            Row::figure(what, answered as f64, 0, Some(Bar::AtLeast(self.held as f64))),
            Row::figure("both: a put and a get of all of them at once, s".to_owned(), seconds, 2, None),
        ])
    }

    /// How fast sessions come and go.
    pub fn sessions(&self, wire: Wire) -> anyhow::Result<Vec<Row>> {
        let (server, mut crowd) = self.start()?;
        let (mut rates, mut costs_us) = (Vec::new(), Vec::new());
        let ticks = self.ticks();
        for _ in 0..SESSIONS_ROUNDS {
            let (cpu_ns, begun_at) = (server.cpu_ns()?, Instant::now());
            crowd.pass_through(server.door(wire), self.sessions, visit(wire), SESSIONS_AT_ONCE)?;
            rates.push(self.sessions as f64 / begun_at.elapsed().as_secs_f64());
            costs_us.push((server.cpu_ns()? - cpu_ns) as f64 / self.sessions as f64 / 1000.0);
        }
        let steal = self.ticks().zip(ticks).and_then(|(end, start)| end.stolen_since(start));
        let (name, bar) = (wire.name(), (wire == Wire::Tcp).then_some(Bar::AtLeast(SESSIONS_BAR)));
        let count = self.sessions;
        Ok(vec![
            Row::estimate(format!("{name}: sessions a second, over {count}"), Estimate::of(rates), 0, bar)
                .stolen(steal),
            Row::estimate(format!("{name}: the server's CPU for each, µs"), Estimate::of(costs_us), 1, None),
        ])
    }

    /// What very many sessions leave behind.
    pub fn churn(&self) -> anyhow::Result<Vec<Row>> {
        let (server, mut crowd) = self.start()?;
        let first = self.churn / 10;
        let mut live = |count: u64| {
            let over_websocket = count / WEBSOCKET_SHARE;
            for (wire, count) in [(Wire::Tcp, count - over_websocket), (Wire::WebSocket, over_websocket)] {
                crowd.pass_through(server.door(wire), count, visit(wire), SESSIONS_AT_ONCE)?;
            }
            settled(&server)
        };
        let before = live(first)?;
        let after = live(self.churn - first)?;
        let grown_bytes = (after.resident_kib as f64 - before.resident_kib as f64) * 1024.0;
        let each = grown_bytes / (self.churn - first) as f64;
        let left = after.descriptors.saturating_sub(before.descriptors) as f64;
        let churn = self.churn;
        Ok(vec![
            Row::figure(
                format!("both: resident after {first} sessions, KiB"),
                before.resident_kib as f64,
                0,
                None,
            ),
            Row::figure(
                format!("both: resident after {churn} sessions, KiB"),
                after.resident_kib as f64,
                0,
                None,
            ),
            Row::figure(
                "both: memory that each left, bytes".to_owned(),
                each,
                2,
                Some(Bar::AtMost(LEAK_BYTES_BAR)),
            ),
            Row::figure("both: descriptors that they left".to_owned(), left, 0, Some(Bar::AtMost(0.0))),
        ])
    }
}
