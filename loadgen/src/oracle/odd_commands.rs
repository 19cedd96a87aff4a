//! Commands that no client would write: malformed ones, and well-formed ones that a careless server takes for
//! malformed.

use super::texts;
use crate::domain::Rule;

/// A command that no client would write, the reply that is due, and the rule that says so.
pub(super) struct OddCommand {
    pub(super) text: &'static str,
    pub(super) due: &'static str,
    pub(super) rule: Rule,
}

const fn malformed(text: &'static str) -> OddCommand {
    OddCommand { text, due: texts::WRONG_FORMAT, rule: Rule::Form1 }
}

/// Malformed commands, and well-formed ones that a careless server takes for malformed or for other commands.
const ODD: [OddCommand; 16] = [
    malformed(""),
    malformed(" \t "),
    malformed("frobnicate"),
    malformed("put k0"),
    malformed("put k0 a b"),
    malformed("get"),
    malformed("get a b c"),
    malformed("upgrade a b"),
    malformed("q now"),
    malformed("exit"),
    // Commands are lower case. Only ASCII white space separates words; white space around words does not count.
    OddCommand { text: "PUT k0 v", due: texts::WRONG_FORMAT, rule: Rule::Form2 },
    OddCommand { text: "Get k0", due: texts::WRONG_FORMAT, rule: Rule::Form2 },
    OddCommand { text: "Q", due: texts::WRONG_FORMAT, rule: Rule::Form2 },
    OddCommand { text: "  get \t m1  ", due: texts::KEY_NOT_FOUND, rule: Rule::Form2 },
    OddCommand { text: "get m1\u{a0}m2", due: texts::KEY_NOT_FOUND, rule: Rule::Form2 },
    OddCommand { text: "get M1\u{e9}", due: texts::KEY_NOT_FOUND, rule: Rule::Store2 },
];

/// How many odd commands there are.
pub const ODD_COMMANDS: u8 = ODD.len() as u8;

/// The odd command of this number, modulo their count.
pub(super) fn odd(which: u8) -> &'static OddCommand {
    &ODD[usize::from(which) % ODD.len()]
}

/// Whether it must be answered `wrong message format`.
pub(super) fn is_malformed(which: u8) -> bool {
    odd(which).due == texts::WRONG_FORMAT
}
