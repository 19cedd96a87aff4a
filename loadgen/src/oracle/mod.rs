//! The oracle: what each reply may be, and what it means when it is something else.
//!
//! It does no I/O, reads no clock, and knows the protocol by itself: none of the server's code may be used
//! here, or a server's error could hide itself in its judge. State that several clients share ([`World`]) is made
//! of atomics, so judging costs O(1) a reply and no lock.
//!
//! - `world`: what clients share, the rule by which reads are judged and why it is exact; `life` (a user's sessions),
//!   `register` (a user's key) and `refusals` (puts that may never be read) are its parts, `position` their counters.
//! - `session`: one client's requests and their judgement; `reads` orders its pipelined reads of others, and its
//!   `evidence` is what it takes to show a wrong reply again.
//! - `value`: values that name their origin, in `digits`. `expect`: what may be answered. `findings`: what is wrong, in words.

mod digits;
mod expect;
mod findings;
mod life;
mod position;
mod reads;
mod refusals;
mod register;
mod session;
pub mod texts;
mod value;
mod world;

pub use expect::{Expect, Finding, Good, ReadFrom};
pub use findings::origin;
pub use session::{Due, Era, Lives, Origin, Session, request};
pub use value::{KEYS_MAX, TAG_BYTES, USERS_MAX, ValueSpec};
pub use world::{Client, World};

/// Bytes of a message that every server takes; longer ones it may refuse (TCP-3, WS-4).
pub const MESSAGE_BYTES: usize = 65_536;

/// Decimal digits of a number below 2^32.
const DIGITS_MAX: usize = 10;

/// Bytes of the longest key that the harness uses: a letter and such a number.
pub const KEY_BYTES_MAX: usize = 1 + DIGITS_MAX;

/// Writes the name of key number `key`.
pub fn write_key(out: &mut Vec<u8>, key: u32) {
    write_numbered(out, b"k", key, b"");
}

/// Writes the name of missing key number `key`: one that nobody ever puts.
pub fn write_missing_key(out: &mut Vec<u8>, key: u32) {
    write_numbered(out, b"m", key, b"");
}

/// Writes a number between two texts of up to eight bytes, all in one piece.
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
        for number in [0, 7, 10, 4_294_967_295] {
            let mut out = Vec::new();
            write_key(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("k{number}"));
        }
    }
}
