//! From a message's text to a request. Knows only forms, not roles, policies or sessions.

use super::NAME_BYTES_MAX;

/// A message that has the form of a request. The words are borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// `put KEY VALUE`
    Put {
        /// Where to store it.
        key: &'a str,
        /// What to store.
        value: &'a str,
    },
    /// `get KEY`
    Get {
        /// The key in the session's own store.
        key: &'a str,
    },
    /// `get USER KEY`
    GetOf {
        /// The owner of the store, who may be the session's own user.
        user: &'a str,
        /// The key in that store.
        key: &'a str,
    },
    /// `upgrade` or `upgrade SECRET`. Whether the second form is valid depends on the policy (ROLE-8).
    Upgrade {
        /// The second word, if there is one.
        secret: Option<&'a str>,
    },
    /// `q`
    Quit,
}

/// The message does not have the form of any request (FORM-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a request: expected put KEY VALUE, get KEY, get USER KEY, upgrade or q")]
pub struct Malformed;

impl<'a> Request<'a> {
    /// Parses one request. White space around and between words does not count (FORM-2).
    pub fn parse(message: &'a str) -> Result<Self, Malformed> {
        if let Some(request) = Self::parse_plain(message) {
            return Ok(request);
        }
        // ASCII white space is exactly the protocol's: space, tab, LF, FF, CR.
        let mut words = message.split_ascii_whitespace();
        let command = words.next().ok_or(Malformed)?;
        // The longest form has three words, so the fourth detects every wrong count.
        match (command, words.next(), words.next(), words.next()) {
            ("get", Some(key), None, _) => Ok(Self::Get { key }),
            ("put", Some(key), Some(value), None) => Ok(Self::Put { key, value }),
            ("get", Some(user), Some(key), None) => Ok(Self::GetOf { user, key }),
            ("upgrade", secret, None, _) => Ok(Self::Upgrade { secret }),
            ("q", None, _, _) => Ok(Self::Quit),
            _ => Err(Malformed),
        }
    }

    /// The commonest requests as nearly every client sends them, with one space between words and none around them.
    /// Anything else is left to [`Self::parse`], which takes twice the instructions.
    fn parse_plain(message: &'a str) -> Option<Self> {
        let (command, words) = message.split_at_checked(4)?;
        let (first, second) = match words.bytes().position(|byte| byte == b' ') {
            Some(space) => (words.get(..space)?, words.get(space + 1..)),
            None => (words, None),
        };
        if !is_word(first) || !second.is_none_or(is_word) {
            return None;
        }
        match (command, second) {
            ("get ", None) => Some(Self::Get { key: first }),
            ("put ", Some(value)) => Some(Self::Put { key: first, value }),
            ("get ", Some(key)) => Some(Self::GetOf { user: first, key }),
            _ => None,
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte.is_ascii_whitespace())
}

/// Parses a login message: exactly one word of at most [`NAME_BYTES_MAX`] bytes (LOGIN-1, LOGIN-3).
pub(crate) fn parse_name(message: &str) -> Result<&str, Malformed> {
    let mut words = message.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(name), None) if name.len() <= NAME_BYTES_MAX => Ok(name),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn store_1_put_and_get_are_read() {
        assert_eq!(Request::parse("put a b"), Ok(Request::Put { key: "a", value: "b" }));
        assert_eq!(Request::parse("get a"), Ok(Request::Get { key: "a" }));
        assert_eq!(Request::parse("get bob a"), Ok(Request::GetOf { user: "bob", key: "a" }));
    }

    #[test]
    fn form_1_wrong_counts_and_unknown_commands_are_malformed() {
        for message in [
            "",
            " ",
            "\t\r\n",
            "put",
            "put a",
            "put a b c",
            "get",
            "get a b c",
            "upgrade a b",
            "q q",
            "x",
            "quit",
        ] {
            assert_eq!(Request::parse(message), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn form_2_commands_are_lower_case_and_white_space_does_not_count() {
        assert_eq!(Request::parse("PUT a b"), Err(Malformed));
        assert_eq!(Request::parse("Q"), Err(Malformed));
        assert_eq!(Request::parse("\t put \x0c a \r b \n"), Ok(Request::Put { key: "a", value: "b" }));
        // Vertical tab and no-break space are not white space here: they belong to the word.
        assert_eq!(Request::parse("get a\x0bb"), Ok(Request::Get { key: "a\x0bb" }));
        assert_eq!(Request::parse("get a\u{a0}b"), Ok(Request::Get { key: "a\u{a0}b" }));
    }

    proptest! {
        #[test]
        fn form_2_a_short_way_of_reading_the_usual_form_gives_what_the_long_one_does(
            message in "(get|put|gett|GET|pu|q|\\PC{0,3})([ \t\r\u{b}]{0,2}[a-cé]{0,3}){0,4}[ \n]?"
        ) {
            if let Some(request) = Request::parse_plain(&message) {
                // The only difference is the white space in front, which the short way does not take.
                let spaced = format!(" {message}");
                prop_assert_eq!(Request::parse(&spaced), Ok(request));
            }
        }
    }

    #[test]
    fn role_8_an_upgrade_carries_at_most_one_word() {
        assert_eq!(Request::parse("upgrade"), Ok(Request::Upgrade { secret: None }));
        assert_eq!(Request::parse("upgrade s"), Ok(Request::Upgrade { secret: Some("s") }));
    }

    #[test]
    fn login_1_a_name_is_one_word_of_up_to_64_bytes() {
        assert_eq!(parse_name(" alice "), Ok("alice"));
        assert_eq!(parse_name(&"n".repeat(64)), Ok("n".repeat(64).as_str()));
        assert_eq!(parse_name(&"é".repeat(32)), Ok("é".repeat(32).as_str()));
        for bad in ["", " ", "a b", &"n".repeat(65), &"é".repeat(33)] {
            assert_eq!(parse_name(bad), Err(Malformed), "{bad:?}");
        }
    }
}
