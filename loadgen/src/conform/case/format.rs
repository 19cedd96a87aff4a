//! The format of scripted cases as one description: every key with its type, bounds, default and meaning.
//!
//! What no single value shows (two actions in one step, a client that does not exist) is not here but in
//! [`super::decode`].

use super::model::{Need, OperatorAction};
use crate::domain::{Rule, Transport};
use crate::scenario::grammar::{
    Key, Kind, ROLES, TRANSPORTS, Table, default, duration, optional, required, tables,
};
use crate::scenario::limits::{HOUR, MILLISECOND};

/// Steps of one list; more are written with `repeat`.
const STEPS_MAX: usize = 10_000;
/// Messages of one write, and replies that one step may wait for.
const MESSAGES_MAX: usize = 10_000;
/// Rounds of one repeat.
const ROUNDS_MAX: i64 = 1_000_000;
/// Cuts of one write.
const CUTS_MAX: usize = 10_000;

/// What a client's `transport` may be, beside a transport's name.
pub(super) const OTHER: &str = "other";
/// What `cut` may be, beside places.
pub(super) const EACH_BYTE: &str = "each-byte";
/// What `repeat` may be, beside a number.
pub(super) const KEY_LIMIT: &str = "key-limit";
/// What `refused` may be, beside a status.
pub(super) const REFUSALS: [&str; 2] = ["any", "http"];
/// How the schema calls [`STEP`].
pub(super) const STEP_NAME: &str = "step";

const CLIENT_TRANSPORTS: &[&str] = &{
    let mut names = [OTHER; Transport::NAMES.len() + 1];
    let (transports, _) = names.split_at_mut(Transport::NAMES.len());
    transports.copy_from_slice(&Transport::NAMES);
    names
};

const MESSAGE: Kind = Kind::Text;
const MESSAGES: Kind = Kind::List { of: &Kind::Text, min: 1, max: MESSAGES_MAX };
/// A static, not a constant: a step may hold steps, and only statics may go in circles.
static A_STEP: Kind = Kind::Nested(STEP_NAME, &STEP);

const fn steps(of: &'static Kind) -> Kind {
    Kind::List { of, min: 1, max: STEPS_MAX }
}

/// The whole file.
pub(super) static CASES: Table = Table {
    about: "Scripted cases: what clients send, step by step, and what must come back",
    keys: &[required("case", tables(&Kind::Table(&CASE), 1), "Cases, each independent of the others")],
};

static CASE: Table = Table {
    about: "One case",
    keys: &[
        required("id", Kind::Name, "Unique among the cases"),
        required(
            "rules",
            Kind::List { of: &Kind::Choice(&Rule::NAMES), min: 1, max: Rule::NAMES.len() },
            "Requirements of the protocol that it shows",
        ),
        default("about", Kind::OneLine, "\"\"", "One line for people"),
        default(
            "level",
            Kind::Choice(&["core", "full"]),
            "\"full\"",
            "core: any honest implementation passes it; full: who claims the whole protocol",
        ),
        optional(
            "transports",
            Kind::List { of: &Kind::Choice(TRANSPORTS), min: 1, max: TRANSPORTS.len() },
            "It runs once on each of these (default: every one that the target has)",
        ),
        optional(
            "needs",
            Kind::List { of: &Kind::Choice(&Need::NAMES), min: 1, max: Need::NAMES.len() },
            "What the target must be known to have, or the case is skipped",
        ),
        default("alone", Kind::Boolean, "false", "Whether no other case may run at the same time"),
        default(
            "sweep",
            Kind::Boolean,
            "true",
            "Whether it also runs with its bytes cut and joined in every other way",
        ),
        default(
            "should",
            Kind::Boolean,
            "false",
            "Whether it shows what a server should do, though its rules say must: it fails as a warning",
        ),
        default("kills", Kind::Boolean, "false", "Whether it may well end a weak server: it runs last"),
        required(
            "clients",
            Kind::Free { named: true, of: &Kind::Table(&CLIENT) },
            "Who takes part: { alice = {}, bob = { role = \"manager\" } }",
        ),
        required("steps", steps(&A_STEP), "What is done, in this order"),
    ],
};

static CLIENT: Table = Table {
    about: "A client: connected, logged in and a guest, unless it says otherwise",
    keys: &[
        default("connect", Kind::Boolean, "true", "Whether it is connected before the first step"),
        default("login", Kind::Boolean, "true", "Whether it is logged in before the first step"),
        default("role", Kind::Choice(ROLES), "\"guest\"", "A manager is upgraded before the first step"),
        optional(
            "transport",
            Kind::Choice(CLIENT_TRANSPORTS),
            "Not the case's transport but this one; other: one that the case does not run on",
        ),
    ],
};

