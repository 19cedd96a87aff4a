//! The replies and their exact texts. The transports frame them.

named_enum! {
    /// A reply with a fixed text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Status,
    /// The text on the wire, without terminator.
    fn text {
        /// The login was accepted (LOGIN-1).
        Success = "success",
        /// A live session holds the name (LOGIN-2).
        DuplicateUserName = "duplicate user name",
        /// The value is stored (STORE-1).
        Done = "done",
        /// Nothing has been put under that key (STORE-2).
        KeyNotFound = "key not found",
        /// A guest asked for a key of another user (ROLE-2).
        Denied = "you are not allowed to access keys of other users",
        /// A manager asked for a user who is not logged in (ROLE-3).
        UserNotFound = "user not found",
        /// The session is a manager's from now on (ROLE-4).
        Upgraded = "upgraded to manager",
        /// The session was a manager's before (ROLE-4).
        AlreadyManager = "already a manager",
        /// The server's policy does not grant the upgrade (ROLE-8).
        UpgradeRefused = "upgrade refused",
        /// The answer to `q` (LIFE-1).
        Exiting = "exiting",
        /// The message is not a request (FORM-1, LOGIN-3).
        WrongFormat = "wrong message format",
        /// The message exceeds the limit (TCP-3).
        MessageTooLong = "message too long",
        /// There is no room for another connection (TCP-6).
        ServerFull = "server full",
        /// The put would exceed a limit on what is stored (STORE-7).
        StoreFull = "store full",
        /// The client did not log in in time (TCP-7).
        LoginTimeout = "login timeout",
        /// The session was without a request for too long (TCP-7).
        IdleTimeout = "idle timeout",
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
