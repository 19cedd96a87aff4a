//! The reference server. Placeholder until its rooms are built.
