//! The null target: the least that a server of the protocol can do, for measuring the harness's own floor.
//!
//! It is a second instance of this executable, in a child process like the embedded server's: with the same arguments,
//! the same CPUs with a worker on each, and the same `listening …` lines. It ends when its standard input does. Its
//! replies are legal for clients that use one key each, like those of `calibrate`: a connection has one slot for the
//! last value that was put, and nothing is shared. It does not suit other clients: names are not compared (LOGIN-2),
//! text is not checked (TCP-4), there are no limits, and managers find no other user's keys.
//!
//! It shares no code with the reference server, whose cost must not count as the harness's.

mod client;
mod framing;
mod worker;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::Parser;

use crate::domain::Transport;
use framing::Framing;

/// Hidden first argument with which this executable becomes the null target.
pub const SUBCOMMAND: &str = "serve-null";

/// The null target's flags, the same as the embedded server's.
#[derive(Debug, Parser)]
#[command(name = SUBCOMMAND)]
struct Args {
    #[arg(long)]
    tcp: Option<SocketAddr>,
    #[arg(long)]
    tcp_raw: Option<SocketAddr>,
    #[arg(long)]
    ws: Option<SocketAddr>,
    /// A worker runs on each CPU; none: one worker that is not confined.
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// It always does; the flag exists because the embedded server has it.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// Becomes the null target: the body of the hidden subcommand.
pub fn serve(arguments: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(std::iter::once(OsString::from(SUBCOMMAND)).chain(arguments)) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    match listen(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "null target: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until standard input closes; its threads end with the process.
fn listen(args: &Args) -> io::Result<()> {
    // Before any thread starts, so that the accepting threads are confined too.
    worker::confine(&args.cpus);
    let workers = worker::start(&args.cpus)?;
    let wanted = [
        (Transport::Tcp, args.tcp, Framing::Line),
        (Transport::TcpRaw, args.tcp_raw, Framing::Raw),
        (Transport::WebSocket, args.ws, Framing::Handshake),
    ];
    let mut stdout = io::stdout();
    for (transport, address, framing) in wanted {
        let Some(address) = address else { continue };
        let listener = TcpListener::bind(address)?;
        writeln!(stdout, "listening {transport} {}", listener.local_addr()?)?;
        let workers = workers.clone();
        std::thread::spawn(move || worker::accept(&listener, framing, &workers));
    }
    stdout.flush()?;
    // An error ends it too.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    Ok(())
}
