//! One client's state and its replies: a name, a role, one slot, and another for the key `role`, which loads sometimes
//! put.

/// The reply to a message, and whether the connection ends with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) text: &'a [u8],
    pub(super) last: bool,
}

/// What is known of one client.
#[derive(Debug, Default)]
pub(super) struct Client {
    named: bool,
    manager: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    /// The value of the key `role`, if any.
    role: Vec<u8>,
}

/// Longest name, in bytes (LOGIN-1).
const NAME_BYTES_MAX: usize = 64;

impl Client {
    /// Answers one message.
    pub(super) fn answer(&mut self, message: &[u8]) -> Reply<'_> {
        let mut words = message.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        // One more than any command has, so that a superfluous one is seen.
        let words: [Option<&[u8]>; 4] = std::array::from_fn(|_| words.next());
        let text: &[u8] = match words {
            [Some(name), None, ..] if !self.named && name.len() <= NAME_BYTES_MAX => {
                self.named = true;
                b"success"
            }
            _ if !self.named => b"wrong message format",
            [Some(b"get"), Some(key), None, _] if key == self.key => &self.value,
            [Some(b"get"), Some(b"role"), None, _] if !self.role.is_empty() => &self.role,
            [Some(b"get"), Some(_), None, _] => b"key not found",
            [Some(b"put"), Some(b"role"), Some(role), None] => {
                replace(&mut self.role, role);
                b"done"
            }
            [Some(b"put"), Some(key), Some(value), None] => {
                replace(&mut self.key, key);
                replace(&mut self.value, value);
                b"done"
            }
            [Some(b"get"), Some(_), Some(_), None] if self.manager => b"key not found",
            [Some(b"get"), Some(_), Some(_), None] => b"you are not allowed to access keys of other users",
            [Some(b"upgrade"), None, ..] if self.manager => b"already a manager",
            [Some(b"upgrade"), None, ..] => {
                self.manager = true;
                b"upgraded to manager"
            }
            [Some(b"q"), None, ..] => return Reply { text: b"exiting", last: true },
            _ => b"wrong message format",
        };
        Reply { text, last: false }
    }
}

/// Keeps the memory, so that values of one size cost no allocation.
fn replace(old: &mut Vec<u8>, new: &[u8]) {
    old.clear();
    old.extend_from_slice(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies to these messages, up to the one that ends the connection.
    fn replies(messages: &[&str]) -> Vec<String> {
        let mut client = Client::default();
        let mut replies = Vec::new();
        for message in messages {
            let answer = client.answer(message.as_bytes());
            replies.push(String::from_utf8(answer.text.to_vec()).unwrap());
            if answer.last {
                break;
            }
        }
        replies
    }

    #[test]
    fn a_client_of_one_key_gets_what_the_protocol_says() {
        let messages = ["a b", "alice", "get k0", "put k0 v1", "get k0", "put k0 v2", " get  k0\r", "get k1"];
        let expected =
            ["wrong message format", "success", "key not found", "done", "v1", "done", "v2", "key not found"];
        assert_eq!(replies(&messages), expected);
    }

    #[test]
    fn names_have_1_to_64_bytes() {
        let (longest, too_long) = ("n".repeat(64), "n".repeat(65));
        assert_eq!(
            replies(&["", &too_long, &longest]),
            ["wrong message format", "wrong message format", "success"]
        );
    }

    #[test]
    fn guests_are_denied_and_upgrade_once() {
        let denied = "you are not allowed to access keys of other users";
        let messages = ["alice", "get bob k0", "upgrade", "upgrade", "get bob k0", "upgrade now"];
        let expected = [
            "success",
            denied,
            "upgraded to manager",
            "already a manager",
            "key not found",
            "wrong message format",
        ];
        assert_eq!(replies(&messages), expected);
    }

    #[test]
    fn malformed_commands_are_refused_and_nothing_follows_q() {
        let messages = ["q", "", "put k", "put k v w", "get", "get a b c", "PUT k v", "q now", "q", "get k"];
        let mut expected = vec!["success"];
        expected.extend(["wrong message format"; 7]);
        expected.push("exiting");
        assert_eq!(replies(&messages), expected, "before the login `q` is a name");
    }
}
