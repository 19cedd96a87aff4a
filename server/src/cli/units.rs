//! Counts, sizes and durations as people write them.

use std::{num::NonZeroUsize, time::Duration};

use jiff::SignedDuration;

use crate::protocol::NAME_BYTES_MAX;

/// The longest time-out; `off` means no limit. Sums of instants stay far from overflow.
const DURATION_MAX: Duration = Duration::from_hours(366 * 24);

/// The highest value of `--message-max`. A worker has room for one, and a client can make the server hold one for
/// it.
const MESSAGE_BYTES_LIMIT: usize = 16 << 20;

/// The most threads. Each is a runtime with its own descriptors and stack, meant for a CPU of its
/// own: more than the largest machines have is a mistake.
pub(super) const WORKERS_MAX: usize = 1024;

/// A count above 0.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("expected a whole number from 1 to {}", usize::MAX))
}

pub(super) fn worker_count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse::<NonZeroUsize>().ok().filter(|count| count.get() <= WORKERS_MAX);
    count.ok_or_else(|| format!("expected a whole number from 1 to {WORKERS_MAX}"))
}

/// A CPU's number, as the system counts them.
pub(super) fn cpu(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected the numbers of CPUs from 0 on, such as 0,1".to_owned())
}

/// A number of bytes above 0: `65536`, `64KiB`, `1 MiB`, `2GiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let (digits, unit) = UNITS
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), unit)))
        .unwrap_or((text, 1));
    let bytes = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size above 0 such as 65536, 64KiB or 1GiB".to_owned())
}

/// A size that fits any name and that a worker can have room for.
pub(super) fn message_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes if bytes < NAME_BYTES_MAX => {
            Err(format!("a message must hold a name of {NAME_BYTES_MAX} bytes"))
        }
        bytes if bytes > MESSAGE_BYTES_LIMIT => Err(format!("at most {}MiB", MESSAGE_BYTES_LIMIT >> 20)),
        bytes => Ok(bytes),
    }
}

/// A duration: `30s`, `1m 30s`, `500ms`; `None` for `off`.
pub(super) fn timeout(text: &str) -> Result<TimeoutArg, String> {
    if text == "off" {
        return Ok(TimeoutArg(None));
    }
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    match duration {
        Some(duration) if !duration.is_zero() && duration <= DURATION_MAX => Ok(TimeoutArg(Some(duration))),
        Some(_) => Err("expected a time above 0 and up to a year, or off".to_owned()),
        None => Err("expected a duration such as 30s, 1m 30s or 500ms, or off".to_owned()),
    }
}

/// A time-out as given; `None` is `off`. (To clap a bare `Option` would mean that the flag may be left out.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeoutArg(pub(super) Option<Duration>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_numbers_above_0_and_bounded_where_each_is_a_thread() {
        for (text, expected) in
            [("1", Some(1)), ("1024", Some(1024)), ("0", None), ("", None), ("many", None)]
        {
            assert_eq!(count(text).ok().map(NonZeroUsize::get), expected, "{text}");
            assert_eq!(worker_count(text).ok().map(NonZeroUsize::get), expected, "{text}");
        }
        assert!(count("18446744073709551615").is_ok() && count("18446744073709551616").is_err());
        for text in ["1025", "1000000", "18446744073709551615", "18446744073709551616", "-1"] {
            assert_eq!(worker_count(text).unwrap_err(), "expected a whole number from 1 to 1024", "{text}");
        }
        assert_eq!(cpu("0"), Ok(0));
        assert!(cpu("-1").is_err() && cpu("").is_err() && cpu("18446744073709551616").is_err());
    }

    #[test]
    fn sizes_are_bytes_or_have_a_binary_unit() {
        for (text, bytes) in
            [("1", 1), ("65536", 65_536), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30), ("7B", 7)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "0KiB", "-1", "64kb", "KiB", "1.5MiB", "99999999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_holds_any_name_and_fits_a_worker() {
        assert_eq!(message_size("64"), Ok(64));
        assert_eq!(message_size("16MiB"), Ok(16 << 20));
        assert!(message_size("63").is_err());
        assert!(message_size("17MiB").is_err());
    }

    #[test]
    fn durations_have_units_and_off_is_for_ever() {
        for (text, expected) in [
            ("30s", Some(Duration::from_secs(30))),
            ("1m 30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("off", None),
        ] {
            assert_eq!(timeout(text), Ok(TimeoutArg(expected)), "{text}");
        }
        for text in ["", "0s", "-1s", "30", "soon", "400d", "9999999999h"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
