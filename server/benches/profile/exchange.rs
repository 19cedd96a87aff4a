//! The requests: every connection asks, then every connection reads, round after round.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};
use twinwire_floor::{
    roles::Wire,
    speech::{Step, arrival, reply, request},
};

/// As many as make the server find several of them ready at once.
pub const CONNECTIONS: usize = 16;

/// No reply for so long means that the server is gone. Callgrind makes it some fifty times slower.
const SILENCE: Duration = Duration::from_secs(20);

const VALUE: &str = "0123456789abcdefghij";
const PUT: Step = Step::Ask("put k0 0123456789abcdefghij", "done");
const GET: &str = "get k0";

/// One column: who asks how.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Over what.
    pub wire: Wire,
    /// Requests in one write.
    pub depth: usize,
}

impl Exchange {
    /// How many requests there are in so many rounds.
    pub fn requests(self, rounds: usize) -> usize {
        rounds * self.depth * CONNECTIONS
    }

    /// Asks for so many rounds, and makes sure of each reply.
    pub fn run(self, server: SocketAddr, rounds: usize) -> anyhow::Result<()> {
        let mut streams = Vec::with_capacity(CONNECTIONS);
        for name in 0..CONNECTIONS as u64 {
            streams.push(self.open(server, name).context("setting up")?);
        }
        let request = request(self.wire, GET).repeat(self.depth);
        let expected = reply(self.wire, VALUE).repeat(self.depth);
        let mut got = vec![0; expected.len()];
        for _round in 0..rounds {
            for stream in &mut streams {
                stream.write_all(&request)?;
            }
            for stream in &mut streams {
                stream.read_exact(&mut got).context("reading replies")?;
                ensure!(got == expected, "a wrong reply: {:?}", String::from_utf8_lossy(&got));
            }
        }
        Ok(())
    }

    fn open(self, server: SocketAddr, name: u64) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        for step in arrival(self.wire).iter().copied().chain([PUT]) {
            step.take(&stream, self.wire, name)?;
        }
        Ok(stream)
    }
}
