//! How much users may store, and the count of what they do (STORE-7).

/// What stores may hold. A put that would pass any of these is refused and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// The most keys of one user.
    pub user_keys_max: usize,
    /// The most bytes of one user: keys and values, nothing else counted.
    pub user_bytes_max: usize,
    /// The most bytes of all users together: keys, values, and [`ENTRY_BYTES`] for each entry, so that it bounds
    /// the memory of short entries too.
    pub total_bytes_max: usize,
}

/// About what an entry takes beside its key and value: its place in the table, and what allocating twice costs.
pub const ENTRY_BYTES: usize = 96;

impl Default for StoreLimits {
    /// A million keys and 64 MiB for each user, 1 GiB for all: room for any sensible use on a small machine.
    fn default() -> Self {
        Self { user_keys_max: 1_000_000, user_bytes_max: 64 << 20, total_bytes_max: 1 << 30 }
    }
}
