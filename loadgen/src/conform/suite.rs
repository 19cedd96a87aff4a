//! Runs many cases: which on which server, how many at once, in which other cuttings, again where only the time was wrong,
//! and what becomes of a target that dies.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use twinwire_os::open_files;

use super::case::Cases;
use super::case::model::{Action, Case, ClientTransport, Expectation, Level, Step, Text};
use super::cutting::{self, Cutting};
use super::failure::FailureKind;
use super::profile::{Excluded, Policy, Profile};
use super::script::{self, Against, Ending};
use super::servers::{Running, Server};
use super::transcript::Entry;
use super::verdict::{CaseResult, SuiteResult, Verdict};
use crate::domain::{Framing, Role, Transport};
use crate::oracle::texts;
use crate::text::thousands;

/// Cases that run at the same time, where a profile does not say otherwise.
const JOBS: u32 = 16;

/// Runs of one case that differ in their cutting and run at the same time.
const CUTTINGS_AT_ONCE: usize = 64;

/// The case that runs first and last: whether there is a server at all.
const SANITY: &str = r#"
[[case]]
id = "sanity"
rules = ["LOGIN-1", "STORE-1", "LIFE-1"]
about = "A client logs in, puts, gets and quits"
level = "core"
clients = { anna = {} }
steps = [
  { client = "anna", send = "put {word:k} {word:v}", expect = "done" },
  { client = "anna", send = "get {word:k}", expect = "{word:v}" },
  { client = "anna", send = "q", expect = "exiting" },
]
"#;

/// A case and where it comes from.
#[derive(Debug, Clone)]
pub struct SuiteCase {
    /// The case.
    pub case: Case,
    /// The file's name without its ending.
    pub group: String,
}

/// How a suite runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who has to pass; cases of a higher level are skipped.
    pub level: Level,
    /// The longest that one expectation may take.
    pub timeout: Duration,
    /// What the cases draw follows from it.
    pub seed: u64,
    /// Cases that run at the same time; `None`: as the profile says.
    pub jobs: Option<u32>,
    /// Whether it ends with the first failure.
    pub fail_fast: bool,
}

/// What happens while a suite runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case over a transport is done.
    Done(&'a CaseResult),
    /// The suite begins; the groups of the cases that are due or skipped, one for each.
    Begins(Vec<&'a str>),
    /// The server died in this case, and is started anew.
    Died(&'a str),
}

/// A case that is due over a transport.
struct Due<'a> {
    case: &'a SuiteCase,
    transport: Transport,
    server: &'a Server,
}

/// A suite that runs.
struct Suite<'a> {
    options: &'a Options,
    servers: &'a [Server],
    profile: &'a Profile,
    sanity: Case,
    /// Set once nothing more is to be run, and why.
    stop: Cell<Option<Stop>>,
    /// Cases beside which a server has died that none of them ended when it ran alone.
    deaths: RefCell<Vec<String>>,
}

/// The target has gone, and cannot be started anew.
#[derive(Debug, PartialEq, Eq)]
struct Gone;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Interrupted,
    FailedFast,
    Lost,
}

