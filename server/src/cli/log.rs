//! The log on standard error, written by a thread of its own: a reader that stalls stops no other thread.
//!
//! Lines wait in a bounded queue. When it is full they are dropped, counted in [`LOG_LINES_DROPPED`], and the count is
//! logged once there is room again.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigSet, SigmaskHow},
};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::fmt::MakeWriter;

use crate::counters::LOG_LINES_DROPPED;

/// The most bytes that wait to be written: some seven thousand lines, more than pile up for a reader that is only slow.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How much of that is reserved for lines at info and above: a flood of debug lines must not displace a warning, or the
/// last lines.
const RESERVED_BYTES: usize = WAITING_BYTES_MAX / 16;

/// How often dropped lines are reported while the queue never empties.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How long the end of the program waits for a reader that takes nothing.
const STALLED_MAX: Duration = Duration::from_secs(1);

/// How long it waits for a reader that takes a little now and then.
const FINISH_MAX: Duration = Duration::from_secs(3);

/// The log. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    added: Condvar,
    taken: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Whether the thread is writing a line that is no longer in the queue.
    is_writing: bool,
}

impl Log {
    /// Logs to standard error from `level` on. If the process has a subscriber already, that one is used.
    pub(super) fn start(level: LevelFilter) -> io::Result<Self> {
        let log = Self(Arc::default());
        let queue = Arc::clone(&log.0);
        // Signals are for the thread that waits for them, which starts later: this one must not take any.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let spawned = thread::Builder::new().name("log".into()).spawn(move || queue.write(&io::stderr()));
        before.thread_set_mask()?;
        spawned?;
        let _ = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(log.clone())
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            // An error in writing the log could only be logged again: that would be a panic.
            .log_internal_errors(false)
            .try_init();
        Ok(log)
    }

    /// Writes a line that must not be lost, after all that waits.
    pub(super) fn add(&self, line: String) {
        self.0.add(line.into_bytes().into());
    }

    /// Waits until everything is written, or the reader takes nothing more.
    pub(super) fn finish(&self) {
        self.0.wait_until_written(STALLED_MAX, FINISH_MAX);
    }
}

/// Takes the lines of one level.
#[derive(Debug)]
pub(super) struct LineWriter<'a> {
    queue: &'a Queue,
    /// How many bytes may wait when such a line is added.
    waiting_bytes_max: usize,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: &self.0, waiting_bytes_max: WAITING_BYTES_MAX }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> LineWriter<'a> {
        let reserved = if *line.level() > Level::INFO { RESERVED_BYTES } else { 0 };
        LineWriter { queue: &self.0, waiting_bytes_max: WAITING_BYTES_MAX - reserved }
    }
}

