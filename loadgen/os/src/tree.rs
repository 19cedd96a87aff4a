//! Figures of process trees: a server is what was started and everything that it started in turn.
//!
//! Everything is optional: what a system does not report is `None`, never 0.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};

use crate::clock::Nanos;
use crate::process;

/// Processes of a tree and threads of a process that are looked at; a sample must not become a load of its own.
const MEMBERS_MAX: usize = 512;

/// The processes of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// The process at its root.
    pub root: u32,
    /// Whether the root only watches over the others and is no part of the server.
    pub is_guard: bool,
}

/// What processes have used and hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time so far in ns, that of children that have ended and were waited for included.
    pub cpu_ns: Option<Nanos>,
    /// Resident memory in KiB; what several processes share counts for each of them.
    pub rss_kib: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Context switches so far because a thread had to wait.
    pub voluntary_switches: Option<u64>,
    /// Context switches so far because a thread's time was up, or another one's turn had come.
    pub involuntary_switches: Option<u64>,
}

impl Figures {
    /// Those of this process, children left out.
    #[must_use]
    pub fn own() -> Self {
        // All threads, those that have ended too.
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let count = |number: i64| u64::try_from(number).ok();
        Self {
            cpu_ns: process::own_cpu_ns(),
            rss_kib: process::rss_kib(None),
            descriptors: process::descriptors(None),
            voluntary_switches: usage.and_then(|usage| count(usage.voluntary_context_switches())),
            involuntary_switches: usage.and_then(|usage| count(usage.involuntary_context_switches())),
        }
    }

    /// The sum over these trees' live processes. A figure that a whole tree lacks is missing.
    #[must_use]
    pub fn of(trees: &[Tree]) -> Self {
        trees.iter().map(|tree| Self::of_tree(*tree)).reduce(Self::plus).unwrap_or_default()
    }

    fn of_tree(tree: Tree) -> Self {
        let mut members = descendants(tree.root);
        if !tree.is_guard {
            members.push(tree.root);
        }
        let mut sum = Self::default();
        for member in members {
            // One that has ended since it was listed is no longer part of the tree.
            sum = sum.with(Self::of_process(member));
        }
        if tree.is_guard {
            let ended = ended_children_ns(tree.root);
            sum.cpu_ns = sum.cpu_ns.map(|ns| ns + ended.unwrap_or(0));
        }
        sum
    }

    fn of_process(pid: u32) -> Self {
        let (voluntary, involuntary) = switches(pid).unzip();
        Self {
            cpu_ns: process::cpu_ns(pid).map(|ns| ns + ended_children_ns(pid).unwrap_or(0)),
            rss_kib: process::rss_kib(Some(pid)),
            descriptors: process::descriptors(Some(pid)),
            voluntary_switches: voluntary,
            involuntary_switches: involuntary,
        }
    }

    /// Both of them, missing where either is.
    fn plus(self, other: Self) -> Self {
        self.combined(other, |a, b| a.zip(b).map(|(a, b)| a + b))
    }

    /// Both of them, as far as they are known.
    fn with(self, other: Self) -> Self {
        self.combined(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        })
    }

    fn combined(self, other: Self, both: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            cpu_ns: both(self.cpu_ns, other.cpu_ns),
            rss_kib: both(self.rss_kib, other.rss_kib),
            descriptors: both(self.descriptors, other.descriptors),
            voluntary_switches: both(self.voluntary_switches, other.voluntary_switches),
            involuntary_switches: both(self.involuntary_switches, other.involuntary_switches),
        }
    }
}

/// The live processes below `root`, without itself; those that have ended and were not waited for are left out.
#[must_use]
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if found.len() < MEMBERS_MAX && !found.contains(&child) {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found.retain(|&pid| Stat::read(pid).is_some_and(|stat| !stat.has_ended));
    found
}

/// The children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let of_thread = |thread: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    };
    threads(pid).into_iter().flatten().flat_map(of_thread).collect()
}

/// A process's threads; `None` where there are too many to look at, or there is no such process.
fn threads(pid: u32) -> Option<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let threads: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(MEMBERS_MAX + 1)
        .collect();
    (threads.len() <= MEMBERS_MAX).then_some(threads)
}