/// Runs these cases against these servers, the first of which is for those that need nothing in particular.
pub async fn run(
    cases: &[SuiteCase],
    servers: &[Server],
    options: &Options,
    mut interrupt: watch::Receiver<bool>,
    mut tell: impl FnMut(Event<'_>),
) -> SuiteResult {
    let begun = Instant::now();
    let suite = Suite {
        options,
        servers,
        profile: &servers[0].profile,
        sanity: Cases::parse("sanity", SANITY).expect("the built-in case is right").cases()[0].clone(),
        stop: Cell::new(None),
        deaths: RefCell::default(),
    };
    let (due, mut results) = suite.plan(cases);
    // A run has two or three clients. Where the system allows fewer descriptors, a case that needs more is unknown.
    let _ = open_files::raise_limit(4 * u64::from(JOBS) * CUTTINGS_AT_ONCE as u64);
    let mut suite_result = SuiteResult {
        target: String::new(),
        profile: suite.profile.name.clone(),
        seed: options.seed,
        due: due.len() + results.len(),
        cases: Vec::new(),
        elapsed: Duration::ZERO,
        lost: None,
        deaths: Vec::new(),
        interrupted: false,
    };
    let groups =
        due.iter().map(|due| due.case.group.as_str()).chain(results.iter().map(|one| one.group.as_str()));
    tell(Event::Begins(groups.collect()));
    for result in &results {
        tell(Event::Done(result));
    }
    suite_result.lost = suite.begin().await.err();
    let mut last_case = String::new();
    if suite_result.lost.is_none() {
        let jobs = options.jobs.or(suite.profile.jobs).unwrap_or(JOBS) as usize;
        let mut waiting = due.iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while suite.stop.get().is_none()
                && under_way.len() < jobs
                && let Some(due) = waiting.next()
            {
                under_way.push(suite.run_due(due));
            }
            let done = tokio::select! {
                biased;
                _ = interrupt.wait_for(|wish| *wish), if suite.stop.get().is_none() => {
                    suite.stop.set(Some(Stop::Interrupted));
                    continue;
                }
                done = under_way.next() => done,
            };
            let Some(done) = done else { break };
            if done.verdict == Verdict::Failed && options.fail_fast && suite.stop.get().is_none() {
                suite.stop.set(Some(Stop::FailedFast));
            }
            if suite.stop.get() == Some(Stop::Lost) && last_case.is_empty() {
                last_case.clone_from(&done.id);
            }
            if done.server_died {
                tell(Event::Died(&done.id));
            }
            tell(Event::Done(&done));
            results.push(done);
        }
        let (verdict, why) = match suite.stop.get() {
            Some(Stop::Interrupted) => (Verdict::Skipped, "the run was interrupted"),
            Some(Stop::FailedFast) => (Verdict::Skipped, "a case before it failed"),
            Some(Stop::Lost) | None => (Verdict::Unknown, "the target was gone"),
        };
        for due in waiting {
            let result = due.not_run(verdict, why);
            tell(Event::Done(&result));
            results.push(result);
        }
        suite_result.lost = match suite.stop.get() {
            Some(Stop::Lost) => Some(format!("the target died in or after case `{last_case}`")),
            None => suite.end().await.err(),
            _ => None,
        };
    } else {
        results.extend(due.iter().map(|due| due.not_run(Verdict::Unknown, "there was no target")));
    }
    for server in servers {
        server.running.write().await.target.stop().await;
    }
    suite_result.interrupted = suite.stop.get() == Some(Stop::Interrupted);
    suite_result.deaths = suite.deaths.take();
    suite_result.cases = results;
    suite_result.elapsed = begun.elapsed();
    suite_result
}

impl Due<'_> {
    fn not_run(&self, verdict: Verdict, why: &str) -> CaseResult {
        let SuiteCase { case, group } = self.case;
        CaseResult::not_run(case, group, Some(self.transport), verdict, why.to_owned())
    }
}

