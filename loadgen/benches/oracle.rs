//! What the oracle costs: instructions for each request that it writes and each reply that it judges.
//!
//! `cargo bench -p twinwire --bench oracle` counts each case below once, under valgrind's callgrind. `write` makes the
//! request's text, value included, and takes the bounds of its reply; `judge` is all that happens once the reply is
//! there. Without valgrind it says so, and that is no failure. Without `--bench` (as `cargo test` calls it) each case is
//! run once, uncounted. A right reply that is judged wrong is an error either way.

use std::process::ExitCode;

use anyhow::ensure;
use twinwire::oracle::{ClientSpec, Expectation, ReferenceModel, SessionModel, ValueSpec, texts};
use twinwire_bench_support::instructions::{Case, counted, main as run};

/// Replies of one count: enough that a reply's share of the fixed cost is far below one instruction.
const REPLIES: usize = 4_096;

/// Outstanding requests: one at a time, and as deep as a pipelined load.
const DEPTHS: [usize; 2] = [1, 32];

/// Bytes of a value: the smallest, which is all tag, and larger ones.
const VALUE_BYTES: [u32; 3] = [16, 64, 1_024];

/// Clients of the reference, and keys of each: as many registers as a load has, so nothing is specially small.
const CLIENTS: u32 = 64;
const KEYS: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Put,
    Get,
    /// A manager's `get` of another's value.
    GetOther,
    /// A guest's `get` of another's value.
    Denied,
}

/// What is counted of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Write,
    Judge,
}

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for operation in [Operation::Put, Operation::Get, Operation::GetOther, Operation::Denied] {
        let sizes = if operation == Operation::Denied { &VALUE_BYTES[..1] } else { &VALUE_BYTES };
        for (depth, bytes) in
            DEPTHS.into_iter().flat_map(|depth| sizes.iter().map(move |bytes| (depth, *bytes)))
        {
            for part in [Part::Write, Part::Judge] {
                cases.push(Case {
                    name: format!("{part:?} {operation:?}, {bytes} bytes, {depth} outstanding"),
                    requests: REPLIES,
                    run: Box::new(move || work(operation, depth, bytes, part)),
                });
            }
        }
    }
    run("oracle", "oracle: its instructions for each reply, counted by callgrind", &cases)
}

/// Does all of the work. Fails if a reply was judged wrong.
fn work(operation: Operation, depth: usize, value_bytes: u32, part: Part) -> anyhow::Result<()> {
    let values = ValueSpec { min: value_bytes, max: value_bytes };
    let client = |number| ClientSpec { name: format!("user{number}"), group: 0, keys: KEYS, values };
    let reference = ReferenceModel::new(7, (0..CLIENTS).map(client));
    let mut sessions: Vec<SessionModel> = (0..CLIENTS).map(|client| logged_in(&reference, client)).collect();
    let values: Vec<Vec<Vec<u8>>> = sessions.iter_mut().map(|session| preload(&reference, session)).collect();
    let mut session = sessions.swap_remove(0);
    let mut all_right = operation != Operation::GetOther
        || session.judge(&reference, Expectation::Upgrade, texts::UPGRADED.as_bytes()).is_ok();
    let mut message = Vec::new();
    let mut open = Vec::with_capacity(depth);
    for batch in 0..(REPLIES / depth) as u32 {
        for number in 0..depth as u32 {
            let place = batch * depth as u32 + number;
            let (target, key) = (1 + place % (CLIENTS - 1), place * 7 % KEYS);
            message.clear();
            let expect = counted_if(part == Part::Write, || match operation {
                Operation::Put => session.put(&reference, key, &mut message),
                Operation::Get => session.get(key, &mut message),
                Operation::GetOther | Operation::Denied => {
                    session.get_other(&reference, Some(target), Some(key), &mut message)
                }
            });
            let reply = match operation {
                Operation::Put => texts::DONE.as_bytes(),
                Operation::Get => &values[0][key as usize],
                Operation::GetOther => &values[target as usize][key as usize],
                Operation::Denied => texts::DENIED.as_bytes(),
            };
            open.push((expect, reply));
        }
        for (expect, reply) in open.drain(..) {
            all_right &= counted_if(part == Part::Judge, || session.judge(&reference, expect, reply).is_ok());
        }
    }
    ensure!(all_right, "a right reply was judged wrong");
    Ok(())
}

fn counted_if<T>(is_counted: bool, work: impl FnOnce() -> T) -> T {
    if is_counted { counted(work) } else { work() }
}

fn logged_in(reference: &ReferenceModel, client: u32) -> SessionModel {
    let session = SessionModel::new(reference, client);
    reference.set_live(client);
    session
}

/// Puts every key once; the values by key.
fn preload(reference: &ReferenceModel, session: &mut SessionModel) -> Vec<Vec<u8>> {
    let put = |key| {
        let mut message = Vec::new();
        let expect = session.put(reference, key, &mut message);
        let judged = session.judge(reference, expect, texts::DONE.as_bytes());
        assert!(judged.is_ok(), "a put that is done is right");
        message.rsplit(|&byte| byte == b' ').next().unwrap_or_default().to_vec()
    };
    (0..KEYS).map(put).collect()
}
