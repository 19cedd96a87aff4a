//! The harness's WebSocket client as an echo, for suites that test the framing (`.ci/autobahn` runs one).
//!
//! Asks the suite's server at the address given how many cases it has, sends back what each of them sends, and has
//! the report written. The limit on messages aside, its connections are those of a load's virtual users.

#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::runtime::Builder;
use tokio::time::timeout;
use twinwire::wire::{Ended, Reply, ReplyHandler, WebSocketConnection, WebSocketUrl};

/// How the suite's report calls us.
const AGENT: &str = "twinwire";

/// The largest message of the suites is 16 MiB.
const MESSAGE_BYTES_MAX: usize = 17 << 20;

/// The suite's server is on this machine, or next to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A case takes seconds at most.
const CASE_TIMEOUT: Duration = Duration::from_mins(1);

/// What has come and is to be sent back, with whether it is binary.
#[derive(Default)]
struct Heard(Vec<(Vec<u8>, bool)>);

impl ReplyHandler for Heard {
    fn is_whole(&self, _: &[u8]) -> bool {
        true
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.0.push((reply.text.to_vec(), reply.binary));
    }
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: ws_echo_client HOST:PORT")?;
    let address = address.parse().with_context(|| format!("`{address}` is not an address and a port"))?;
    Builder::new_current_thread().enable_all().build()?.block_on(run(address))
}

async fn run(address: SocketAddr) -> anyhow::Result<()> {
    let count = ask(address, "getCaseCount").await?;
    let count: usize = count.parse().with_context(|| format!("`{count}` is no number of cases"))?;
    for case in 1..=count {
        let mut connection = open(address, &format!("runCase?case={case}&agent={AGENT}")).await?;
        // However it ends: whether that was right is the suite's to say.
        timeout(CASE_TIMEOUT, poll_fn(|cx| echo(&mut connection, cx)))
            .await
            .with_context(|| format!("case {case} does not end"))?;
    }
    let mut connection = open(address, &format!("updateReports?agent={AGENT}")).await?;
    timeout(CASE_TIMEOUT, poll_fn(|cx| echo(&mut connection, cx))).await.context("no end of the report")?;
    println!("ran {count} cases");
    Ok(())
}

async fn open(address: SocketAddr, path: &str) -> anyhow::Result<WebSocketConnection> {
    let url = WebSocketUrl::parse(&format!("ws://{address}/{path}"))?;
    Ok(WebSocketConnection::open(&address.into(), &url, MESSAGE_BYTES_MAX, CONNECT_TIMEOUT).await?)
}

/// The one message that comes from there.
async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut connection = open(address, path).await?;
    let mut heard = Heard::default();
    let ended = timeout(
        CASE_TIMEOUT,
        poll_fn(|cx| connection.drain(cx, &mut heard).map_or_else(Poll::Ready, |()| Poll::Pending)),
    )
    .await
    .with_context(|| format!("no end of {path}"))?;
    let Some((text, false)) = heard.0.pop() else { bail!("no answer to {path}: {ended}") };
    Ok(String::from_utf8(text)?)
}

/// Sends back whatever comes, until the connection ends.
fn echo(connection: &mut WebSocketConnection, cx: &mut Context<'_>) -> Poll<Ended> {
    let mut heard = Heard::default();
    let drained = connection.drain(cx, &mut heard);
    let sent = heard
        .0
        .iter()
        .try_for_each(
            |(message, binary)| {
                if *binary { connection.push_binary(message) } else { connection.push(message) }
            },
        )
        .and_then(|()| connection.flush(cx).map(drop));
    drained.and(sent).map_or_else(Poll::Ready, |()| Poll::Pending)
}
