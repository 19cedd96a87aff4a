//! The work that is counted: one kind of request, written and judged over and over.

use std::hint::black_box;

use twinwire::oracle::{Expect, ReferenceModel, Session, ValueSpec, texts};

/// The function around all that is counted for a request.
pub const PART_WRITE: &str = "counted_write";
/// The function around all that is counted for a reply.
pub const PART_JUDGE: &str = "counted_judge";

/// Clients of the reference, and keys of each: as many registers as a load has, so nothing is specially small.
const CLIENTS: u32 = 64;
const KEYS: u32 = 100;

/// Who does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An owner's `put`.
    Put,
    /// An owner's `get` of a value.
    Get,
    /// A manager's `get` of another's value.
    GetOther,
    /// A guest's `get` of another's value.
    Denied,
}

impl Operation {
    /// In the order of the table.
    pub const ALL: [Self; 4] = [Self::Put, Self::Get, Self::GetOther, Self::Denied];

    /// As in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::GetOther => "get-other",
            Self::Denied => "denied",
        }
    }

    /// Whether request or reply carries a value.
    pub fn has_value(self) -> bool {
        self != Self::Denied
    }
}

/// Does the work; whether every reply was judged right.
pub fn run(operation: Operation, depth: usize, bytes: u32, replies: usize) -> bool {
    let spec = ValueSpec { min: bytes, max: bytes };
    let reference =
        ReferenceModel::new(7, (0..CLIENTS).map(|number| (format!("user{number}"), 0, KEYS, spec)));
    let mut sessions: Vec<Session> = (0..CLIENTS).map(|client| logged_in(&reference, client)).collect();
    let values: Vec<Vec<Vec<u8>>> = sessions.iter_mut().map(|session| preload(&reference, session)).collect();
    let mut session = sessions.swap_remove(0);
    if operation == Operation::GetOther
        && session.judge(&reference, Expect::Upgrade, texts::UPGRADED.as_bytes()).is_err()
    {
        return false;
    }
    let mut all_right = true;
    let mut message = Vec::new();
    let mut open = Vec::with_capacity(depth);
    for batch in 0..(replies / depth) as u32 {
        for number in 0..depth as u32 {
            let place = batch * depth as u32 + number;
            let (target, key) = (1 + place % (CLIENTS - 1), place * 7 % KEYS);
            message.clear();
            let expect = counted_write(operation, &reference, &mut session, target, key, &mut message);
            black_box(&message);
            let reply = match operation {
                Operation::Put => texts::DONE.as_bytes(),
                Operation::Get => &values[0][key as usize],
                Operation::GetOther => &values[target as usize][key as usize],
                Operation::Denied => texts::DENIED.as_bytes(),
            };
            open.push((expect, reply));
        }
        for (expect, reply) in open.drain(..) {
            all_right &= counted_judge(&reference, &mut session, expect, black_box(reply));
        }
    }
    all_right
}

#[inline(never)]
fn counted_write(
    operation: Operation,
    reference: &ReferenceModel,
    session: &mut Session,
    target: u32,
    key: u32,
    out: &mut Vec<u8>,
) -> Expect {
    match operation {
        Operation::Put => session.put(reference, key, out),
        Operation::Get => session.get(key, out),
        Operation::GetOther | Operation::Denied => session.get_other(reference, Some(target), Some(key), out),
    }
}

#[inline(never)]
fn counted_judge(reference: &ReferenceModel, session: &mut Session, expect: Expect, reply: &[u8]) -> bool {
    session.judge(reference, expect, reply).is_ok()
}

fn logged_in(reference: &ReferenceModel, client: u32) -> Session {
    let session = Session::new(reference, client);
    reference.set_live(client);
    session
}

/// Puts every key once; the values by key.
fn preload(reference: &ReferenceModel, session: &mut Session) -> Vec<Vec<u8>> {
    let put = |key| {
        let mut message = Vec::new();
        let expect = session.put(reference, key, &mut message);
        let judged = session.judge(reference, expect, texts::DONE.as_bytes());
        assert!(judged.is_ok(), "a put that is done is right");
        message.rsplit(|&byte| byte == b' ').next().unwrap_or_default().to_vec()
    };
    (0..KEYS).map(put).collect()
}
