//! Threads: one worker for each CPU with a runtime of its own, and one thread for each listener that distributes the
//! connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::framing::{Framing, Responder};

/// Bytes that one read takes at most: more than the longest message.
const READ_BYTES: usize = 128 * 1024;

/// An outgoing buffer that has grown beyond this is freed once it is empty.
const IDLE_CAPACITY_MAX: usize = 4096;

/// Pause after a failed accept, such as without free descriptors: trying again at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// One for all connections of a worker.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A connection on its way to its worker.
pub(super) type Accepted = (std::net::TcpStream, Framing);

/// Confines the calling thread, and those that it starts, to these CPUs, as far as the system allows.
pub(super) fn confine(cpus: &[usize]) {
    let mut set = CpuSet::new();
    if !cpus.is_empty() && cpus.iter().all(|&cpu| set.set(cpu).is_ok()) {
        // Without it only precision suffers.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// Starts a worker on each CPU, at least one.
pub(super) fn start(cpus: &[usize]) -> io::Result<Vec<UnboundedSender<Accepted>>> {
    let mut workers = Vec::new();
    for worker in 0..cpus.len().max(1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (sender, accepted) = unbounded_channel();
        let cpu = cpus.get(worker).copied();
        std::thread::Builder::new().name(format!("null-{worker}")).spawn(move || {
            confine(cpu.as_slice());
            runtime.block_on(work(accepted));
        })?;
        workers.push(sender);
    }
    Ok(workers)
}

/// Accepts for ever, and gives the connections to the workers in turn.
pub(super) fn accept(listener: &TcpListener, framing: Framing, workers: &[UnboundedSender<Accepted>]) {
    for worker in workers.iter().cycle() {
        match listener.accept() {
            Ok((stream, _)) => drop(worker.send((stream, framing))),
            Err(_) => std::thread::sleep(ACCEPT_PAUSE),
        }
    }
}

async fn work(mut accepted: UnboundedReceiver<Accepted>) {
    while let Some((stream, framing)) = accepted.recv().await {
        let ready = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
        if let Ok(stream) = ready.and_then(|()| TcpStream::from_std(stream)) {
            tokio::spawn(serve(stream, framing));
        }
    }
}

/// One read, one write, until the client leaves.
async fn serve(mut stream: TcpStream, framing: Framing) {
    let mut responder = Responder::new(framing);
    let mut out = Vec::new();
    while let Some(go_on) = answer(&mut stream, &mut responder, &mut out).await {
        if stream.write_all(&out).await.is_err() || !go_on {
            break;
        }
        if out.capacity() > IDLE_CAPACITY_MAX {
            out = Vec::new();
        }
        out.clear();
    }
    // Dropping a socket with unread bytes resets it, which may overtake the last reply.
    let _ = stream.shutdown().await;
}

/// Reads once and appends all replies. Returns whether the connection goes on; `None`: the client has left.
async fn answer(stream: &mut TcpStream, responder: &mut Responder, out: &mut Vec<u8>) -> Option<bool> {
    poll_fn(|cx| {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut into = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut into) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    Poll::Ready(Some(responder.take(into.filled_mut(), out).is_ok()))
                }
                Poll::Ready(_) => Poll::Ready(None),
            }
        })
    })
    .await
}
