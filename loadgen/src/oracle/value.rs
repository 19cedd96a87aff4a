//! Values that name their origin: run, user, key, incarnation and version.
//!
//! A value is a tag of [`TAG_BYTES`] bytes, and filler up to its size. Size and filler follow from the tag alone, so
//! any byte that differs is seen, and a value in the wrong place names its origin. Every fourth value has filler with
//! characters of two to four bytes; sizes are always in bytes.
//!
//! Sixteen digits of six bits are 96 bits: 12 for the run, 18 for the user, 20 for the key, 15 for the incarnation
//! and 31 for the version. [`USERS_MAX`] and [`KEYS_MAX`] bound the second and third. The last two are counters that
//! are stored modulo their range. That is enough, as they are only compared with values nearby.

use super::digits;
use super::position::{INCARNATION_MASK, Position};

/// Bytes of the tag.
pub const TAG_BYTES: usize = 16;

/// Most users whose values can be distinguished.
pub const USERS_MAX: u32 = 1 << 18;

/// Most keys of a user whose values can be distinguished.
pub const KEYS_MAX: u32 = 1 << 20;

/// The run's bits.
pub(super) const RUN_MASK: u16 = (1 << 12) - 1;

/// Longest run of filler: what every server takes. A longer value has several runs, each shifted by one.
const FILLER_BYTES: usize = super::MESSAGE_BYTES;

/// Number of offsets at which filler may start in the block; a prime, so that neighbours differ.
const FILLER_SHIFTS: usize = 251;

/// Bytes of a block of filler.
const BLOCK_BYTES: usize = FILLER_BYTES + FILLER_SHIFTS + WIDE_UNIT;

/// The bytes of filler: none of them needs quoting anywhere.
const FILLER_ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";

/// The start of each [`WIDE_UNIT`] of filler that is not only ASCII: characters of two, three and four bytes. A
/// no-break space and an ideographic space are among them, which do not separate words.
const WIDE: &[u8] = "\u{e9}\u{a0}\u{3000}\u{1f980}".as_bytes();

/// Bytes of such a unit. More than half of them begin a character. So for any length, a slice that begins and ends
/// between characters starts within a few bytes.
const WIDE_UNIT: usize = 32;

/// The filler of most values is cut from this block.
static FILLER: [u8; BLOCK_BYTES] = filler(&[]);

/// The filler of the others is cut from this block.
static WIDE_FILLER: [u8; BLOCK_BYTES] = filler(WIDE);

/// Sizes of one group's values, from `min` to `max` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSpec {
    /// Smallest size in bytes, at least [`TAG_BYTES`].
    pub min: u32,
    /// Largest size in bytes.
    pub max: u32,
}

impl ValueSpec {
    /// Values that are only a tag.
    pub(super) const TAG_ALONE: Self = Self { min: TAG_BYTES as u32, max: TAG_BYTES as u32 };
}

/// What a tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// The run's nonce, 12 bits.
    pub(super) run: u16,
    /// Index of the user among the pass's clients.
    pub(super) user: u32,
    /// Number of the key.
    pub(super) key: u32,
    /// The user's incarnation, modulo 32,768.
    pub(super) incarnation: u32,
    /// The put, counted for each key.
    pub(super) position: Position,
}

impl Tag {
    /// Its 96 bits, 48 for each half of the digits.
    fn halves(self) -> [u64; 2] {
        let (run, user, key) = (u64::from(self.run), u64::from(self.user), u64::from(self.key));
        let low = u64::from(self.incarnation) << 31 | u64::from(self.position.version());
        [run << 36 | user << 18 | key >> 2, (key & 3) << 46 | low]
    }

