//! Values that say where they come from: every value carries its run, user, key and version.
//!
//! A value is a tag of [`TAG_BYTES`] bytes and filler up to its size. Tag and filler follow from the four
//! numbers alone, so any byte that differs is seen, and a value that turns up in the wrong place names its origin.

use std::sync::OnceLock;

/// Bytes of the tag: 2 for the run, 4 for the user, 4 for the key, 6 for the version, six bits in each.
pub const TAG_BYTES: usize = 16;

/// Sixty-four printable bytes that are no white space.
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";

/// Longest filler: a message's limit, which no value reaches.
const FILLER_BYTES: usize = 65_536;

/// Different fillers that follow each other in the block; a prime, so that neighbours differ.
const FILLER_SHIFTS: usize = 251;

/// Sizes of one group's values, from `min` to `max` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSpec {
    /// Smallest size in bytes, at least [`TAG_BYTES`].
    pub min: u32,
    /// Largest size in bytes.
    pub max: u32,
}

/// What a tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Low 12 bits of the run's nonce.
    pub(super) run: u16,
    /// Index of the user among the pass's clients.
    pub(super) user: u32,
    /// Number of the key.
    pub(super) key: u32,
    /// Counts the puts of that key, from 1.
    pub(super) version: u32,
}

impl Tag {
    fn hash(self) -> u64 {
        // SplitMix64's finalizer: cheap, and every bit of the input reaches every bit of the output.
        let packed = (u64::from(self.user) << 40) ^ (u64::from(self.key) << 20) ^ u64::from(self.version);
        let mut z = packed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn encode(self) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        put_digits(&mut tag[0..2], u64::from(self.run));
        put_digits(&mut tag[2..6], u64::from(self.user));
        put_digits(&mut tag[6..10], u64::from(self.key));
        put_digits(&mut tag[10..16], u64::from(self.version));
        tag
    }

    /// Reads the tag at the beginning of a value; `None` where there is none.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let tag = value.get(..TAG_BYTES)?;
        Some(Self {
            run: take_digits(&tag[0..2])? as u16,
            user: take_digits(&tag[2..6])? as u32,
            key: take_digits(&tag[6..10])? as u32,
            version: u32::try_from(take_digits(&tag[10..16])?).ok()?,
        })
    }

    /// Bytes of the value with this tag.
    pub(super) fn size(self, spec: ValueSpec) -> usize {
        let span = u64::from(spec.max - spec.min) + 1;
        spec.min as usize + ((self.hash() >> 32) % span) as usize
    }

    /// Writes the whole value.
    pub(super) fn write(self, spec: ValueSpec, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encode());
        out.extend_from_slice(self.filler(self.size(spec)));
    }

    /// Whether these bytes are the whole value of this tag, byte for byte.
    pub(super) fn matches(self, spec: ValueSpec, value: &[u8]) -> bool {
        let size = self.size(spec);
        value.len() == size && value[..TAG_BYTES] == self.encode() && value[TAG_BYTES..] == *self.filler(size)
    }

    fn filler(self, size: usize) -> &'static [u8] {
        let shift = (self.hash() as u32 as usize) % FILLER_SHIFTS;
        &filler_block()[shift..shift + size - TAG_BYTES]
    }
}

fn filler_block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        // A run of the alphabet in strides of a prime: printable, and no two shifts of it are alike.
        (0..FILLER_BYTES + FILLER_SHIFTS).map(|i| ALPHABET[(i * 37 + i / 64 * 11) % 64]).collect()
    })
}

fn put_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = ALPHABET[(number & 63) as usize];
        number >>= 6;
    }
}

fn take_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, &digit| {
        let six = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            b'_' => 62,
            b'-' => 63,
            _ => return None,
        };
        Some(number << 6 | u64::from(six))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_says_where_it_comes_from(
            run in 0_u16..4096, user in 0_u32..1 << 24, key in 0_u32..1 << 24, version: u32,
            min in 16_u32..200, more in 0_u32..65_000,
        ) {
            let tag = Tag { run, user, key, version };
            let spec = ValueSpec { min, max: min + more };
            let mut value = Vec::new();
            tag.write(spec, &mut value);
            prop_assert_eq!(Tag::decode(&value), Some(tag));
            prop_assert!(tag.matches(spec, &value));
            prop_assert!((min as usize..=(min + more) as usize).contains(&value.len()));
            prop_assert!(value.iter().all(u8::is_ascii_graphic));
        }

        #[test]
        fn any_changed_byte_is_seen(at in 0_usize..64, flip in 1_u8..=255) {
            let tag = Tag { run: 5, user: 6, key: 7, version: 8 };
            let spec = ValueSpec { min: 64, max: 64 };
            let mut value = Vec::new();
            tag.write(spec, &mut value);
            value[at] ^= flip;
            prop_assert!(!tag.matches(spec, &value));
        }
    }

    #[test]
    fn sizes_use_the_whole_range() {
        let spec = ValueSpec { min: 16, max: 19 };
        let sizes: std::collections::BTreeSet<usize> =
            (0..200).map(|version| Tag { run: 0, user: 1, key: 2, version }.size(spec)).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [16, 17, 18, 19]);
    }
}
