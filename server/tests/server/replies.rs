//! The replies that the protocol defines, written by hand. None comes from the code under test.

/// LOGIN-1.
pub(crate) const SUCCESS: &str = "success";
/// LOGIN-2.
pub(crate) const DUPLICATE_NAME: &str = "duplicate user name";
/// STORE-1.
pub(crate) const DONE: &str = "done";
/// STORE-2, ROLE-3.
pub(crate) const KEY_NOT_FOUND: &str = "key not found";
/// ROLE-2.
pub(crate) const DENIED: &str = "you are not allowed to access keys of other users";
/// ROLE-3.
pub(crate) const USER_NOT_FOUND: &str = "user not found";
/// ROLE-4.
pub(crate) const UPGRADED: &str = "upgraded to manager";
/// ROLE-4.
pub(crate) const ALREADY_MANAGER: &str = "already a manager";
/// ROLE-8.
pub(crate) const UPGRADE_REFUSED: &str = "upgrade refused";
/// LIFE-1.
pub(crate) const EXITING: &str = "exiting";
/// LOGIN-3, FORM-1.
pub(crate) const WRONG_FORMAT: &str = "wrong message format";
/// TCP-3.
pub(crate) const TOO_LONG: &str = "message too long";
/// TCP-6.
pub(crate) const SERVER_FULL: &str = "server full";
/// STORE-7.
pub(crate) const STORE_FULL: &str = "store full";
/// TCP-7.
pub(crate) const LOGIN_TIMEOUT: &str = "login timeout";
/// TCP-7.
pub(crate) const IDLE_TIMEOUT: &str = "idle timeout";
