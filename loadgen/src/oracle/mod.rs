//! The oracle: what each reply may be, and what it means when it is something else.
//!
//! It does no I/O, reads no clock, and has its own knowledge of the protocol: it must not use the server's code, or an
//! error of the server could hide itself. The state that clients share ([`ReferenceModel`]) consists of atomics, so
//! judging a reply takes O(1) and no lock.
//!
//! - `reference`: what clients share, the rule for reads and why it is exact. Its parts are `user_sessions` (a user's
//!   sessions), `register` (a user's key) and `refusals` (puts that must never be read); `position` has their counters.
//! - `session`: one client's requests and how their replies are judged. `reads` orders its pipelined reads of others,
//!   and its `evidence` holds what a replay of a wrong reply needs.
//! - `value`: values that name their origin, in `digits`. `expect`: which replies are legal. `findings`: what is wrong,
//!   in words.

mod digits;
mod expect;
mod findings;
mod odd_commands;
mod position;
mod reads;
mod reference;
mod refusals;
mod register;
mod session;
pub mod texts;
mod user_sessions;
mod value;

pub use expect::{Expectation, Finding, LegalReply, ReadBound};
pub use findings::describe_origin;
pub use odd_commands::ODD_COMMANDS;
pub use reference::{ClientSpec, ReferenceModel};
pub use session::{
    ExpectedReply, PutId, SessionAge, SessionHistory, SessionModel, request, writer_of_forbidden,
};
pub use value::{KEYS_MAX, TAG_BYTES, USERS_MAX, ValueSpec};

/// Bytes of a message that every server must take. It may refuse longer ones (TCP-3, WS-4).
pub const MESSAGE_BYTES: usize = 65_536;

/// Decimal digits of a number below 2^32.
const DIGITS_MAX: usize = 10;

/// Bytes of the longest key that the harness uses: a letter and such a number.
pub const KEY_BYTES_MAX: usize = 1 + DIGITS_MAX;

/// The key whose name differs from key 0's only in case (STORE-4).
const UPPER_KEY: u32 = 1;

/// The key that is named like a command (STORE-6).
const COMMAND_KEY: u32 = 3;

/// The missing key that is named [`ROLE_KEY`].
const ROLE_KEY_NUMBER: u32 = 0;

/// The key under which some servers keep a user's role. No register has it: a session puts a role's name there, which
/// must change nothing (ROLE-5), and reads it like a missing key (STORE-6).
const ROLE_KEY: &str = "role";

/// Writes the name of key number `key`.
pub fn write_key(out: &mut Vec<u8>, key: u32) {
    write_with_key(out, b"", key, b"");
}

/// Writes the name of missing key number `key`: one that is never put, except for the key `role`.
pub fn write_missing_key(out: &mut Vec<u8>, key: u32) {
    if key == ROLE_KEY_NUMBER {
        out.extend_from_slice(ROLE_KEY.as_bytes());
    } else {
        write_numbered(out, b"m", key, b"");
    }
}

/// The name of key number `key`, for people.
fn key_name(key: u32) -> String {
    let mut name = Vec::new();
    write_key(&mut name, key);
    String::from_utf8_lossy(&name).into_owned()
}

/// Bytes of the name of key number `key`.
fn key_bytes(key: u32) -> usize {
    let digits = match key {
        COMMAND_KEY => 0,
        _ => key.checked_ilog10().map_or(1, |log| log as usize + 1),
    };
    1 + digits
}

/// Whether the names of two keys differ only in case.
fn differ_in_case(key: u32, other: u32) -> bool {
    key != other && key_name(key).eq_ignore_ascii_case(&key_name(other))
}

/// Writes the name of a key between two texts. The first ends in a space or is empty.
#[inline]
fn write_with_key<const AFTER: usize>(out: &mut Vec<u8>, before: &[u8], key: u32, after: &[u8; AFTER]) {
    out.extend_from_slice(before);
    match key {
        UPPER_KEY => write_numbered(out, b"K", 0, after),
        COMMAND_KEY => {
            out.push(b'q');
            out.extend_from_slice(after);
        }
        _ => write_numbered(out, b"k", key, after),
    }
}

/// Writes a number between two texts of up to eight bytes, with one copy.
#[inline]
fn write_numbered<const BEFORE: usize, const AFTER: usize>(
    out: &mut Vec<u8>,
    before: &[u8; BEFORE],
    mut number: u32,
    after: &[u8; AFTER],
) {
    let mut text = [0_u8; 8 + DIGITS_MAX + 8];
    let mut at = text.len() - AFTER;
    text[at..].copy_from_slice(after);
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    at -= BEFORE;
    text[at..at + BEFORE].copy_from_slice(before);
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_letter_and_a_decimal_number() {
        for number in [0, 2, 7, 10, 4_294_967_295] {
            let mut out = Vec::new();
            write_key(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("k{number}"));
        }
    }

    #[test]
    fn store_4_and_6_some_keys_differ_in_case_or_are_named_like_a_command() {
        assert_eq!([0, 1, 3].map(key_name), ["k0", "K0", "q"]);
        for key in [0, 1, 2, 3, 9, 10, 4_294_967_295] {
            assert_eq!(key_bytes(key), key_name(key).len(), "{key}");
        }
        assert!(differ_in_case(0, 1) && !differ_in_case(0, 0) && !differ_in_case(0, 2));
        let mut missing = Vec::new();
        write_missing_key(&mut missing, 0);
        assert_eq!(missing, b"role");
    }
}
