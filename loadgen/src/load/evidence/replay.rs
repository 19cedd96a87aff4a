//! A violation, and what the workers' logs have of it → the shortest sequence of requests that shows it again.
//!
//! It needs the puts of the values that were due and that came, the read that had proved the newest put if that put was
//! not answered yet, and the request with the wrong reply. If a value came from an earlier session of its user, that
//! session's end and the next one's beginning are shown too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use twinwire_os::clock::Nanos;

use super::super::context::PassContext;
use super::super::plan::SessionEnd;
use super::request_log::LoggedRequest;
use super::violation::{Asked, Evidence, LastAnswered};
use crate::domain::Role;
use crate::oracle::{Expectation, ExpectedReply, PutId, SessionAge, TAG_BYTES, request, texts};
use crate::record::{Replay, ReplayAction, ReplayClient, ReplayExpect, ReplayStep, Violation};

/// Longest value that is written out. A longer one is shown by its tag, which distinguishes it from every other.
const VALUE_SHOWN_MAX: usize = 200;

/// How long nothing must come if nothing was asked. A superfluous reply comes long before.
const SILENCE_MS: u64 = 200;

/// The violation as the record keeps it: with how to show it again.
pub fn with_replay(context: &PassContext, evidence: Evidence) -> Violation {
    let replay = Some(replay(context, &evidence));
    Violation { replay, ..evidence.into_violation() }
}

fn replay(context: &PassContext, evidence: &Evidence) -> Replay {
    let mut build = Build { context, evidence, clients: Vec::new(), steps: Vec::new() };
    build.earlier_sessions();
    build.puts();
    build.what_must_change_nothing();
    build.offence();
    build.aftermath();
    build.finish()
}

struct Build<'a> {
    context: &'a PassContext,
    evidence: &'a Evidence,
    /// The client's index in the pass, with its part in the replay; the first is the one that was answered wrongly. A
    /// further connection of that client has no index.
    clients: Vec<(Option<u32>, ReplayClient)>,
    steps: Vec<ReplayStep>,
}

