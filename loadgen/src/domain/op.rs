//! The kinds of request.

use super::named::named;

named! {
    /// One kind of request that a client can make.
    Op {
        /// `put KEY VALUE` of a tagged value.
        Put "put",
        /// `get KEY` of one of its own keys.
        Get "get",
        /// `get KEY` of a key that is never put.
        GetMissing "get-missing",
        /// `get USER KEY`: a manager reads, a guest is denied.
        GetOther "get-other",
        /// A request that the server must refuse, mostly a malformed command; or one that a careless server refuses.
        Bad "bad",
        /// `upgrade`, again for a manager.
        Upgrade "upgrade",
    }
}