/// The subscriber passes each line in one piece.
impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.offer(line, self.waiting_bytes_max);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    /// Adds a line, or counts it as dropped if more than `waiting_bytes_max` bytes would wait.
    fn offer(&self, line: &[u8], waiting_bytes_max: usize) {
        let copy = line.into();
        let mut waiting = self.waiting();
        if waiting.bytes + line.len() > waiting_bytes_max {
            LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.add(copy);
            self.added.notify_one();
        }
    }

    fn add(&self, line: Box<[u8]>) {
        self.waiting().add(line);
        self.added.notify_one();
    }

    /// Writes to `to` for as long as the program runs.
    fn write(&self, to: &(impl AsFd + ?Sized)) {
        let (mut reported, mut reported_at) = (LOG_LINES_DROPPED.load(Ordering::Relaxed), None::<Instant>);
        loop {
            let line = self.next();
            write_whole(to, &line);
            let is_empty = self.waiting().lines.is_empty();
            let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
            let is_time = is_empty || reported_at.is_some_and(|at| at.elapsed() >= REPORT_INTERVAL);
            if dropped == reported {
                reported_at = None;
            } else if is_time {
                tracing::error!(
                    lines = dropped - reported,
                    "log lines were dropped: standard error was not read fast enough"
                );
                (reported, reported_at) = (dropped, Some(Instant::now()));
            } else if reported_at.is_none() {
                reported_at = Some(Instant::now());
            }
            // Only now, so that the end of the program waits for the report as well.
            self.waiting().is_writing = false;
            self.taken.notify_all();
        }
    }

    /// The next line, once there is one.
    fn next(&self) -> Box<[u8]> {
        let mut waiting = self.waiting();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.is_writing = true;
                return line;
            }
            waiting = self.added.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether everything was written within `total_max`, and never stalled for `stalled_max`.
    fn wait_until_written(&self, stalled_max: Duration, total_max: Duration) -> bool {
        let end = Instant::now() + total_max;
        let mut waiting = self.waiting();
        while waiting.is_writing || !waiting.lines.is_empty() {
            let wait_max = stalled_max.min(end.saturating_duration_since(Instant::now()));
            let (next, waited) =
                self.taken.wait_timeout(waiting, wait_max).unwrap_or_else(PoisonError::into_inner);
            waiting = next;
            if waited.timed_out() {
                return !waiting.is_writing && waiting.lines.is_empty();
            }
        }
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, line: Box<[u8]>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

/// Writes all of `line`, however long that takes. Errors are ignored, since the reader is gone then.
///
/// Not through the standard library's handle, whose lock would stop a thread that panics.
fn write_whole(to: &(impl AsFd + ?Sized), line: &[u8]) {
    let mut rest = line;
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(0) => return,
            Ok(count) => rest = &rest[count..],
            Err(nix::errno::Errno::EINTR) => {}
            // Another process that shares the descriptor has made it non-blocking.
            Err(nix::errno::Errno::EAGAIN) => {
                let mut writable = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut writable, PollTimeout::NONE);
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use super::*;

    #[test]
    fn lines_come_whole_and_in_order_through_a_pipe_that_does_not_block() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let queue = Arc::new(Queue::default());
        let lines: Vec<_> = (0..2000).map(|number| format!("{number} {}\n", "x".repeat(200))).collect();
        for line in &lines {
            queue.offer(line.as_bytes(), WAITING_BYTES_MAX);
        }
        let writing = Arc::clone(&queue);
        thread::spawn(move || writing.write(&writer));
        let mut text = vec![0; lines.iter().map(String::len).sum()];
        File::from(reader).read_exact(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), lines.concat());
        assert!(queue.wait_until_written(Duration::from_secs(20), Duration::from_secs(20)));
    }

    #[test]
    fn what_nothing_reads_is_bounded_and_given_up_at_the_end() {
        let (_reader, writer) = nix::unistd::pipe().unwrap();
        let queue = Arc::new(Queue::default());
        let writing = Arc::clone(&queue);
        thread::spawn(move || writing.write(&writer));
        let before = LOG_LINES_DROPPED.load(Ordering::Relaxed);
        for _ in 0..3 * WAITING_BYTES_MAX / 1000 {
            queue.offer(&[b'x'; 1000], WAITING_BYTES_MAX);
        }
        assert!(LOG_LINES_DROPPED.load(Ordering::Relaxed) > before);
        assert!(queue.waiting().bytes <= WAITING_BYTES_MAX);
        assert!(!queue.wait_until_written(Duration::from_millis(10), Duration::from_millis(20)));
    }
    #[test]
    fn a_flood_of_debug_lines_leaves_room_for_the_others() {
        let log = Log(Arc::default());
        let write = |level: Level, text: &str| {
            let subscriber = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(log.clone());
            tracing::subscriber::with_default(subscriber.finish(), || {
                if level == Level::DEBUG { tracing::debug!("{text}") } else { tracing::info!("{text}") }
            });
        };
        let text = "x".repeat(100_000);
        for _ in 0..20 {
            write(Level::DEBUG, &text);
        }
        write(Level::INFO, "stopped");
        let last = log.0.waiting().lines.pop_back().unwrap();
        assert!(String::from_utf8_lossy(&last).contains("stopped"));
    }
}
