//! Steps: who acts, exactly one action with its own impossibilities, at most one expectation.

use super::super::format::{EACH_BYTE, KEY_LIMIT};
use super::super::model::{
    Action, Client, Cut, Frame, FrameLength, Handshake, OperatorAction, Payload, Step, Text, Times,
};
use super::super::text::NAME_BYTES_MAX;
use super::{Scope, expect};
use crate::domain::{Framing, Transport};
use crate::scenario::diagnostics::{Place, Problems};
use crate::scenario::reader::{Reader, integer};
use crate::scenario::shape::nearest;
use crate::scenario::tree::{Node, Value};
use crate::text::{backquoted, thousands};

/// The keys that are actions.
const ACTIONS: [&str; 15] = [
    "connect",
    "login",
    "send",
    "bytes",
    "text",
    "frame",
    "frames",
    "handshake",
    "half-close",
    "close",
    "reset",
    "wait",
    "operator",
    "together",
    "repeat",
];

/// Decodes a list of steps.
pub(super) fn steps(node: &Node, scope: Scope<'_>, problems: &mut Problems) -> Option<Vec<Step>> {
    let steps: Vec<_> = node
        .elements()
        .iter()
        .map(|element| Reader::new(element).intact().and_then(|reader| step(reader, scope, problems)))
        .collect();
    steps.into_iter().collect()
}