/// One step; `together` and `repeat` have steps of their own.
pub(super) static STEP: Table = Table {
    about: "One step: a client, one action, and what must come back",
    keys: &[
        optional("client", Kind::Text, "Who acts; not for together and repeat"),
        CONNECT,
        optional("login", MESSAGE, "Action: send this user name, \"{alice}\" for a client's own"),
        optional(
            "send",
            Kind::Either(&[MESSAGE, MESSAGES]),
            "Action: send a message, framed for the transport; a list goes out in one write",
        ),
        optional(
            "cut",
            Kind::Either(&[
                Kind::List { of: &Kind::Integer { min: 1, max: u32::MAX as i64 }, min: 1, max: CUTS_MAX },
                Kind::Choice(&[EACH_BYTE]),
            ]),
            "Beside send: cut the framed bytes into segments before these bytes (from 0), or \"each-byte\"",
        ),
        optional("bytes", Kind::Text, "Action: send these bytes as they are, in hexadecimal digits"),
        optional("text", MESSAGE, "Action: send this text as it is, with no framing and no line feed"),
        optional("frame", Kind::Table(&FRAME), "Action: send a WebSocket frame, legal or not"),
        optional(
            "frames",
            tables(&Kind::Table(&FRAME), 1),
            "Action: send WebSocket frames, legal or not, in one write",
        ),
        optional(
            "handshake",
            Kind::Table(&HANDSHAKE),
            "Action: connect with a WebSocket handshake, legal or not; the reply is its status, like \"101\"",
        ),
        optional("half-close", Kind::Boolean, "Action: close the sending side (true)"),
        optional(
            "close",
            Kind::Integer { min: 0, max: u16::MAX as i64 },
            "Action: end in order, over WebSocket with a close frame of this code",
        ),
        optional("reset", Kind::Boolean, "Action: reset the connection (true)"),
        optional("wait", duration(MILLISECOND, HOUR), "Action: let time pass"),
        optional("together", steps(&A_STEP), "Action: these steps at once, started at one barrier"),
        optional(
            "operator",
            Kind::Choice(&OperatorAction::NAMES),
            "Action: the server's operator does this to the client",
        ),
        optional(
            "repeat",
            Kind::Either(&[Kind::Integer { min: 1, max: ROUNDS_MAX }, Kind::Choice(&[KEY_LIMIT])]),
            "Action: do `steps` this many times; key-limit: as many as a user may have keys",
        ),
        optional(
            "steps",
            steps(&A_STEP),
            "Beside repeat: what is repeated; {i} in it counts the rounds from 0",
        ),
        optional(
            "expect",
            Kind::Either(&[MESSAGE, MESSAGES, Kind::Table(&EXPECT)]),
            "What must come back: a reply, replies in order, or a table",
        ),
        optional(
            "within",
            duration(MILLISECOND, HOUR),
            "Beside expect: how long that may take (default: --timeout)",
        ),
        optional(
            "retry",
            duration(MILLISECOND, HOUR),
            "Beside login or send with a reply: do it again while another reply comes, for this long; later than 1s is a warning",
        ),
    ],
};

const CONNECT: Key =
    optional("connect", Kind::Boolean, "Action: connect, with the transport's handshake (true)");

static FRAME: Table = Table {
    about: "A WebSocket frame (RFC 6455, section 5.2)",
    keys: &[
        default(
            "opcode",
            Kind::Integer { min: 0, max: 15 },
            "1",
            "1 is text, 2 binary, 8 close, 9 ping, 10 pong",
        ),
        default("fin", Kind::Boolean, "true", "Whether it is a message's last frame"),
        default("rsv", Kind::Integer { min: 0, max: 7 }, "0", "The three reserved bits"),
        default("mask", Kind::Boolean, "true", "Whether it is masked, as a client's frames must be"),
        optional(
            "length",
            Kind::Either(&[Kind::Integer { min: 0, max: i64::MAX }, Kind::Text]),
            "The length it states: a number, or its 1, 3 or 9 bytes in hexadecimal (default: that of the payload)",
        ),
        default(
            "payload",
            Kind::Either(&[Kind::Text, Kind::Table(&PAYLOAD)]),
            "\"\"",
            "What it carries: text, or { bytes = \"03e8\" }",
        ),
    ],
};

static PAYLOAD: Table = Table {
    about: "A payload that is no text",
    keys: &[required("bytes", Kind::Text, "In hexadecimal digits")],
};

static HANDSHAKE: Table = Table {
    about: "The request of a WebSocket handshake; what is left out is as it should be",
    keys: &[
        default("method", Kind::OneLine, "\"GET\"", "The request's method"),
        default("path", Kind::OneLine, "\"/\"", "What is asked for"),
        default("http", Kind::Choice(&["1.1", "1.0"]), "\"1.1\"", "The version of HTTP"),
        optional(
            "headers",
            Kind::Free { named: false, of: &Kind::Either(&[Kind::OneLine, Kind::Boolean]) },
            "Headers that replace or join the right ones; false leaves a right one out",
        ),
    ],
};

static EXPECT: Table = Table {
    about: "What must come back, other than replies in order",
    keys: &[
        optional("any", MESSAGES, "One reply, any of these"),
        optional(
            "count",
            Kind::Free { named: false, of: &Kind::Integer { min: 0, max: ROUNDS_MAX } },
            "Beside together: each of these replies so many times",
        ),
        optional("closed", Kind::Choice(&["clean", "reset", "any"]), "The server ends the connection"),
        optional(
            "code",
            Kind::Integer { min: 1000, max: 4999 },
            "Beside closed: the close frame's code, over WebSocket",
        ),
        optional("silence", duration(MILLISECOND, HOUR), "Nothing for this long"),
        optional("pong", MESSAGE, "A pong with this payload, over WebSocket"),
        optional(
            "refused",
            Kind::OneLine,
            "Beside handshake: any (an HTTP error or a close), http (a whole HTTP reply) or a status, like 426",
        ),
        optional("header", Kind::OneLine, "Beside refused: a field that the reply has, \"Name: value\""),
    ],
};
