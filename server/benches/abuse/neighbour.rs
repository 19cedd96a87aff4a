//! The neighbours: one over each transport, each asks at fixed instants and notes how long the reply took.
//!
//! A reply counts as there when the kernel received it, by the kernel's own time stamp: how long the neighbour then had to
//! wait for the CPU that it shares with the abusers is nothing that the server did.

use std::io::{IoSliceMut, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};
use nix::sys::time::TimeSpec;
use twinwire_bench_support::wire::{Client, Endpoint, Wire, block_on, is_complete, reply, request};

use crate::abusers::READ_STORE;

/// Longer than any reply to a neighbour.
const REPLY_BYTES_MAX: usize = 64;

/// Between two requests of a neighbour: so long that the server is idle in most of a window without abuse.
const PERIOD: Duration = Duration::from_millis(1);

struct Neighbour {
    stream: TcpStream,
    wire: Wire,
    request: Vec<u8>,
    /// Any of these.
    expected: Vec<Vec<u8>>,
}

/// One over each transport.
pub struct Neighbours([Neighbour; 2]);

/// Latencies of one window.
#[derive(Clone, Copy)]
pub struct Latencies {
    pub p90: Duration,
    pub max: Duration,
    /// The longest that a single reply took once its request had been written, whatever made the request late.
    pub longest_wait: Duration,
}

impl Neighbours {
    /// Logs both in, where an abuse needs it as managers that read a store of the abusers.
    pub fn login([tcp, websocket]: [Endpoint; 2], are_managers: bool) -> anyhow::Result<Self> {
        Ok(Self([Neighbour::login(tcp, are_managers)?, Neighbour::login(websocket, are_managers)?]))
    }

    /// Has both ask until `is_over`, at least once each.
    pub fn measure(&mut self, is_over: &AtomicBool) -> anyhow::Result<[Latencies; 2]> {
        let origin = SystemTime::now() + PERIOD;
        let Self([tcp, websocket]) = self;
        thread::scope(|scope| {
            let tcp = scope.spawn(|| tcp.ask_until(is_over, origin));
            let websocket = scope.spawn(|| websocket.ask_until(is_over, origin + PERIOD / 2));
            let joined = [tcp, websocket].map(|thread| thread.join().expect("a neighbour does not panic"));
            let [tcp, websocket] = joined;
            Ok([tcp?, websocket?])
        })
    }
}

impl Neighbour {
    fn login(endpoint: Endpoint, is_manager: bool) -> anyhow::Result<Self> {
        let wire = endpoint.wire;
        let stream = block_on(async {
            let mut client = Client::login(endpoint, 0, &format!("neighbour-{}", wire.name())).await?;
            client.ask("put k value", "done").await?;
            if is_manager {
                client.ask("upgrade", "upgraded to manager").await?;
            }
            client.into_blocking()
        })?;
        let (question, answers): (_, &[_]) = if is_manager {
            (format!("get {READ_STORE} 0"), &["v", "key not found", "user not found"])
        } else {
            ("get k".to_owned(), &["value"])
        };
        setsockopt(&stream, ReceiveTimestampns, &true)?;
        let expected = answers.iter().map(|answer| reply(wire, answer)).collect();
        Ok(Self { stream, wire, request: request(wire, &question), expected })
    }

    /// Asks, and returns when the request had been written and when the kernel received the end of the reply.
    fn ask(&mut self) -> anyhow::Result<(SystemTime, SystemTime)> {
        self.stream.write_all(&self.request)?;
        let written = SystemTime::now();
        let mut bytes = [0; REPLY_BYTES_MAX];
        let (mut filled, mut received) = (0, written);
        while !is_complete(self.wire, &bytes[..filled]) {
            ensure!(filled < bytes.len(), "a neighbour got a reply that does not end");
            let mut space = cmsg_space!(TimeSpec);
            let mut into = [IoSliceMut::new(&mut bytes[filled..])];
            let message =
                recvmsg::<()>(self.stream.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::empty())
                    .context("a neighbour got no reply")?;
            ensure!(message.bytes > 0, "a neighbour was closed");
            filled += message.bytes;
            for note in message.cmsgs()? {
                if let ControlMessageOwned::ScmTimestampns(at) = note {
                    received = SystemTime::UNIX_EPOCH + Duration::from(at);
                }
            }
        }
        let got = &bytes[..filled];
        ensure!(
            self.expected.iter().any(|expected| expected == got),
            "a neighbour got a wrong reply: {}",
            String::from_utf8_lossy(got)
        );
        Ok((written, received))
    }

    fn ask_until(&mut self, is_over: &AtomicBool, mut intended: SystemTime) -> anyhow::Result<Latencies> {
        let (mut latencies, mut longest_wait) = (Vec::new(), Duration::ZERO);
        let mut replied = SystemTime::UNIX_EPOCH;
        while latencies.is_empty() || !is_over.load(Ordering::Relaxed) {
            if let Ok(early) = intended.duration_since(SystemTime::now()) {
                thread::sleep(early);
            }
            // Late since the last reply was: the wait counts. Late since it had no CPU: that does not.
            let from = if replied > intended { intended } else { SystemTime::now() };
            let (written, received) = self.ask()?;
            replied = received;
            // A clock that was set back in between is no latency.
            latencies.push(replied.duration_since(from).unwrap_or_default());
            longest_wait = longest_wait.max(replied.duration_since(written).unwrap_or_default());
            intended += PERIOD;
        }
        latencies.sort_unstable();
        let p90 = latencies[(latencies.len() * 9).div_ceil(10) - 1];
        Ok(Latencies { p90, max: latencies[latencies.len() - 1], longest_wait })
    }
}
