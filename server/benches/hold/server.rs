//! A fresh server for each figure, and what it holds when it has come to rest.

use std::{
    thread,
    time::{Duration, Instant},
};

use twinwire_floor::{
    open_files,
    server::{Holdings, Server},
};

/// What server and clients need beside a descriptor for each connection: the server keeps some back for connections
/// that are being closed.
const DESCRIPTORS_SPARE: u64 = 256;

/// How often is looked whether a figure still changes, and for how long at most.
const SETTLE_POLL: Duration = Duration::from_millis(100);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pings are off: the clients here answer only what they have asked for.
pub fn start(cpu: usize) -> anyhow::Result<Server> {
    Server::start(env!("CARGO_BIN_EXE_twinwire-server"), cpu, &["--ping-interval", "off"])
}

/// What it holds once that has stopped changing: ends of connections reach it a little later.
pub fn settled(server: &Server) -> anyhow::Result<Holdings> {
    let give_up_at = Instant::now() + SETTLE_TIMEOUT;
    let mut last = server.holdings()?;
    loop {
        thread::sleep(SETTLE_POLL);
        let now = server.holdings()?;
        if now == last || Instant::now() >= give_up_at {
            return Ok(now);
        }
        last = now;
    }
}

/// Why so many connections are too many for this process or the server, if they are. Raises the limit where it must.
pub fn lack_of_descriptors(connections: u64) -> Option<String> {
    let needed = connections + DESCRIPTORS_SPARE;
    let limit = open_files::raise_limit(needed);
    (limit < needed).then(|| {
        format!("not measured: needs {needed} open files, and the hard limit is {limit} (see ulimit -Hn)")
    })
}
