//! The exact texts of the protocol's replies, as the oracle knows them.

/// LOGIN-1.
pub const SUCCESS: &str = "success";
/// LOGIN-2.
pub const DUPLICATE_USER_NAME: &str = "duplicate user name";
/// STORE-1.
pub const DONE: &str = "done";
/// STORE-2, ROLE-3.
pub const KEY_NOT_FOUND: &str = "key not found";
/// ROLE-2.
pub const DENIED: &str = "you are not allowed to access keys of other users";
/// ROLE-3.
pub const USER_NOT_FOUND: &str = "user not found";
/// ROLE-4.
pub const UPGRADED: &str = "upgraded to manager";
/// ROLE-4.
pub const ALREADY_MANAGER: &str = "already a manager";
/// LIFE-1.
pub const EXITING: &str = "exiting";
/// LOGIN-3, FORM-1.
pub const WRONG_FORMAT: &str = "wrong message format";
/// TCP-3.
pub const MESSAGE_TOO_LONG: &str = "message too long";
/// STORE-7.
pub const STORE_FULL: &str = "store full";
/// TCP-6.
pub const SERVER_FULL: &str = "server full";
/// ROLE-4, ROLE-8.
pub const UPGRADE_REFUSED: &str = "upgrade refused";
/// TCP-7.
pub const LOGIN_TIMEOUT: &str = "login timeout";
/// TCP-7.
pub const IDLE_TIMEOUT: &str = "idle timeout";

/// All of them.
pub(crate) const ALL: [&str; 16] = [
    SUCCESS,
    DUPLICATE_USER_NAME,
    DONE,
    KEY_NOT_FOUND,
    DENIED,
    USER_NOT_FOUND,
    UPGRADED,
    ALREADY_MANAGER,
    EXITING,
    WRONG_FORMAT,
    MESSAGE_TOO_LONG,
    STORE_FULL,
    SERVER_FULL,
    UPGRADE_REFUSED,
    LOGIN_TIMEOUT,
    IDLE_TIMEOUT,
];