fn step(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Step> {
    let action = single_action(reader, problems);
    let client = client(reader, action, scope, problems);
    companions(reader, action, problems);
    let actor = client.ok().flatten();
    let decoded = action
        .filter(|name| !reader.is_bad(name))
        .and_then(|name| decode_action(name, reader, actor, scope, problems));
    let expects = reader.given("expect").is_some();
    let expect = if expects { expect::expectation(reader, action, scope, problems) } else { None };
    if client.is_err() || expects && expect.is_none() {
        return None;
    }
    if reader.is_bad("within") || reader.is_bad("retry") {
        return None;
    }
    let duration = |key: &str| reader.given(key).and_then(|_| reader.duration(key));
    let (within, retry) = (duration("within"), duration("retry"));
    Some(Step { client: actor, action: decoded?, expect, within, retry })
}

/// The one key that is an action.
fn single_action(reader: Reader<'_>, problems: &mut Problems) -> Option<&'static str> {
    let given: Vec<_> = ACTIONS.into_iter().filter_map(|name| Some((name, reader.given(name)?))).collect();
    match given[..] {
        [(name, _)] => Some(name),
        [] if reader.has_bad() => None,
        [] => {
            problems
                .add("a step without an action", reader.place())
                .label("one action expected")
                .help(format!("actions are {}", backquoted(&ACTIONS)));
            None
        }
        _ => {
            let mut given = given;
            given.sort_by_key(|(_, at)| at.start);
            let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
            problems
                .add(format!("a step with {} actions", given.len()), given[1].1)
                .label(format!("this step has {}: one only", backquoted(&names)))
                .help("write a step for each; `together` starts several at once");
            None
        }
    }
}

/// The client that acts; `None` where none has to, an error where it was reported.
fn client(
    reader: Reader<'_>,
    action: Option<&str>,
    scope: Scope<'_>,
    problems: &mut Problems,
) -> Result<Option<usize>, ()> {
    let composed = matches!(action, Some("together" | "repeat"));
    let Some(at) = reader.given("client") else {
        let needed = action.is_some_and(|action| action != "wait" && !composed);
        let waits = action == Some("wait") && reader.given("expect").is_some();
        if needed || waits {
            problems
                .add("a step without a client", reader.place())
                .label("who does this?")
                .help("write client = \"NAME\", with a name from the case's `clients`");
            return Err(());
        }
        return Ok(None);
    };
    if composed {
        problems
            .add(format!("`client` beside `{}`", action.unwrap_or_default()), at)
            .label("the steps inside name their own");
        return Err(());
    }
    let name = reader.text("client").ok_or(())?;
    let index = scope.names.iter().position(|known| known == name);
    if index.is_none() {
        let known: Vec<&str> = scope.names.iter().map(String::as_str).collect();
        let label = match nearest(name, &known) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("there is {}", backquoted(&known)),
        };
        problems.add(format!("the case has no client `{name}`"), reader.at("client")).label(label);
    }
    index.map(Some).ok_or(())
}

/// Keys that only make sense beside one action.
fn companions(reader: Reader<'_>, action: Option<&str>, problems: &mut Problems) {
    let mut alone = |key: &str, of: &str| {
        if let Some(at) = reader.given(key) {
            problems.add(format!("`{key}` without `{of}`"), at).label(format!("belongs beside `{of}`"));
        }
    };
    for (key, of) in [("cut", "send"), ("steps", "repeat")] {
        if action.is_some_and(|action| action != of) {
            alone(key, of);
        }
    }
    if reader.given("expect").is_none() {
        alone("within", "expect");
    }
    let single_reply = reader.node("expect").is_some_and(|node| node.text().is_some());
    if !(single_reply && matches!(action, Some("send" | "login"))) {
        alone("retry", "a `send` or `login` that expects one reply");
    }
}

/// How many steps these come to, every round counted.
pub(super) fn count(steps: &[Step]) -> u64 {
    let one = |step: &Step| match &step.action {
        Action::Together(inner) => count(inner),
        Action::Repeat { times: Times::Number(times), steps } => {
            u64::from(*times).saturating_mul(count(steps))
        }
        // What the limit is, is not known here.
        Action::Repeat { times: Times::KeyLimit, steps } => count(steps),
        _ => 1,
    };
    steps.iter().map(one).fold(0, u64::saturating_add)
}

/// Reports clients that act but are connected neither before the first step nor by any.
pub(super) fn never_connected(
    clients: &[Client],
    steps: &[Step],
    reader: Reader<'_>,
    problems: &mut Problems,
) {
    let mut acts = vec![false; clients.len()];
    let mut connects = vec![false; clients.len()];
    walk(steps, &mut |step| {
        let Some(client) = step.client else { return };
        match step.action {
            Action::Connect | Action::Handshake(_) => connects[client] = true,
            Action::Wait(_) | Action::Operator(_) => {}
            _ => acts[client] = true,
        }
    });
    for (index, client) in clients.iter().enumerate() {
        if acts[index] && !connects[index] && !client.connect {
            let at = reader.table("clients").map_or(reader.place(), |clients| clients.at(&client.name));
            problems
                .add(format!("`{}` acts but is never connected", client.name), at)
                .label("`connect` is false")
                .help("let a step do connect = true, or a handshake, before the others");
        }
    }
}

fn walk(steps: &[Step], visit: &mut impl FnMut(&Step)) {
    for step in steps {
        visit(step);
        if let Action::Together(inner) | Action::Repeat { steps: inner, .. } = &step.action {
            walk(inner, visit);
        }
    }
}

/// Decodes the action of this key.
fn decode_action(
    key: &str,
    reader: Reader<'_>,
    client: Option<usize>,
    scope: Scope<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    match key {
        "connect" => flag(key, reader, problems).map(|()| Action::Connect),
        "half-close" => flag(key, reader, problems).map(|()| Action::HalfClose),
        "reset" => flag(key, reader, problems).map(|()| Action::Reset),
        "login" => login(reader, scope, problems),
        "send" => send(reader, client, scope, problems),
        "bytes" => hex(reader.node("bytes")?, problems).map(Action::Bytes),
        "text" => scope.text(reader.node("text")?, problems).map(Action::RawText),
        "frame" => {
            over_websocket("frame", reader, client, scope, problems);
            frame(reader.table("frame")?, scope, problems).map(|frame| Action::Frames(vec![frame]))
        }
        "frames" => {
            over_websocket("frames", reader, client, scope, problems);
            let frames: Vec<_> = reader
                .items("frames")
                .map(|item| item.intact().and_then(|item| frame(item, scope, problems)))
                .collect();
            frames.into_iter().collect::<Option<Vec<_>>>().map(Action::Frames)
        }
        "handshake" => {
            over_websocket("handshake", reader, client, scope, problems);
            handshake(reader.table("handshake")?, problems).map(Action::Handshake)
        }
        "close" => Some(Action::Close(reader.integer("close")?)),
        "wait" => Some(Action::Wait(reader.duration("wait")?)),
        "operator" => OperatorAction::from_name(reader.text("operator")?).map(Action::Operator),
        "together" => together(reader, scope, problems),
        "repeat" => repeat(reader, scope, problems),
        _ => None,
    }
}

/// An action that is only named: `true`.
fn flag(key: &str, reader: Reader<'_>, problems: &mut Problems) -> Option<()> {
    if reader.flag(key)? {
        return Some(());
    }
    problems
        .add(format!("`{key} = false` does nothing"), reader.at(key))
        .label("true, or leave the step out");
    None
}

fn login(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Action> {
    let node = reader.node("login")?;
    let name = scope.text(node, problems)?;
    let fault = if !name.is_word() {
        "a user name is one word"
    } else if name.bytes_min() > NAME_BYTES_MAX {
        "a user name has at most 64 bytes"
    } else {
        return Some(Action::Login(name));
    };
    problems.add("no user name", node.at).label(fault).help("to try a name that is none, `send` it");
    None
}

fn send(
    reader: Reader<'_>,
    client: Option<usize>,
    scope: Scope<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    let node = reader.node("send")?;
    let messages = scope.texts(node, problems);
    let cut = match (reader.given("cut"), reader.node("cut")) {
        (None, _) => Some(Cut::Nowhere),
        (Some(_), None) => None,
        (Some(_), Some(cut)) => messages.as_deref().and_then(|messages| {
            let transports = client.and_then(|client| scope.transports_of(client));
            self::cut(cut, messages, transports.as_deref().unwrap_or(&Transport::ALL), problems)
        }),
    };
    // Named, not merely among those of a target: where the case says nothing, it is not run there.
    let unframed = client
        .and_then(|client| scope.transports_of(client))
        .is_some_and(|transports| transports != Transport::ALL && transports.contains(&Transport::TcpRaw));
    if unframed {
        let several =
            matches!(node.value, Value::List(_)).then_some(("several messages in one write", "send"));
        let parts = reader.given("cut").map(|_| ("a cut message", "cut"));
        for (what, key) in several.into_iter().chain(parts) {
            problems
                .add(format!("{what} over \"tcp-raw\""), reader.at(key))
                .label("there each write is one message")
                .help("take \"tcp-raw\" out of the case's transports");
        }
    }
    Some(Action::Send { messages: messages?, cut: cut? })
}

fn cut(node: &Node, messages: &[Text], transports: &[Transport], problems: &mut Problems) -> Option<Cut> {
    if node.text() == Some(EACH_BYTE) {
        return Some(Cut::EachByte);
    }
    let framed = transports.iter().filter(|transport| **transport != Transport::TcpRaw);
    let bytes = framed.map(|&transport| framed_bytes(messages, transport)).min()?;
    let mut cuts: Vec<usize> = Vec::new();
    for element in node.elements() {
        let at: usize = integer::<i64>(element).and_then(|at| at.try_into().ok())?;
        if cuts.last().is_some_and(|last| at <= *last) {
            problems.add(format!("a cut at {at} after one further on"), element.at).label("cuts must rise");
            return None;
        }
        if at >= bytes {
            let what = if messages.len() == 1 { "the message has" } else { "the messages have" };
            problems
                .add(format!("a cut at {} beyond the message", thousands(at as u64)), element.at)
                .label(format!("{what} {} bytes on the wire", thousands(bytes as u64)));
            return None;
        }
        cuts.push(at);
    }
    Some(Cut::At(cuts))
}

/// Most bytes that messages may have on the wire: what a placeholder becomes is not known here.
fn framed_bytes(messages: &[Text], transport: Transport) -> usize {
    let one = |message: &Text| {
        let bytes = message.bytes_max();
        match transport.framing() {
            Framing::Lines | Framing::Chunks => bytes + 1,
            // Two bytes of head, the length if it is longer, and the mask.
            Framing::WebSocket => match bytes {
                0..=125 => bytes + 6,
                126..=65_535 => bytes + 8,
                _ => bytes + 14,
            },
        }
    };
    messages.iter().map(one).sum()
}

/// Reports what only WebSocket has where the client may talk over something else.
fn over_websocket(
    key: &str,
    reader: Reader<'_>,
    client: Option<usize>,
    scope: Scope<'_>,
    problems: &mut Problems,
) {
    let Some(transports) = client.and_then(|client| scope.transports_of(client)) else { return };
    let other = transports.into_iter().find(|transport| transport.framing() != Framing::WebSocket);
    if let (Some(other), Some(at)) = (other, reader.given(key)) {
        problems
            .add(format!("a {key} over \"{other}\""), at)
            .label("only WebSocket has it")
            .help("write transports = [\"websocket\"] for the case");
    }
}

/// Bytes in hexadecimal digits; white space between them is for people.
fn hex(node: &Node, problems: &mut Problems) -> Option<Vec<u8>> {
    let text = node.text()?;
    let mut digits = Vec::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_ascii_whitespace()) {
        let Some(digit) = c.to_digit(16) else {
            problems
                .add(format!("`{c}` is no hexadecimal digit"), node.at)
                .label("digits 0 to 9 and a to f expected")
                .help("two digits make a byte: \"ff00\" is two bytes");
            return None;
        };
        digits.push(digit as u8);
    }
    if digits.is_empty() || digits.len() % 2 == 1 {
        let message = format!("{} hexadecimal digits", digits.len());
        problems.add(message, node.at).label("two for each byte, and one byte at least");
        return None;
    }
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn frame(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Frame> {
    let payload = reader.node("payload").and_then(|node| match node.value {
        Value::Text(_) => scope.text(node, problems).map(Payload::Text),
        _ => hex(reader.table("payload")?.node("bytes")?, problems).map(Payload::Bytes),
    });
    let length = match reader.node("length") {
        None if reader.is_bad("length") => None,
        None => Some(FrameLength::Payload),
        Some(node) => match integer(node) {
            Some(stated) => Some(FrameLength::Stated(stated)),
            None => hex(node, problems).and_then(|bytes| length(bytes, node.at, problems)),
        },
    };
    Some(Frame {
        opcode: reader.integer("opcode")?,
        fin: reader.flag("fin")?,
        rsv: reader.integer("rsv")?,
        mask: reader.flag("mask")?,
        length: length?,
        payload: payload?,
    })
}

/// A frame's length as bytes: seven bits, and two or eight bytes more where those say so.
fn length(bytes: Vec<u8>, at: Place, problems: &mut Problems) -> Option<FrameLength> {
    if let ([0..=0x7D], 1) | ([0x7E, ..], 3) | ([0x7F, ..], 9) = (&bytes[..], bytes.len()) {
        return Some(FrameLength::Bytes(bytes));
    }
    problems
        .add("no length of a frame", at)
        .label("one byte up to 7d, or 7e and two bytes, or 7f and eight")
        .help("the mask bit comes on top, from `mask`");
    None
}

fn handshake(reader: Reader<'_>, problems: &mut Problems) -> Option<Handshake> {
    let mut headers = Vec::new();
    let mut right = !reader.is_bad("headers");
    for entry in reader.node("headers").map_or(&[][..], Node::entries) {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if entry.key.is_empty() || !entry.key.chars().all(token) {
            problems.add("no name of a header", entry.key_at).label("letters, digits and `-` expected");
            right = false;
        }
        match &entry.node.value {
            Value::Text(value) => headers.push((entry.key.clone(), Some(value.clone()))),
            Value::Boolean(false) => headers.push((entry.key.clone(), None)),
            Value::Boolean(true) => {
                problems
                    .add("a header without a value", entry.node.at)
                    .label("a text, or false to leave the header out");
                right = false;
            }
            _ => right = false,
        }
    }
    for key in ["method", "path"] {
        if let Some(node) = reader.node(key)
            && node.text().is_some_and(|text| text.is_empty() || text.contains(char::is_whitespace))
        {
            problems.add(format!("no {key} of a request"), node.at).label("one word expected");
            right = false;
        }
    }
    let http = if reader.text("http")? == "1.0" { "1.0" } else { "1.1" };
    let (method, path) = (reader.text("method")?.to_owned(), reader.text("path")?.to_owned());
    right.then_some(Handshake { method, path, http, headers })
}

fn together(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Action> {
    if scope.in_together {
        problems
            .add("`together` inside `together`", reader.at("together"))
            .label("its steps already start at once");
        return None;
    }
    let inside = Scope { in_together: true, ..scope };
    steps(reader.node("together")?, inside, problems).map(Action::Together)
}

fn repeat(reader: Reader<'_>, scope: Scope<'_>, problems: &mut Problems) -> Option<Action> {
    let node = reader.node("repeat")?;
    let times = match node.text() {
        Some(KEY_LIMIT) => Times::KeyLimit,
        _ => Times::Number(integer(node)?),
    };
    if reader.given("steps").is_none() {
        problems
            .add("`repeat` without steps", reader.at("repeat"))
            .label("what is repeated?")
            .help("write repeat = 3, steps = [ … ]");
        return None;
    }
    let inside = Scope { in_repeat: true, ..scope };
    let steps = steps(reader.node("steps")?, inside, problems)?;
    Some(Action::Repeat { times, steps })
}
