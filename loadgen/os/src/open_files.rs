//! The limit on this process's open files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit in force, after raising it where it is below `needed` and the system allows that; what is started from
/// now on has it, too. Where none can be read, none is assumed.
#[must_use]
pub fn raise_limit(needed: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    if soft < needed && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_only_where_it_is_too_low_and_never_beyond_what_is_allowed() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_limit(soft), soft);
        assert_eq!(raise_limit(u64::MAX), hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