    fn hash(self) -> u64 {
        // SplitMix64's finalizer: cheap, and every bit of the input affects every bit of the output. The run is left
        // out, so that the same seed gives values of the same sizes.
        let version = u64::from(self.position.version());
        let mut z = (u64::from(self.user) << 40 ^ u64::from(self.key) << 20 ^ version)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn encode(self) -> [u8; TAG_BYTES] {
        let [high, low] = self.halves().map(|half| u128::from(digits::letters(digits::spread(half))));
        (high << 64 | low).to_be_bytes()
    }

    /// Reads the tag at the beginning of a value; `None` if there is no tag.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let tag = u128::from_be_bytes(*value.first_chunk()?);
        let high = digits::gather(digits::read((tag >> 64) as u64)?);
        let low = digits::gather(digits::read(tag as u64)?);
        Some(Self {
            run: (high >> 36) as u16,
            user: (high >> 18) as u32 & (USERS_MAX - 1),
            key: ((high << 2) as u32 | (low >> 46) as u32) & (KEYS_MAX - 1),
            incarnation: (low >> 31) as u32 & INCARNATION_MASK,
            position: Position::of_put(low as u32),
        })
    }

    /// Bytes of the value with this tag.
    pub(super) fn size(self, spec: ValueSpec) -> usize {
        size(self.hash(), spec)
    }

    /// Writes the whole value.
    pub(super) fn write(self, spec: ValueSpec, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encode());
        self.filler(spec).for_each(|stretch| out.extend_from_slice(stretch));
    }

    /// Whether these bytes are the whole value of this tag, byte for byte.
    pub(super) fn matches(self, spec: ValueSpec, value: &[u8]) -> bool {
        value.first_chunk() == Some(&self.encode()) && self.fills(spec, value)
    }

    /// Whether the rest of a value with this tag is right.
    pub(super) fn fills(self, spec: ValueSpec, value: &[u8]) -> bool {
        let Some(mut rest) = value.get(TAG_BYTES..) else { return false };
        for stretch in self.filler(spec) {
            match rest.strip_prefix(stretch) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// What follows the tag, in pieces.
    fn filler(self, spec: ValueSpec) -> impl Iterator<Item = &'static [u8]> {
        let hash = self.hash();
        let first = share(hash & 0xFFFF_FFFF, FILLER_SHIFTS as u64);
        let bytes = size(hash, spec).saturating_sub(TAG_BYTES);
        // These bits do not affect the size, and hardly the shift. Several pieces must all differ, so they are plain.
        let is_wide = hash.is_multiple_of(4) && bytes <= FILLER_BYTES;
        let block = if is_wide { &WIDE_FILLER } else { &FILLER };
        (0..bytes.div_ceil(FILLER_BYTES)).map(move |number| {
            let mut from = (first + number) % FILLER_SHIFTS;
            let length = FILLER_BYTES.min(bytes - number * FILLER_BYTES);
            while !(begins_character(block[from]) && begins_character(block[from + length])) {
                from += 1;
            }
            &block[from..from + length]
        })
    }

    /// The tag of a value that a user tries to write into another's store, which must fail (ROLE-6). It names no
    /// session and the put before the first.
    pub(super) fn forbidden(run: u16, user: u32, key: u32) -> Self {
        Self { run, user, key, incarnation: 0, position: Position::START }
    }

    /// Whether it is such a tag.
    pub(super) fn is_forbidden(self) -> bool {
        self.position == Position::START
    }
}

fn size(hash: u64, spec: ValueSpec) -> usize {
    spec.min as usize + share(hash >> 32, u64::from(spec.max - spec.min) + 1)
}

/// Maps 32 random bits to `0..span`, without a division (Lemire 2019).
fn share(random: u64, span: u64) -> usize {
    ((random * span) >> 32) as usize
}