impl<'a> Suite<'a> {
    /// The cases that are due, those that may end a weak server last, and the results of those that are skipped.
    fn plan<'c>(&self, cases: &'c [SuiteCase]) -> (Vec<Due<'c>>, Vec<CaseResult>)
    where
        'a: 'c,
    {
        let mut due = Vec::new();
        let mut skipped = Vec::new();
        for case in cases {
            let skip = |transport, why: String| {
                CaseResult::not_run(&case.case, &case.group, transport, Verdict::Skipped, why)
            };
            if let Some(why) = self.excluded(&case.case) {
                skipped.push(skip(None, why));
                continue;
            }
            let Some(server) = self.servers.iter().find(|server| fits(&case.case, server)) else {
                let lacking =
                    case.case.needs.iter().find(|need| !self.servers.iter().any(|one| one.has(**need)));
                skipped.push(skip(
                    None,
                    match lacking {
                        Some(need) => format!("the target is not known to have: {need}"),
                        None => "nobody becomes a manager under this policy".to_owned(),
                    },
                ));
                continue;
            };
            let wanted = case.case.transports.as_deref().unwrap_or(&server.transports);
            let offered: Vec<_> =
                wanted.iter().copied().filter(|transport| server.transports.contains(transport)).collect();
            if offered.is_empty() {
                let names: Vec<_> = wanted.iter().map(|transport| transport.label()).collect();
                skipped.push(skip(None, format!("no {} target", names.join(" or "))));
            }
            for transport in offered {
                let lacking = lacks_for_clients(&case.case, transport, server)
                    .or_else(|| lacks_room(&case.case, transport, server));
                match lacking {
                    Some(why) => skipped.push(skip(Some(transport), why)),
                    None => due.push(Due { case, transport, server }),
                }
            }
        }
        due.sort_by_key(|due| due.case.case.kills);
        (due, skipped)
    }

    /// Why a case is left out on any transport.
    fn excluded(&self, case: &Case) -> Option<String> {
        if case.level == Level::Full && self.options.level == Level::Core {
            return Some("its level is full".to_owned());
        }
        let except = self.profile.exceptions.iter().find(|except| match &except.what {
            Excluded::Rule(rule) => case.rules.contains(rule),
            Excluded::Case(id) => case.id == *id,
        });
        except.map(|except| except.reason.clone())
    }

    /// Starts the servers and looks whether they serve.
    async fn begin(&self) -> Result<(), String> {
        for server in self.servers {
            let mut running = server.running.write().await;
            server.start(&mut running).await.map_err(|error| error.to_string())?;
            self.serves(server, &running).await?;
        }
        Ok(())
    }

    /// Whether all servers serve at the end, too.
    async fn end(&self) -> Result<(), String> {
        for server in self.servers {
            self.serves(server, &*server.running.read().await).await?;
        }
        Ok(())
    }

    /// Whether a server answers over each of its transports. What it answers wrongly is a case's business.
    async fn serves(&self, server: &Server, running: &Running) -> Result<(), String> {
        for transport in &server.transports {
            let against = self.against(server, running);
            let (ending, _) =
                script::run(&self.sanity, *transport, Cutting::Whole, against, self.options.seed).await;
            if let Ending::Failed(failure) = ending
                && (failure.kind == FailureKind::Unreachable
                    || failure.kind == FailureKind::Late && failure.place == "set-up")
            {
                let name = if server.name.is_empty() { String::new() } else { format!(" ({})", server.name) };
                return Err(format!("no target{name} over {}: {}", transport.label(), failure.seen));
            }
        }
        Ok(())
    }

    fn against<'r>(&self, server: &'r Server, running: &'r Running) -> Against<'r> {
        Against { endpoints: &running.endpoints, profile: &server.profile, timeout: self.options.timeout }
    }

    async fn run_due(&self, due: &Due<'_>) -> CaseResult {
        let begun = Instant::now();
        let SuiteCase { case, group } = due.case;
        let mut result =
            CaseResult::not_run(case, group, Some(due.transport), Verdict::Passed, String::new());
        let ran = if case.alone || is_small(due.server) {
            self.run_alone(due, &mut result).await
        } else {
            self.run_beside_others(due, &mut result).await
        };
        if ran == Err(Gone) {
            // What a server that has gone does not answer says nothing about it.
            result.failure = None;
            (result.verdict, result.reason) =
                (Verdict::Unknown, "the target died in it, or beside it".to_owned());
        }
        self.apply_known_failures(&mut result);
        result.elapsed = begun.elapsed();
        result
    }

    /// A case that the profile says fails has to.
    fn apply_known_failures(&self, result: &mut CaseResult) {
        let Some(known) = self.profile.known_failures.iter().find(|known| known.case == result.id) else {
            return;
        };
        result.verdict = match result.verdict {
            Verdict::Passed => Verdict::UnexpectedPass,
            Verdict::Failed | Verdict::Warned | Verdict::Unstable => Verdict::ExpectedFailure,
            other => other,
        };
        result.reason.clone_from(&known.reason);
    }

    /// Runs a case with the others, and where that fails for its time, or the server has died, again alone.
    async fn run_beside_others(&self, due: &Due<'_>, result: &mut CaseResult) -> Result<(), Gone> {
        let restarts = {
            let running = due.server.running.read().await;
            self.run_all(due, &running, result).await;
            running.restarts
        };
        if result.failure.is_none() {
            return Ok(());
        }
        let mut running = due.server.running.write().await;
        if self.stop.get() == Some(Stop::Lost) {
            return Err(Gone);
        }
        let found_dead = running.restarts == restarts && !self.is_alive(due.server, &mut running).await;
        if found_dead {
            self.revive(due.server, &mut running).await?;
        }
        let dead = found_dead || running.restarts != restarts;
        let only_late = result.failure.as_ref().is_some_and(|failure| failure.kind != FailureKind::Wrong);
        if !dead && !only_late {
            return Ok(());
        }
        let SuiteCase { case, group } = due.case;
        let again = CaseResult::not_run(case, group, result.transport, Verdict::Passed, String::new());
        let first = std::mem::replace(result, CaseResult { runs: result.runs, ..again });
        self.run_all(due, &running, result).await;
        if result.failure.is_some() {
            self.note_death(due.server, &mut running, result).await?;
        } else if found_dead {
            // Several cases ran: which of them ended it, and whether only together, is not known.
            self.deaths.borrow_mut().push(result.id.clone());
        } else if !dead {
            let reason = "it passed when it ran alone".to_owned();
            *result = CaseResult { verdict: Verdict::Unstable, reason, runs: result.runs, ..first };
        }
        Ok(())
    }

    async fn run_alone(&self, due: &Due<'_>, result: &mut CaseResult) -> Result<(), Gone> {
        let mut running = due.server.running.write().await;
        if self.stop.get() == Some(Stop::Lost) {
            return Err(Gone);
        }
        self.run_all(due, &running, result).await;
        self.note_death(due.server, &mut running, result).await
    }

    /// Looks whether the server has died in a case that ran alone, and starts it anew then.
    async fn note_death(
        &self,
        server: &Server,
        running: &mut Running,
        result: &mut CaseResult,
    ) -> Result<(), Gone> {
        let suspect = result.failure.is_some() || running.target.death().is_some();
        if suspect && !self.is_alive(server, running).await {
            result.server_died = true;
            result.verdict = Verdict::Failed;
            self.revive(server, running).await?;
        }
        Ok(())
    }

    async fn is_alive(&self, server: &Server, running: &mut Running) -> bool {
        running.target.death().is_none() && self.serves(server, running).await.is_ok()
    }

    /// Starts a server anew that has died. One that does not start, or is not the harness's to start, is lost, and that
    /// ends the run.
    async fn revive(&self, server: &Server, running: &mut Running) -> Result<(), Gone> {
        running.restarts += 1;
        if running.target.is_ours() && server.start(running).await.is_ok() {
            return Ok(());
        }
        self.stop.set(Some(Stop::Lost));
        if running.target.is_ours() { Ok(()) } else { Err(Gone) }
    }

    /// Runs a case whole, then in each other cutting, until one fails.
    async fn run_all(&self, due: &Due<'_>, running: &Running, result: &mut CaseResult) {
        let case = &due.case.case;
        let (ending, transcript) = self.once(due, running, Cutting::Whole).await;
        result.runs += 1;
        take(case, ending, Cutting::Whole, transcript, result);
        if !matches!(result.verdict, Verdict::Passed) {
            return;
        }
        if due.transport.is_encrypted() {
            // The bytes of TLS are records whatever the writes are.
            return;
        }
        for group in cutting::sweep(case, due.transport.framing()) {
            for chunk in group.chunks(cuttings_at_once(case, due.server)) {
                if self.stop.get().is_some() {
                    (result.verdict, result.reason) =
                        (Verdict::Skipped, "the run ended amid its cuttings".to_owned());
                    return;
                }
                let runs = chunk.iter().map(|cutting| self.once(due, running, *cutting));
                result.runs += chunk.len() as u32;
                for (cutting, (ending, transcript)) in chunk.iter().zip(join_all(runs).await) {
                    take(case, ending, *cutting, transcript, result);
                    if result.failure.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn once<'r>(
        &'r self,
        due: &'r Due<'_>,
        running: &'r Running,
        cutting: Cutting,
    ) -> impl Future<Output = (Ending, Vec<Entry>)> + 'r {
        let seed = seed_of(self.options.seed, &due.case.case.id, due.transport, cutting);
        script::run(&due.case.case, due.transport, cutting, self.against(due.server, running), seed)
    }
}

/// Takes the ending of one run into the result of its case.
fn take(case: &Case, ending: Ending, cutting: Cutting, transcript: Vec<Entry>, result: &mut CaseResult) {
    match ending {
        Ending::Passed | Ending::Late(_) if result.verdict != Verdict::Passed => {}
        Ending::Passed => {}
        Ending::Late(what) => {
            (result.verdict, result.reason) = (Verdict::Warned, what);
        }
        Ending::Unknown(why) => (result.verdict, result.reason) = (Verdict::Unknown, why),
        Ending::Failed(failure) => {
            result.verdict = if case.is_should() { Verdict::Warned } else { Verdict::Failed };
            result.failure = Some(failure);
            result.cutting = cutting;
            result.transcript = transcript;
        }
    }
}

/// Why a case cannot run over this transport: what its clients need is not there.
fn lacks_for_clients(case: &Case, transport: Transport, server: &Server) -> Option<String> {
    for client in &case.clients {
        let offered = &server.transports;
        let own = match client.transport {
            ClientTransport::Case => continue,
            ClientTransport::Named(named) if offered.contains(&named) => named,
            ClientTransport::Named(named) => {
                return Some(format!("no {} target for `{}`", named.label(), client.name));
            }
            ClientTransport::Other => match offered.iter().find(|other| **other != transport) {
                Some(other) => *other,
                None => return Some("the target has one transport only".to_owned()),
            },
        };
        if own != transport && !server.profile.shared_registry {
            return Some("the target's transports have registries of their own".to_owned());
        }
    }
    None
}

/// Whether a server takes too few connections for several cases at once.
fn is_small(server: &Server) -> bool {
    server
        .profile
        .limits
        .connections
        .is_some_and(|connections| (connections as usize) < 2 * JOBS as usize * CUTTINGS_AT_ONCE)
}

fn cuttings_at_once(case: &Case, server: &Server) -> usize {
    let room = server.profile.limits.connections.map_or(usize::MAX, |connections| connections as usize);
    (room.saturating_sub(2) / case.clients.len()).clamp(1, CUTTINGS_AT_ONCE)
}

/// Whether a server has what a case needs.
fn fits(case: &Case, server: &Server) -> bool {
    let needs = case.needs.iter().all(|need| server.has(*need));
    let managers = case.clients.iter().any(|client| client.role == Role::Manager);
    let policy = &server.profile.upgrade;
    needs && (!managers || *policy != Policy::Closed || server.profile.operator.promote.is_some())
}

/// The seed of one run: the same suite seed gives each run the same operands (FNV-1a over what distinguishes it).
fn seed_of(seed: u64, id: &str, transport: Transport, cutting: Cutting) -> u64 {
    let text = format!("{id} {transport} {cutting}");
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Longest chunk that the original clients send (RAW-1).
const CHUNK_BYTES_MAX: usize = 1_024;

/// Why a case cannot run over this transport: it wants messages to be taken that are longer than the target's.
fn lacks_room(case: &Case, transport: Transport, server: &Server) -> Option<String> {
    let limit = server.profile.message_max as usize;
    let is_raw = transport.framing() == Framing::Chunks;
    if is_raw && limit > CHUNK_BYTES_MAX && case.uses_message_max() {
        return Some(
            "it is about the longest message, and over raw TCP 1,024 bytes are a message's most".to_owned(),
        );
    }
    let limit = if is_raw { limit.min(CHUNK_BYTES_MAX) } else { limit };
    (longest_message(&case.steps) > limit)
        .then(|| format!("it sends messages over the target's limit of {} bytes", thousands(limit as u64)))
}

/// Bytes of the longest message that steps send, but for lengths relative to the target's limit, and for messages that
/// must be refused as too long.
fn longest_message(steps: &[Step]) -> usize {
    let too_long = Expectation::Replies(vec![Text::literal(texts::MESSAGE_TOO_LONG)]);
    let longest = |step: &Step| match &step.action {
        _ if step.expect.as_ref() == Some(&too_long) => 0,
        Action::Send { messages, .. } => messages.iter().map(Text::bytes_fixed).max().unwrap_or_default(),
        Action::Together(inner) | Action::Repeat { steps: inner, .. } => longest_message(inner),
        _ => 0,
    };
    steps.iter().map(longest).max().unwrap_or_default()
}
