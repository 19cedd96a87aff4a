//! The replies that the protocol defines, written by hand. None comes from the code under test.

/// LOGIN-1.
pub const SUCCESS: &str = "success";
/// LOGIN-2.
pub const DUPLICATE_NAME: &str = "duplicate user name";
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
/// ROLE-8.
pub const UPGRADE_REFUSED: &str = "upgrade refused";
/// LIFE-1.
pub const EXITING: &str = "exiting";
/// LOGIN-3, FORM-1.
pub const WRONG_FORMAT: &str = "wrong message format";
/// TCP-6.
pub const SERVER_FULL: &str = "server full";
/// TCP-7.
pub const IDLE_TIMEOUT: &str = "idle timeout";