/// Whether this byte of UTF-8 is the first of a character.
const fn begins_character(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// The alphabet in strides of a prime, so that no two pieces are alike. Each [`WIDE_UNIT`] begins with these bytes.
#[expect(clippy::large_stack_arrays, reason = "it is made by the compiler, for a static")]
const fn filler(wide: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut i = 0;
    while i < block.len() {
        let place = i % WIDE_UNIT;
        block[i] =
            if place < wide.len() { wide[place] } else { FILLER_ALPHABET[(i * 37 + i / 64 * 11) % 64] };
        i += 1;
    }
    block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_says_where_it_comes_from(
            run in 0..=RUN_MASK, user in 0..USERS_MAX, key in 0..KEYS_MAX,
            incarnation in 0..=INCARNATION_MASK, version in 0_u32..1 << 31,
            min in 16_u32..200, more in 0_u32..65_000,
        ) {
            let tag = Tag { run, user, key, incarnation, position: Position::of_put(version) };
            let spec = ValueSpec { min, max: min + more };
            let mut value = Vec::new();
            tag.write(spec, &mut value);
            prop_assert_eq!(Tag::decode(&value), Some(tag));
            prop_assert!(tag.matches(spec, &value) && tag.fills(spec, &value));
            prop_assert_eq!(tag.size(spec), value.len());
            prop_assert!((min as usize..=(min + more) as usize).contains(&value.len()));
            let text = String::from_utf8(value).expect("a value is UTF-8");
            prop_assert!(!text.contains(|c: char| c.is_ascii_whitespace() || c.is_control()));
        }

        #[test]
        fn any_changed_byte_is_seen(at in 0_usize..64, flip in 1_u8..=255) {
            let tag = Tag { run: 5, user: 6, key: 7, incarnation: 1, position: Position::of_put(8) };
            let spec = ValueSpec { min: 64, max: 64 };
            let mut value = Vec::new();
            tag.write(spec, &mut value);
            value[at] ^= flip;
            prop_assert!(!tag.matches(spec, &value));
            prop_assert!(Tag::decode(&value) != Some(tag) || !tag.fills(spec, &value));
        }

        #[test]
        fn bytes_of_a_target_are_a_tag_or_none(bytes: Vec<u8>) {
            if let Some(tag) = Tag::decode(&bytes) {
                prop_assert_eq!(&tag.encode()[..], &bytes[..TAG_BYTES]);
            }
        }
    }

    #[test]
    fn a_value_longer_than_its_filler_shows_a_stretch_in_the_wrong_place() {
        let tag = Tag { run: 5, user: 6, key: 7, incarnation: 1, position: Position::of_put(8) };
        let bytes = TAG_BYTES + 2 * FILLER_BYTES + 100;
        let spec = ValueSpec { min: bytes as u32, max: bytes as u32 };
        let mut value = Vec::new();
        tag.write(spec, &mut value);
        assert!(value.len() == bytes && tag.matches(spec, &value));
        let (first, second) = value[TAG_BYTES..].split_at(FILLER_BYTES);
        let swapped = [&value[..TAG_BYTES], &second[..FILLER_BYTES], first, &second[FILLER_BYTES..]].concat();
        assert!(!tag.matches(spec, &swapped));
        value.push(b'x');
        assert!(!tag.matches(spec, &value) && !tag.matches(spec, &value[..bytes - 1]));
    }

    #[test]
    fn sizes_use_the_whole_range() {
        let spec = ValueSpec { min: 16, max: 19 };
        let tag =
            |version| Tag { run: 0, user: 1, key: 2, incarnation: 0, position: Position::of_put(version) };
        let sizes: std::collections::BTreeSet<usize> =
            (0..200).map(|version| tag(version).size(spec)).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [16, 17, 18, 19]);
    }

    #[test]
    fn store_4_some_values_are_not_ascii_alone_and_all_have_their_size_in_bytes() {
        let mut wide = 0;
        for version in 0..4_000_u32 {
            let bytes = 16 + version % 90;
            let tag = Tag { run: 0, user: 1, key: 2, incarnation: 0, position: Position::of_put(version) };
            let spec = ValueSpec { min: bytes, max: bytes };
            let mut value = Vec::new();
            tag.write(spec, &mut value);
            assert_eq!(value.len(), bytes as usize);
            let text = String::from_utf8(value).unwrap();
            wide += usize::from(!text.is_ascii());
            assert_eq!(text.split_ascii_whitespace().count(), 1);
        }
        assert!((600..1_000).contains(&wide), "{wide} of 4,000: a fourth, but for the shortest");
    }

    #[test]
    fn an_example_for_people() {
        let tag = Tag { run: 0xABC, user: 5, key: 7, incarnation: 1, position: Position::of_put(42) };
        assert_eq!(String::from_utf8_lossy(&tag.encode()), "Zl005001`020000Z");
    }
}
