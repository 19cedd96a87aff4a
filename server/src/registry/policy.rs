//! The policy by which a guest becomes a manager (ROLE-8). The session decides what to reply.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

/// The server's policy for `upgrade`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// Every client that asks becomes a manager.
    Open,
    /// A client that knows the secret does.
    Secret(Secret),
    /// No client does.
    Closed,
}

/// The word that makes a client a manager. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret from its text, without the white space around it; `None` unless it is exactly one word, since no client
    /// could send anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let word = words.next()?;
        words.next().is_none().then(|| Self(word.into()))
    }

    /// Whether `word` is the secret, in a time that does not depend on how much of it is right.
    #[must_use]
    pub fn matches(&self, word: &str) -> bool {
        // Runs over the tried word, whose length the client knows anyway, and never stops early: the secret's own
        // length does not show either.
        let secret = self.0.as_bytes();
        let same_bytes = word
            .bytes()
            .zip(secret.iter().cycle())
            .fold(Choice::from(1), |same, (tried, expected)| same & tried.ct_eq(expected));
        (same_bytes & secret.len().ct_eq(&word.len())).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_8_only_the_whole_secret_matches() {
        let secret = Secret::new(" open-sesame\n").unwrap();
        assert!(secret.matches("open-sesame"));
        for wrong in ["", "o", "open-sesam", "open-sesameo", "Open-sesame", "open-sesameopen-sesame"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn role_8_a_secret_is_one_word_and_is_never_shown() {
        assert_eq!(Secret::new(""), None);
        assert_eq!(Secret::new("two words"), None);
        assert_eq!(format!("{:?}", Secret::new("x").unwrap()), "Secret(…)");
    }
}
