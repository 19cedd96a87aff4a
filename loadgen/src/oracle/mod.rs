//! The oracle: what each reply may be, and what it means when it is something else.
//!
//! It does no I/O, reads no clock, and knows the protocol by itself: none of the server's code may be used
//! here, or a server's error could hide itself in its judge. State that several clients share ([`World`]) is made
//! of atomics, so judging costs O(1) a reply and no lock.

mod session;
pub mod texts;
mod value;
mod world;

pub use session::{Due, Expect, Finding, Good, Origin, Session, origin, request};
pub use value::{TAG_BYTES, ValueSpec};
pub use world::{Client, World};

/// Bytes of the longest key that the harness uses: a letter and a number below 2^32.
pub const KEY_BYTES_MAX: usize = 11;

/// Writes the name of key number `key`.
pub fn write_key(out: &mut Vec<u8>, key: u32) {
    write_numbered(out, b'k', key);
}

/// Writes the name of missing key number `key`: one that nobody ever puts.
pub fn write_missing_key(out: &mut Vec<u8>, key: u32) {
    write_numbered(out, b'm', key);
}

fn write_numbered(out: &mut Vec<u8>, letter: u8, mut number: u32) {
    let mut digits = [0_u8; KEY_BYTES_MAX];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    at -= 1;
    digits[at] = letter;
    out.extend_from_slice(&digits[at..]);
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
