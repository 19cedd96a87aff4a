//! Shows a history to the oracle, event by event, as the load engine would.

use twinwire::oracle::{ClientSpec, Expectation, Finding, ReferenceModel, SessionModel, ValueSpec, texts};

use super::history::{Event, History, KEYS, Reply, Request};

const SPEC: ValueSpec = ValueSpec { min: 16, max: 24 };
const OWNER: u32 = 0;

/// What the oracle says of the first reply that it finds wrong, with the call.
pub fn first_finding(history: &History) -> Option<(usize, Finding)> {
    let values = Values::of(history);
    let mut oracle = Replay::new(history);
    history.events.iter().find_map(|&event| {
        let reply = match event {
            Event::Return(call) => history.calls[call].returned.map(|(reply, _)| values.bytes(reply)),
            _ => None,
        };
        let finding = oracle.event(history, event, reply.as_deref())?;
        let Event::Return(call) = event else { unreachable!("only replies are judged") };
        Some((call, finding))
    })
}

/// The bytes of every value in a history. They follow from the order of its calls alone.
struct Values {
    by_call: Vec<Vec<u8>>,
    /// By key: values of the puts that would come next.
    never_put: [Vec<Vec<u8>>; KEYS],
    foreign: Vec<u8>,
}

impl Values {
    fn of(history: &History) -> Self {
        let mut replay = Replay::new(history);
        for &event in &history.events {
            replay.event(history, event, None);
        }
        let owner = history.connections() - 1;
        let last = replay.sessions[owner].take();
        let mut last = last.unwrap_or_else(|| SessionModel::new(&replay.reference, OWNER));
        let mut more = |key: usize| (0..3).map(|_| put(&replay.reference, &mut last, key).1).collect();
        let never_put = [more(0), more(1)];
        let stranger = history.managers.len() as u32 + 1;
        let foreign = put(&replay.reference, &mut SessionModel::new(&replay.reference, stranger), 0).1;
        Self { by_call: replay.values, never_put, foreign }
    }

    fn bytes(&self, reply: Reply) -> Vec<u8> {
        let text = match reply {
            Reply::Success => texts::SUCCESS,
            Reply::Duplicate => texts::DUPLICATE_USER_NAME,
            Reply::Done => texts::DONE,
            Reply::Full => texts::STORE_FULL,
            Reply::NoKey => texts::KEY_NOT_FOUND,
            Reply::NoUser => texts::USER_NOT_FOUND,
            Reply::Denied => texts::DENIED,
            Reply::Exiting => texts::EXITING,
            Reply::Value(put) => return self.by_call[put].clone(),
            Reply::NeverPut(key, ahead) => return self.never_put[key][ahead].clone(),
            Reply::Foreign => return self.foreign.clone(),
            Reply::Damaged(put) => {
                let mut bytes = self.by_call[put].clone();
                let at = put % bytes.len();
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
                return bytes;
            }
        };
        text.as_bytes().to_vec()
    }
}

struct Replay {
    reference: ReferenceModel,
    /// By connection.
    sessions: Vec<Option<SessionModel>>,
    /// By call.
    expects: Vec<Option<Expectation>>,
    values: Vec<Vec<u8>>,
}

impl Replay {
    fn new(history: &History) -> Self {
        let clients = history.managers.len() + 2;
        let reference = ReferenceModel::new(
            9,
            (0..clients).map(|n| ClientSpec {
                name: format!("user{n}"),
                group: 0,
                keys: KEYS as u32,
                values: SPEC,
            }),
        );
        let mut sessions: Vec<Option<SessionModel>> = (0..history.connections()).map(|_| None).collect();
        for (reader, &is_manager) in history.managers.iter().enumerate() {
            let mut session = SessionModel::new(&reference, reader as u32 + 1);
            reference.set_live(reader as u32 + 1);
            if is_manager {
                upgrade(&reference, &mut session);
            }
            sessions[reader] = Some(session);
        }
        let calls = history.calls.len();
        Self { reference, sessions, expects: vec![None; calls], values: vec![Vec::new(); calls] }
    }

    fn event(&mut self, history: &History, event: Event, reply: Option<&[u8]>) -> Option<Finding> {
        match event {
            Event::Call(call) => self.call(history, call),
            Event::Lost(_) => self.reference.set_ending(OWNER),
            Event::Closed(_) => self.reference.set_ended(OWNER),
            Event::Return(call) => return self.judge(history, call, reply),
        }
        None
    }

    fn call(&mut self, history: &History, call: usize) {
        let connection = history.calls[call].connection;
        let session = &mut self.sessions[connection];
        let reference = &self.reference;
        let mut out = Vec::new();
        let expect = match history.calls[call].request {
            Request::Login => {
                *session = Some(SessionModel::new(reference, OWNER));
                return;
            }
            Request::Quit => {
                reference.set_ending(OWNER);
                return;
            }
            Request::Put(key) => {
                let (expect, value) = put(reference, live(session), key);
                self.values[call] = value;
                expect
            }
            Request::Get(key) => live(session).get(key as u32, &mut out),
            Request::GetSelf(key) | Request::Read(key) => {
                live(session).get_other(reference, Some(OWNER), Some(key as u32), &mut out)
            }
        };
        self.expects[call] = Some(expect);
    }

    /// Without a reply (none is needed to make values) only logins count.
    fn judge(&mut self, history: &History, call: usize, reply: Option<&[u8]>) -> Option<Finding> {
        let session = live(&mut self.sessions[history.calls[call].connection]);
        match self.expects[call] {
            Some(expect) => session.judge(&self.reference, expect, reply?).err(),
            None => match history.calls[call].returned {
                Some((Reply::Success, _)) => {
                    self.reference.set_live(OWNER);
                    upgrade(&self.reference, session);
                    None
                }
                _ => self.reference.set_refused(OWNER).err(),
            },
        }
    }
}

fn live(session: &mut Option<SessionModel>) -> &mut SessionModel {
    session.as_mut().expect("a connection's first call opens its session")
}

fn upgrade(reference: &ReferenceModel, session: &mut SessionModel) {
    let upgraded = session.judge(reference, Expectation::Upgrade, texts::UPGRADED.as_bytes());
    assert!(upgraded.is_ok(), "a guest is made a manager");
}

/// Writes a put; what it may be answered, and its value.
fn put(reference: &ReferenceModel, session: &mut SessionModel, key: usize) -> (Expectation, Vec<u8>) {
    let mut out = Vec::new();
    let expect = session.put(reference, key as u32, &mut out);
    (expect, out.rsplit(|&byte| byte == b' ').next().unwrap_or_default().to_vec())
}
