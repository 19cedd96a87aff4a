//! How many requests each worker of a server has answered, from its metrics.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

/// Longest that the answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests by worker, in the order of their numbers.
pub fn requests_by_worker(metrics: SocketAddr) -> anyhow::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(metrics)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let counts: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("twinwire_worker_requests_total{")?.rsplit(' ').next())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("a count that is no number")?;
    ensure!(!counts.is_empty(), "the metrics do not tell what each worker has done");
    Ok(counts)
}
