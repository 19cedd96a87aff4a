//! Validated scripted cases: running one needs no further checks.
//!
//! Reading the text and its errors is the business of the sibling modules; nothing here knows TOML.

use std::time::Duration;

use crate::domain::named::named;
use crate::domain::{Role, Rule, Transport};

/// One scripted case: clients, what they do, and what must come back.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the format by itself")]
pub struct Case {
    /// Unique in its file. Only ASCII letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// The requirements that it shows, at least one.
    pub rules: Vec<Rule>,
    /// One line for people.
    pub about: String,
    /// Who must pass it.
    pub level: Level,
    /// The transports on which it runs, once on each; `None`: every one that the target has.
    pub transports: Option<Vec<Transport>>,
    /// What the target must be known to have; without it the case is skipped.
    pub needs: Vec<Need>,
    /// Whether no other case may run on the same server at the same time.
    pub alone: bool,
    /// Whether it also runs with its bytes cut and joined in every other way.
    pub sweep: bool,
    /// Whether it shows what a server should do, though its rules are what a server must do.
    pub should: bool,
    /// Whether it may well end a weak server: such cases run last.
    pub kills: bool,
    /// Who takes part, at least one; steps name them by index.
    pub clients: Vec<Client>,
    /// What is done, at least one step.
    pub steps: Vec<Step>,
}

impl Case {
    /// Whether it shows what a server should do, so that its failure is a warning.
    #[must_use]
    pub fn is_should(&self) -> bool {
        self.should || self.rules.iter().all(|rule| rule.is_should())
    }
}

/// Who must pass a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Any honest implementation.
    Core,
    /// Any implementation that claims the whole protocol.
    Full,
}

named! {
    /// What a case needs of its target, beyond what every server of the protocol has.
    Need {
        /// Every `upgrade` is granted.
        UpgradeOpen "upgrade-open",
        /// `upgrade SECRET` is granted, and the secret is known.
        UpgradeSecret "upgrade-secret",
        /// No `upgrade` is granted.
        UpgradeClosed "upgrade-closed",
        /// The number of managers is limited, and the limit is known.
        ManagerCap "manager-cap",
        /// The number of connections is.
        ConnectionLimit "connection-limit",
        /// The number of a user's keys is.
        KeyLimit "key-limit",
        /// The bytes of a user's store are.
        ByteLimit "byte-limit",
        /// A connection that does not log in is closed after a known time.
        LoginTimeout "login-timeout",
        /// A session without a request is.
        IdleTimeout "idle-timeout",
        /// There is a command with which the operator makes a user a manager.
        Promote "promote",
        /// One that makes a manager a guest.
        Demote "demote",
        /// One that ends a user's session.
        Disconnect "disconnect",
    }
}

named! {
    /// What the server's operator does to a user.
    OperatorAction {
        Promote "promote",
        Demote "demote",
        Disconnect "disconnect",
    }
}

impl Case {
    /// Whether a step sends a text whose length follows from that of the target's longest message.
    #[must_use]
    pub fn uses_message_max(&self) -> bool {
        fn in_steps(steps: &[Step]) -> bool {
            steps.iter().any(|step| match &step.action {
                Action::Send { messages, .. } => messages.iter().any(in_text),
                Action::Together(inner) | Action::Repeat { steps: inner, .. } => in_steps(inner),
                _ => false,
            })
        }
        fn in_text(text: &Text) -> bool {
            text.parts.iter().any(|part| matches!(part, Part::FillTo(Size::MessageMax(_))))
        }
        in_steps(&self.steps)
    }
}

impl Level {
    /// The name that cases and reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Full => "full",
        }
    }
}

/// A client of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What the case calls it; its user name is unique to the run.
    pub name: String,
    /// Whether it is connected before the first step.
    pub connect: bool,
    /// Whether it is logged in before the first step; only if connected.
    pub login: bool,
    /// Its role before the first step; a manager is logged in.
    pub role: Role,
    /// How it reaches the server.
    pub transport: ClientTransport,
}

