//! The server's WebSocket path with an echo in the place of the session, for suites that test the framing
//! (`.ci/autobahn` runs one).
//!
//! Prints `listening websocket ADDR` for a free port of the loopback address, and serves until its standard input
//! ends.

#![forbid(unsafe_code)]

use std::{io, sync::Arc, thread};

use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::oneshot,
    task::spawn_local,
};
use tokio_tungstenite::tungstenite::Message;
use twinwire_server::{
    Config,
    config::Timeouts,
    fuzzing::{Service, serve_alone},
    session::Flow,
};

/// The largest message of the suites is 16 MiB.
const MESSAGE_BYTES_MAX: usize = 17 << 20;

/// Sends back what it gets.
struct Echo;

impl Service for Echo {
    const TAKES_BINARY: bool = true;

    fn answer(&mut self, message: &Message) -> (Message, Flow) {
        (message.clone(), Flow::Continue)
    }
}

fn main() -> io::Result<()> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let config = Arc::new(Config {
        message_bytes_max: MESSAGE_BYTES_MAX,
        timeouts: Timeouts { login: None, idle: None, unsent: None, ping: None },
        ..Config::on_free_ports(&[])
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening websocket {}", listener.local_addr()?);
    let (end, mut ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _end = end;
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    });
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                stream.set_nodelay(true)?;
                spawn_local(serve_alone(stream.into_std()?, Arc::clone(&config), Echo));
            }
            _ = &mut ended => return Ok(()),
        }
    }
}
