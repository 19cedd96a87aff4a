//! The roles that a client can have.

use super::named::named;

named! {
    /// What a client may do on the server (ROLE-1 to ROLE-4).
    Role {
        /// Sees its own store only.
        Guest "guest",
        /// May read every store.
        Manager "manager",
    }
}