/// How a client of a case reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTransport {
    /// Over the transport on which the case runs.
    Case,
    /// Over one on which the case does not run; where there is none, the case is skipped.
    Other,
    /// Over this one.
    Named(Transport),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index of the client that acts; `None` for [`Action::Together`], [`Action::Repeat`] and a mere wait.
    pub client: Option<usize>,
    /// What it does.
    pub action: Action,
    /// What must come back before the next step.
    pub expect: Option<Expectation>,
    /// How long that may take, where it is not the usual time-out.
    pub within: Option<Duration>,
    /// How long the step is done again while another reply comes.
    pub retry: Option<Duration>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Connects, with the transport's handshake.
    Connect,
    /// Sends a user name of one word.
    Login(Text),
    /// Sends messages, framed for the transport, in one write, or cut.
    Send {
        /// At least one.
        messages: Vec<Text>,
        /// Where the bytes on the wire are cut.
        cut: Cut,
    },
    /// Sends bytes as they are.
    Bytes(Vec<u8>),
    /// Sends a text as it is: no framing and no line feed.
    RawText(Text),
    /// Sends WebSocket frames, legal or not, in one write.
    Frames(Vec<Frame>),
    /// Opens a connection with a WebSocket handshake, legal or not; the reply is its status code as text.
    Handshake(Handshake),
    /// Closes its sending side.
    HalfClose,
    /// Ends in order: over WebSocket with a close frame of this code.
    Close(u16),
    /// Resets the connection.
    Reset,
    /// Lets time pass.
    Wait(Duration),
    /// Does these steps at once, started at one barrier.
    Together(Vec<Step>),
    /// The server's operator does this to the step's client.
    Operator(OperatorAction),
    /// Does these steps so many times, one after the other; [`Part::Index`] counts from 0.
    Repeat {
        /// How often.
        times: Times,
        /// At least one.
        steps: Vec<Step>,
    },
}

/// How often steps are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// This many times, at least once.
    Number(u32),
    /// Once for each key that the target's limit allows a user.
    KeyLimit,
}

/// How a write is cut into segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Nowhere,
    /// Before these bytes of the framed messages, counted from 0; rising.
    At(Vec<usize>),
    /// After each byte.
    EachByte,
}

/// A WebSocket frame as its sender wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// 0 to 15; 1 is text.
    pub opcode: u8,
    /// Whether it is a message's last one.
    pub fin: bool,
    /// The three reserved bits, 0 to 7.
    pub rsv: u8,
    /// Whether it is masked.
    pub mask: bool,
    /// The length that it states.
    pub length: FrameLength,
    /// What it carries.
    pub payload: Payload,
}

/// The length that a frame states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameLength {
    /// That of its payload.
    Payload,
    /// This one, in as few bytes as it needs.
    Stated(u64),
    /// These bytes as they are, 1, 3 or 9 of them; the mask bit comes on top.
    Bytes(Vec<u8>),
}

/// What a frame carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Text.
    Text(Text),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A WebSocket handshake's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `GET` where it is right.
    pub method: String,
    /// What is asked for.
    pub path: String,
    /// `1.1` or `1.0`.
    pub http: &'static str,
    /// Headers that replace or join the right ones; `None` leaves a right one out.
    pub headers: Vec<(String, Option<String>)>,
}

/// What must come back.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// These replies in this order; at least one.
    Replies(Vec<Text>),
    /// One reply, any of these.
    Any(Vec<Text>),
    /// After [`Action::Together`]: how often each of these replies comes.
    Count(Vec<(Text, u32)>),
    /// The server ends the connection.
    Closed {
        /// How.
        how: Closing,
        /// The close frame's code, over WebSocket.
        code: Option<u16>,
    },
    /// Nothing for this long.
    Silence(Duration),
    /// A pong with this payload, over WebSocket.
    Pong(Text),
    /// The handshake is refused.
    Refused {
        /// In which way.
        how: Refusal,
        /// A field that the HTTP reply must have: its name and value.
        header: Option<(String, String)>,
    },
}

/// How a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// By an HTTP error or by a close.
    Any,
    /// By a whole HTTP reply with an error's status.
    Http,
    /// By an HTTP reply with this status.
    Status(u16),
}

/// How a server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// In order.
    Clean,
    /// With a reset.
    Reset,
    /// Either way.
    Any,
}

/// Text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// In order; no two literals follow each other.
    pub parts: Vec<Part>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Literal(String),
    /// The real user name of the client with this index.
    Client(usize),
    /// This many bytes, none of them white space.
    Fill(usize),
    /// Bytes, none of them white space, that make the whole text this long. At most one in a text.
    FillTo(Size),
    /// What the last [`Part::FillTo`] of the case became.
    Filled,
    /// A word that is drawn for each run of the case; the same for the same name.
    Word(String),
    /// The secret of the target's upgrade policy.
    Secret,
    /// The round of the innermost repeat, from 0.
    Index,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// This many.
    Bytes(usize),
    /// As many as the target's longest message has, and this many more.
    MessageMax(usize),
    /// As many as its longest user name has, and this many more.
    NameMax(usize),
}