/// Voluntary and involuntary context switches of a process's present threads.
fn switches(pid: u32) -> Option<(u64, u64)> {
    let mut sum = None;
    for thread in threads(pid)? {
        // A thread that has just ended is left out.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")) else { continue };
        let (voluntary, involuntary) = switches_of(&status)?;
        let (a, b) = sum.unwrap_or((0, 0));
        sum = Some((a + voluntary, b + involuntary));
    }
    sum
}

fn switches_of(status: &str) -> Option<(u64, u64)> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
    Some((field("voluntary_ctxt_switches:")?, field("nonvoluntary_ctxt_switches:")?))
}

/// CPU time of a process's children that have ended and were waited for, theirs included, in steps of 10 ms.
fn ended_children_ns(pid: u32) -> Option<Nanos> {
    Stat::read(pid)?.children_ticks.checked_mul(process::tick_ns()?)
}

/// What is used of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    has_ended: bool,
    children_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may hold anything, brackets and spaces too.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // Counted as in proc(5), the first of these is field 3, the state; cutime and cstime are 16 and 17.
        let has_ended = matches!(*fields.first()?, "Z" | "X");
        Some(Self { has_ended, children_ticks: number(13)? + number(14)? })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_a_name_that_looks_like_fields() {
        let line = "42 (a) Z 1 (b) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 100 1 1 1\n";
        assert_eq!(Stat::parse(line), Some(Stat { has_ended: false, children_ticks: 15 }));
        assert!(Stat::parse("42 (x) Z 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 0").is_some_and(|stat| stat.has_ended));
        for odd in ["", "42", "42 (x)", "42 (x) S 1"] {
            assert_eq!(Stat::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn switches_are_read_from_a_status() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switches_of(status), Some((7, 3)));
        assert_eq!(switches_of("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let own = Figures::own();
        assert!(own.cpu_ns > Some(0) && own.rss_kib > Some(100));
        assert!(
            own.descriptors > Some(2)
                && own.voluntary_switches.is_some()
                && own.involuntary_switches.is_some()
        );
        assert!(Figures::own().descriptors > Some(2));
    }

    #[test]
    fn no_tree_has_no_figures() {
        assert_eq!(Figures::of(&[]), Figures::default());
        // Beyond the largest process number that Linux gives.
        let gone = Tree { root: 1 << 23, is_guard: false };
        assert_eq!(Figures::of(&[gone]), Figures::default());
        let own = Tree { root: std::process::id(), is_guard: false };
        assert_eq!(Figures::of(&[own, gone]), Figures::default(), "half a sum is none");
    }

    #[test]
    fn a_tree_is_what_was_started_and_what_that_started() {
        // The shell starts another one, which uses CPU and ends; then it waits with a child of its own. The child
        // says itself that it is there: until a process has become its program, its figures still move.
        let child = "sh -c 'echo ready; read line' <&3 3<&- &";
        let busy = "sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'";
        let mut shell = Command::new("sh")
            .args(["-c", &format!("exec 3<&0; {busy}; {child} wait")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let members = descendants(shell.id());
        let tree = |is_guard| Figures::of(&[Tree { root: shell.id(), is_guard }]);
        let (whole, guarded) = (tree(false), tree(true));
        let counted =
            fs::read_dir(format!("/proc/{}/fd", shell.id())).map(|entries| entries.count() as u64).ok();
        let reported = process::descriptors(Some(shell.id()));
        for pid in &members {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = shell.wait();
        assert_eq!((line.as_str(), members.len()), ("ready\n", 1));
        assert!(reported.is_some() && reported == counted, "{reported:?} {counted:?}");
        // 60,000 turns of a shell's loop take tens of milliseconds, far more than starting three processes.
        assert!(
            whole.cpu_ns > Some(20_000_000) && guarded.cpu_ns > Some(10_000_000),
            "{whole:?} {guarded:?}"
        );
        assert!(whole.rss_kib > guarded.rss_kib && whole.descriptors > guarded.descriptors);
        assert_eq!(descendants(shell.id()), [0; 0]);
    }
}