impl Build<'_> {
    /// Puts of earlier sessions, and the logouts of their users and of users that must be absent.
    fn earlier_sessions(&mut self) {
        let evidence = self.evidence;
        // The client with the wrong reply comes first.
        self.name(evidence.requester.client);
        let absent: BTreeSet<u32> = evidence.history.absent().collect();
        // A user that must be absent leaves by `q`: after a close it is not known when the session ends.
        let mut leavers: BTreeMap<u32, SessionEnd> =
            absent.iter().map(|user| (*user, SessionEnd::Quit)).collect();
        for &origin in
            evidence.wanted.iter().filter(|origin| evidence.history.age(**origin) == SessionAge::Earlier)
        {
            let step = self.put(origin, evidence.puts.get(&origin));
            self.steps.push(step);
            let ending = self.context.plan.session_end(origin.user, origin.incarnation);
            leavers.entry(origin.user).or_insert(ending);
        }
        for (user, ending) in leavers {
            self.leave(user, ending);
            if !absent.contains(&user) {
                self.return_anew(user);
            }
        }
    }

    /// A client ends its session.
    fn leave(&mut self, client: u32, ending: SessionEnd) {
        let action = match ending {
            SessionEnd::Quit => return self.quit(client),
            SessionEnd::Close => ReplayAction::Close,
            SessionEnd::Reset => ReplayAction::Reset,
        };
        let note = "the session ends; its name may stay taken for a while";
        let step = self.step(client, Vec::new(), ReplayExpect::Unchecked, None, note);
        self.steps.push(ReplayStep { action, ..step });
    }

    fn quit(&mut self, client: u32) {
        let exiting = reply(texts::EXITING);
        let quit = self.step(client, vec!["q".to_owned()], exiting, None, "");
        let close = self.step(client, Vec::new(), ReplayExpect::Closed, None, "the session has ended");
        self.steps.extend([quit, ReplayStep { action: ReplayAction::Nothing, ..close }]);
    }

    /// A client begins its next session.
    fn return_anew(&mut self, client: u32) {
        self.log_in_anew(client);
        if self.role(client) == Role::Manager {
            let upgrade = self.step(client, vec!["upgrade".to_owned()], reply(texts::UPGRADED), None, "");
            self.steps.push(upgrade);
        }
    }

    fn log_in_anew(&mut self, client: u32) {
        self.connect(client);
        let success = reply(texts::SUCCESS);
        let login = self.step(client, Vec::new(), success, None, "a new session");
        self.steps.push(ReplayStep { action: ReplayAction::Login, ..login });
    }

    fn connect(&mut self, client: u32) {
        let connect = self.step(client, Vec::new(), ReplayExpect::Unchecked, None, "");
        self.steps.push(ReplayStep { action: ReplayAction::Connect, ..connect });
    }

    /// The puts that led here, in the order of each register, and the read that proved the last one.
    fn puts(&mut self) {
        let evidence = self.evidence;
        let own = self.own_put();
        let mut steps: Vec<(Nanos, ReplayStep)> = Vec::new();
        let mut before: Option<(PutId, Nanos)> = None;
        let now =
            |origin: &&PutId| evidence.history.age(**origin) == SessionAge::Current && Some(**origin) != own;
        for &origin in evidence.wanted.iter().filter(now) {
            let logged = evidence.puts.get(&origin);
            // A put that is in no log is older than all that are, but not older than an earlier one of its own
            // register.
            let unknown = match before {
                Some((last, at)) if (last.user, last.key) == (origin.user, origin.key) => at,
                _ => 0,
            };
            let at = logged.map_or(unknown, |logged| logged.sent);
            before = Some((origin, at));
            steps.push((at, self.put(origin, logged)));
            if let Some(read) = self.proof(origin, logged) {
                steps.push((read.sent, self.read(&read, origin)));
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        self.steps.extend(steps.into_iter().map(|(_, step)| step));
    }

    /// A write into another's store whose value was seen, and a role that was put as a value; both must change nothing.
    fn what_must_change_nothing(&mut self) {
        let evidence = self.evidence;
        let (Asked::Request { expect: asked, .. } | Asked::Nothing(Some(LastAnswered { expect: asked, .. }))) =
            evidence.asked
        else {
            return;
        };
        let owner = match asked {
            Expectation::Get { key } => Some((evidence.requester.client, key)),
            Expectation::GetOther { target: Some(target), key: Some(key), .. } => Some((target, key)),
            _ => None,
        };
        if let (Some(writer), Some((target, key))) = (evidence.forbidden, owner) {
            self.name(target);
            let text = self.request(writer, Expectation::PutOther { target, key });
            let refused = reply(texts::WRONG_FORMAT);
            let step = self.step(writer, vec![text], refused, None, "its value must never be read");
            self.steps.push(step);
        }
        let reads = evidence.saw_role
            || matches!(asked, Expectation::GetOther { .. } | Expectation::GetMissing { .. });
        if let Some(role) = evidence.role_put.filter(|_| reads) {
            let text = self.request(evidence.requester.client, Expectation::PutRole { role });
            let done = reply(texts::DONE);
            let step = self.step(evidence.requester.client, vec![text], done, None, "a value like any other");
            self.steps.push(step);
        }
    }

    fn put(&mut self, origin: PutId, logged: Option<&LoggedRequest>) -> ReplayStep {
        let refused = logged.is_some_and(|logged| logged.reply() == texts::STORE_FULL.as_bytes());
        let expected = if refused { texts::STORE_FULL } else { texts::DONE };
        let note = match logged {
            None => {
                "not among the last requests that are kept: put before the load, long ago, or never answered"
            }
            Some(_) if refused => "refused: the case needs a server that refuses it too",
            Some(_) => "",
        };
        let text = self.request(origin.user, origin.put());
        self.step(origin.user, vec![text], reply(expected), logged, note)
    }

    /// The read that had proved a put of the register, if the put was not answered yet.
    fn proof(&self, origin: PutId, put: Option<&LoggedRequest>) -> Option<LoggedRequest> {
        let Asked::Request { expect: expect @ Expectation::GetOther { .. }, sent: Some(sent), .. } =
            self.evidence.asked
        else {
            return None;
        };
        let due = self.evidence.dues.first() == Some(&ExpectedReply::Value(origin));
        let unanswered = put.is_some_and(|put| put.replied > sent);
        let read = self.evidence.reads.get(&origin).filter(|read| read.replied <= sent)?;
        let same =
            read.client == self.evidence.requester.client && read.expect == expect && read.sent == sent;
        (due && unanswered && !same).then_some(*read)
    }

    fn read(&mut self, read: &LoggedRequest, origin: PutId) -> ReplayStep {
        let text = self.request(read.client, read.expect);
        let value = self.value(origin);
        let note = "proves the put, which had no answer yet";
        self.step(read.client, vec![text], ReplayExpect::Replies(vec![value]), Some(read), note)
    }

    /// The request with the wrong reply.
    fn offence(&mut self) {
        let evidence = self.evidence;
        let client = evidence.requester.client;
        let mut offender = self.name(client);
        let dues: Vec<ReplayExpect> = evidence.dues.iter().map(|due| self.due(*due)).collect();
        let (action, expect, sent) = match &evidence.asked {
            Asked::Handshake => (ReplayAction::Connect, ReplayExpect::Unchecked, None),
            Asked::BadLogin(text) => {
                let refused = reply(texts::WRONG_FORMAT);
                (ReplayAction::Send(vec![(*text).to_owned()]), refused, None)
            }
            Asked::SecondLogin(transport) => {
                offender = self.another("second", *transport);
                let refused = reply(texts::DUPLICATE_USER_NAME);
                (ReplayAction::Send(vec![format!("{{{}}}", self.name(client))]), refused, None)
            }
            asked @ (Asked::Login | Asked::NextLogin(_)) => {
                if let Asked::NextLogin(ending) = asked {
                    self.leave(client, *ending);
                    self.connect(client);
                }
                (ReplayAction::Login, reply(texts::SUCCESS), None)
            }
            Asked::First(ending, expect) => {
                self.leave(client, *ending);
                self.log_in_anew(client);
                let text = self.request(client, *expect);
                let denied = reply(texts::DENIED);
                (ReplayAction::Send(vec![text]), denied, None)
            }
            Asked::OtherCase(transport) => {
                // Any two names that differ in case are enough.
                let [lower, upper] = ["x", "X"].map(|end| vec![format!("{{{offender}}}:{end}")]);
                let second = self.another("second", *transport);
                let step = self.step(client, lower, reply(texts::SUCCESS), None, "a name like it");
                self.steps.push(ReplayStep { client: second, ..step });
                offender = self.another("third", *transport);
                (ReplayAction::Send(upper), reply(texts::SUCCESS), None)
            }
            Asked::AfterQuit(behind) => {
                let exiting = reply(texts::EXITING);
                let messages = std::iter::once("q").chain(*behind).map(str::to_owned).collect();
                let quit = self.step(client, messages, exiting, None, "answered as it should");
                self.steps.push(quit);
                (ReplayAction::Nothing, ReplayExpect::Closed, None)
            }
            Asked::Quit => (ReplayAction::Send(vec!["q".to_owned()]), reply(texts::EXITING), None),
            Asked::Close => {
                let exiting = reply(texts::EXITING);
                let quit = self.step(client, vec!["q".to_owned()], exiting, None, "answered as it should");
                self.steps.push(quit);
                (ReplayAction::Nothing, ReplayExpect::Closed, None)
            }
            Asked::Request { expect, sent, later } => {
                let batch = std::iter::once(expect).chain(later);
                let texts = batch.map(|expect| self.request(client, *expect)).collect();
                (ReplayAction::Send(texts), in_order(dues), *sent)
            }
            Asked::Nothing(last) => {
                if let Some(LastAnswered { expect, sent, .. }) = last {
                    let text = self.request(client, *expect);
                    let step = self.step(client, vec![text], in_order(dues), None, "answered as it should");
                    self.steps.push(ReplayStep { sent_s: self.seconds(*sent), ..step });
                }
                (ReplayAction::Nothing, ReplayExpect::SilenceMs(SILENCE_MS), None)
            }
        };
        let step = ReplayStep {
            client: offender,
            action,
            expect,
            seen: String::new(),
            sent_s: sent.and_then(|sent| self.seconds(sent)),
            replied_s: self.seconds(evidence.replied),
            note: String::new(),
            wrong: true,
        };
        self.steps.push(step);
    }

    /// If the wrong reply was the refusal of a put: the read that had returned its value.
    fn aftermath(&mut self) {
        let Some(own) = self.own_put() else { return };
        let Some(read) = self.evidence.reads.get(&own) else { return };
        let text = self.request(read.client, read.expect);
        let expect = ReplayExpect::Replies(vec![self.value(own)]);
        let note = "had returned the value of the put that was then refused";
        let step = self.step(read.client, vec![text], expect, Some(read), note);
        self.steps.push(step);
    }

    /// The put with the wrong reply, if the request was one.
    fn own_put(&self) -> Option<PutId> {
        match &self.evidence.asked {
            Asked::Request { expect, .. } => PutId::put_by(self.evidence.requester.client, *expect),
            _ => None,
        }
    }

    fn finish(self) -> Replay {
        let clients = self.clients.into_iter().map(|(_, client)| client).collect();
        Replay { clients, steps: self.steps }
    }

    fn step(
        &mut self,
        client: u32,
        messages: Vec<String>,
        expect: ReplayExpect,
        logged: Option<&LoggedRequest>,
        note: &str,
    ) -> ReplayStep {
        let seen = logged.map_or(String::new(), |logged| self.seen(logged));
        ReplayStep {
            client: self.name(client),
            action: ReplayAction::Send(messages),
            expect,
            seen,
            sent_s: logged.and_then(|logged| self.seconds(logged.sent)),
            replied_s: logged.and_then(|logged| self.seconds(logged.replied)),
            note: note.to_owned(),
            wrong: false,
        }
    }

    /// A logged reply, of which only the beginning was kept.
    fn seen(&self, logged: &LoggedRequest) -> String {
        if let Some(origin) = PutId::of(&self.context.reference, logged.reply()) {
            return self.value(origin);
        }
        let cut = if logged.length as usize > TAG_BYTES { "…" } else { "" };
        format!("{}{cut}", String::from_utf8_lossy(logged.reply()))
    }

    /// A request as a case writes it. The clients that it names are added to the replay.
    fn request(&mut self, client: u32, expect: Expectation) -> String {
        if let Expectation::GetOther { target: Some(target), .. } | Expectation::PutOther { target, .. } =
            expect
        {
            self.name(target);
        }
        let name = |user: u32| {
            let known = self.clients.iter().find(|(index, _)| *index == Some(user));
            known.map_or_else(String::new, |(_, client)| format!("{{{}}}", client.name))
        };
        request(&self.context.reference, client, expect, name, |origin| self.value(origin))
    }

    fn due(&self, due: ExpectedReply) -> ReplayExpect {
        match due {
            ExpectedReply::Text(text) => reply(text),
            ExpectedReply::Value(origin) => ReplayExpect::Replies(vec![self.value(self.last_put(origin))]),
            ExpectedReply::Upgrade => {
                ReplayExpect::Any(vec![texts::UPGRADED.to_owned(), texts::UPGRADE_REFUSED.to_owned()])
            }
        }
    }

    /// What a read finds that was due to find `origin`. In the run a later put may have been open; in the replay it is
    /// done by then, if it is shown.
    fn last_put(&self, origin: PutId) -> PutId {
        let evidence = self.evidence;
        let is_later = |put: &&PutId| {
            (put.user, put.key) == (origin.user, origin.key)
                && put.version > origin.version
                && evidence.history.age(**put) == SessionAge::Current
                && evidence.puts.get(put).is_none_or(|logged| logged.reply() == texts::DONE.as_bytes())
        };
        evidence.wanted.iter().rfind(is_later).copied().unwrap_or(origin)
    }

    /// A value as a case writes it.
    fn value(&self, origin: PutId) -> String {
        let mut value = origin.value(&self.context.reference);
        if value.len() > VALUE_SHOWN_MAX {
            let rest = value.len() - TAG_BYTES;
            value.truncate(TAG_BYTES);
            let _ = write!(value, "{{fill:{rest}}}");
        }
        value
    }

    /// The name of a client in the replay, to which it is added.
    fn name(&mut self, client: u32) -> String {
        if let Some((_, known)) = self.clients.iter().find(|(index, _)| *index == Some(client)) {
            return known.name.clone();
        }
        let is_offender = client == self.evidence.requester.client;
        let wanted = if is_offender {
            "client"
        } else if self.is_owner(client) {
            "owner"
        } else {
            "other"
        };
        let taken = |name: &str| self.clients.iter().any(|(_, known)| known.name == name);
        let numbered = (2..).map(|number| format!("{wanted}-{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        let plan = self.context.plan.clients[client as usize];
        let entry = ReplayClient {
            name: name.clone(),
            user: self.context.reference.client(client).name.clone(),
            role: self.role(client),
            transport: self.context.endpoints[usize::from(plan.transport)].transport(),
            connected: !(is_offender && matches!(self.evidence.asked, Asked::Handshake)),
            logged_in: !(is_offender
                && matches!(self.evidence.asked, Asked::Handshake | Asked::BadLogin(_) | Asked::Login)),
        };
        self.clients.push((Some(client), entry));
        name
    }

    /// Another connection of the client with the wrong reply, not logged in.
    fn another(&mut self, name: &str, transport: usize) -> String {
        let entry = ReplayClient {
            name: name.to_owned(),
            user: self.context.reference.client(self.evidence.requester.client).name.clone(),
            role: Role::Guest,
            transport: self.context.endpoints[transport].transport(),
            connected: true,
            logged_in: false,
        };
        self.clients.push((None, entry));
        name.to_owned()
    }

    fn role(&self, client: u32) -> Role {
        // A client in a new session was judged as a guest, whatever it was before.
        if client == self.evidence.requester.client && !matches!(self.evidence.asked, Asked::First(..)) {
            return self.evidence.requester.role;
        }
        let group = self.context.plan.clients[client as usize].group;
        self.context.scenario.groups[usize::from(group)].role
    }

    /// Whether the wrong reply concerned this client's key.
    fn is_owner(&self, client: u32) -> bool {
        let asked = match &self.evidence.asked {
            Asked::Request { expect, .. } | Asked::Nothing(Some(LastAnswered { expect, .. })) => {
                Some(*expect)
            }
            _ => None,
        };
        matches!(asked, Some(Expectation::GetOther { target, .. }) if target == Some(client))
    }

    /// Seconds since the measured part began, if the instant is in the violation's window.
    fn seconds(&self, at: Nanos) -> Option<f64> {
        self.evidence.timing?.seconds(at)
    }
}

/// One reply, with this text.
fn reply(text: &str) -> ReplayExpect {
    ReplayExpect::Replies(vec![text.to_owned()])
}

/// The replies to several requests, each a single text. A request alone may have alternatives.
fn in_order(dues: Vec<ReplayExpect>) -> ReplayExpect {
    if let [only] = &dues[..] {
        return only.clone();
    }
    let text = |due| match due {
        ReplayExpect::Replies(texts) | ReplayExpect::Any(texts) => texts.into_iter().next(),
        _ => None,
    };
    ReplayExpect::Replies(dues.into_iter().filter_map(text).collect())
}

#[cfg(test)]
mod tests;
