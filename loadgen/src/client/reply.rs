//! What a reply means to the person or script that asked, and how it is shown. Whether it was the right one is the
//! oracle's business.

use crate::oracle::texts;
use crate::text;

/// The kinds of replies. Values have no white space, so no value reads like a text of two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    /// It was done.
    Done,
    /// A value, or a text that is not one of the protocol's.
    Value,
    /// There is no such key or user, which is an answer.
    NotFound,
    /// It was not done.
    Refused,
    /// The server has ended the session by itself.
    Ended,
}

#[must_use]
pub fn kind(text: &str) -> ReplyKind {
    match text {
        texts::DONE | texts::SUCCESS | texts::UPGRADED | texts::ALREADY_MANAGER | texts::EXITING => {
            ReplyKind::Done
        }
        texts::KEY_NOT_FOUND | texts::USER_NOT_FOUND => ReplyKind::NotFound,
        texts::DENIED
        | texts::WRONG_FORMAT
        | texts::STORE_FULL
        | texts::UPGRADE_REFUSED
        | texts::SERVER_FULL
        | texts::MESSAGE_TOO_LONG
        | texts::DUPLICATE_USER_NAME => ReplyKind::Refused,
        texts::IDLE_TIMEOUT | texts::LOGIN_TIMEOUT => ReplyKind::Ended,
        _ => ReplyKind::Value,
    }
}

/// How replies are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyStyle {
    pub colour: bool,
    /// On a terminal, which a server's text must not drive.
    pub terminal: bool,
}

impl ReplyStyle {
    /// One reply as one line, without its end.
    #[must_use]
    pub fn show(self, text: &str) -> String {
        let escaped = self.escape(text);
        let code = match kind(text) {
            ReplyKind::Done => "32",
            ReplyKind::NotFound => "33",
            ReplyKind::Refused | ReplyKind::Ended => "31",
            ReplyKind::Value => return escaped,
        };
        if self.colour { format!("\x1b[{code}m{escaped}\x1b[0m") } else { escaped }
    }

    /// Line ends are always escaped, as one reply is one line; what else a terminal would obey, on a terminal only.
    fn escape(self, text: &str) -> String {
        if self.terminal { text::printable(text) } else { text.replace('\n', "\\n").replace('\r', "\\r") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_and_does_not_drive_the_terminal() {
        let terminal = ReplyStyle { colour: false, terminal: true };
        assert_eq!(terminal.show("a\x1b[2J\u{9b}1m\r\n\u{7f}é"), "a\\u{1b}[2J\\u{9b}1m\\r\\n\\u{7f}é");
        let pipe = ReplyStyle { colour: false, terminal: false };
        assert_eq!(pipe.show("a\x1b\tb\n"), "a\x1b\tb\\n");
    }

    #[test]
    fn colours_tell_done_absent_and_refused() {
        let style = ReplyStyle { colour: true, terminal: true };
        assert_eq!(style.show("done"), "\x1b[32mdone\x1b[0m");
        assert_eq!(style.show("user not found"), "\x1b[33muser not found\x1b[0m");
        assert_eq!(style.show("store full"), "\x1b[31mstore full\x1b[0m");
        assert_eq!(style.show("some-value"), "some-value");
    }
}
