//! Six-bit digits and their letters, eight at a time in one word: no table, no branch, no loop.
//!
//! The letters are the 64 characters from `0` to `o`. They are printable and consecutive, so a digit becomes its letter
//! by one addition.

/// A one in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The letter of digit 0, in each byte.
const ZEROS: u64 = ONES * b'0' as u64;

/// Splits 48 bits into eight digits, the highest first.
pub(super) const fn spread(bits: u64) -> u64 {
    let bits = (bits << 8 & 0x00FF_FFFF_0000_0000) | (bits & 0x0000_0000_00FF_FFFF);
    let bits = (bits << 4 & 0x0FFF_0000_0FFF_0000) | (bits & 0x0000_0FFF_0000_0FFF);
    (bits << 2 & 0x3F00_3F00_3F00_3F00) | (bits & 0x003F_003F_003F_003F)
}

/// The opposite of [`spread`].
pub(super) const fn gather(digits: u64) -> u64 {
    let bits = (digits >> 2 & 0x0FC0_0FC0_0FC0_0FC0) | (digits & 0x003F_003F_003F_003F);
    let bits = (bits >> 4 & 0x00FF_F000_00FF_F000) | (bits & 0x0000_0FFF_0000_0FFF);
    (bits >> 8 & 0x0000_FFFF_FF00_0000) | (bits & 0x00FF_FFFF)
}

/// The letter of each digit.
pub(super) const fn letters(digits: u64) -> u64 {
    digits + ZEROS
}

/// The digit of each letter; `None` where a byte is not a letter.
pub(super) const fn read(letters: u64) -> Option<u64> {
    // The lowest byte that is not a letter gets no borrow from below, so it shows in the bits above its digit.
    let digits = letters.wrapping_sub(ZEROS);
    if digits & !(ONES * 63) == 0 { Some(digits) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALPHABET: &[u8; 64] = br"0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmno";

    proptest! {
        #[test]
        fn digits_go_there_and_back(bits in 0_u64..1 << 48) {
            let digits = spread(bits);
            prop_assert_eq!(gather(digits), bits);
            let letters = letters(digits);
            prop_assert_eq!(read(letters), Some(digits));
            for (place, letter) in letters.to_be_bytes().into_iter().enumerate() {
                prop_assert_eq!(letter, ALPHABET[(bits >> (42 - 6 * place) & 63) as usize]);
            }
        }

        #[test]
        fn one_wrong_byte_is_enough(bits in 0_u64..1 << 48, place in 0_usize..8, byte: u8) {
            let mut bytes = letters(spread(bits)).to_be_bytes();
            bytes[place] = byte;
            prop_assert_eq!(read(u64::from_be_bytes(bytes)).is_some(), ALPHABET.contains(&byte));
        }

        #[test]
        fn any_bytes_are_letters_or_none(bytes: [u8; 8]) {
            let are_letters = bytes.iter().all(|byte| ALPHABET.contains(byte));
            prop_assert_eq!(read(u64::from_be_bytes(bytes)).is_some(), are_letters);
        }
    }
}
