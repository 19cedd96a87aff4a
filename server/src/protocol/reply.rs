//! The replies and their exact texts. The transports frame them.

/// A reply with a fixed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The login was accepted (LOGIN-1).
    Success,
    /// A live session holds the name (LOGIN-2).
    DuplicateUserName,
    /// The value is stored (STORE-1).
    Done,
    /// Nothing has been put under that key (STORE-2).
    KeyNotFound,
    /// A guest asked for a key of another user (ROLE-2).
    Denied,
    /// A manager asked for a user who is not logged in (ROLE-3).
    UserNotFound,
    /// The session is a manager's from now on (ROLE-4).
    Upgraded,
    /// The session was a manager's before (ROLE-4).
    AlreadyManager,
    /// The server's policy does not grant the upgrade (ROLE-8).
    UpgradeRefused,
    /// The answer to `q` (LIFE-1).
    Exiting,
    /// The message is not a request (FORM-1, LOGIN-3).
    WrongFormat,
    /// The message exceeds the limit (TCP-3).
    MessageTooLong,
    /// There is no room for another connection (TCP-6).
    ServerFull,
    /// The put would exceed a limit on what is stored (STORE-7).
    StoreFull,
    /// The client did not log in in time (TCP-7).
    LoginTimeout,
    /// The session was without a request for too long (TCP-7).
    IdleTimeout,
}

impl Status {
    /// In the order of their numbers.
    pub const ALL: [Self; Self::IdleTimeout as usize + 1] = [
        Self::Success,
        Self::DuplicateUserName,
        Self::Done,
        Self::KeyNotFound,
        Self::Denied,
        Self::UserNotFound,
        Self::Upgraded,
        Self::AlreadyManager,
        Self::UpgradeRefused,
        Self::Exiting,
        Self::WrongFormat,
        Self::MessageTooLong,
        Self::ServerFull,
        Self::StoreFull,
        Self::LoginTimeout,
        Self::IdleTimeout,
    ];

    /// The text on the wire, without terminator.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::DuplicateUserName => "duplicate user name",
            Self::Done => "done",
            Self::KeyNotFound => "key not found",
            Self::Denied => "you are not allowed to access keys of other users",
            Self::UserNotFound => "user not found",
            Self::Upgraded => "upgraded to manager",
            Self::AlreadyManager => "already a manager",
            Self::UpgradeRefused => "upgrade refused",
            Self::Exiting => "exiting",
            Self::WrongFormat => "wrong message format",
            Self::MessageTooLong => "message too long",
            Self::ServerFull => "server full",
            Self::StoreFull => "store full",
            Self::LoginTimeout => "login timeout",
            Self::IdleTimeout => "idle timeout",
        }
    }
}

/// One reply: a fixed text, or a value that its store still owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A fixed text.
    Status(Status),
    /// A stored value, byte for byte.
    Value(&'a str),
}

impl<'a> Reply<'a> {
    /// The text on the wire, without terminator.
    #[must_use]
    pub const fn text(self) -> &'a str {
        match self {
            Self::Status(status) => status.text(),
            Self::Value(value) => value,
        }
    }
}
