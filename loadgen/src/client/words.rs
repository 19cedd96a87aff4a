//! The client's grammar: words → commands. Pure text; what a server makes of a command is not its business.
//!
//! Several commands may stand in a row. As `get` takes one or two words, a command ends where the next command word
//! stands. So a key that is itself a command word needs another way in: a *literal*, which is one whole message, sent
//! as it is. On the command line that is an argument with white space in it (`'get get'`), in a line of input the
//! same in quotes. A word without white space is never taken apart, and its quotes belong to it.

/// White space of the protocol.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

/// One piece of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word, without white space and not empty.
    Word(String),
    /// A whole message.
    Literal(String),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Everything but an upgrade: the message as it is sent.
    Message(String),
    /// `upgrade`, with the secret if one was given.
    Upgrade(Option<String>),
}

/// Input that makes no commands. The texts are for the user who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A command's words end too early.
    #[error("`{command}` needs {what}: {usage}{}", literal_advice(next.as_deref()))]
    Missing {
        command: &'static str,
        /// What it lacks.
        what: &'static str,
        /// How it is written.
        usage: &'static str,
        /// The command word that stands where the missing one should, if any.
        next: Option<String>,
    },
    /// White space in what should be a key or a value.
    #[error("`{word}` cannot be {what} of `{command}`: keys, values and names contain no white space")]
    Blank {
        command: &'static str,
        /// What it should have been.
        what: &'static str,
        word: String,
    },
    /// A word where a command should begin.
    #[error("`{0}` is not a command: commands begin with get, put or upgrade")]
    Unknown(String),
    /// A word too many.
    #[error("`{word}` is one word too many after `{command}`: {usage}")]
    TooMany {
        word: String,
        /// The command before it.
        command: &'static str,
        /// How that one is written.
        usage: &'static str,
    },
    #[error(
        "an empty argument cannot be sent: keys, values and names have at least one byte and no white space"
    )]
    Empty,
    /// A line end inside a message.
    #[error("a message cannot contain a line break: that is where it ends")]
    LineEnd,
}

fn literal_advice(next: Option<&str>) -> String {
    let advice = |next: &str| {
        format!(
            "; `{next}` begins the next command. To use it as a word here, quote the whole command: 'get {next}'"
        )
    };
    next.map(advice).unwrap_or_default()
}

const GET: &str = "get KEY or get USER KEY";
const PUT: &str = "put KEY VALUE";
const UPGRADE: &str = "upgrade";

fn is_command_word(word: &str) -> bool {
    matches!(word, "get" | "put" | "upgrade")
}

/// Arguments, as the shell has split them.
///
/// # Errors
/// If one can be neither word nor message.
pub fn arguments(arguments: Vec<String>) -> Result<Vec<Token>, WordsError> {
    let token = |argument: String| match argument {
        empty if empty.is_empty() => Err(WordsError::Empty),
        broken if broken.contains('\n') => Err(WordsError::LineEnd),
        literal if literal.contains(is_space) => Ok(Token::Literal(literal)),
        word => Ok(Token::Word(word)),
    };
    arguments.into_iter().map(token).collect()
}

/// A line of input. Quotes count only around white space, so that every other word is taken byte for byte.
#[must_use]
pub fn line(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (token, after) = quoted(rest).unwrap_or_else(|| {
            let (word, after) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
            (Token::Word(word.to_owned()), after)
        });
        tokens.push(token);
        rest = after.trim_start_matches(is_space);
    }
    tokens
}

/// A literal at the beginning of `text`: from a quote to the next one like it that ends a word.
fn quoted(text: &str) -> Option<(Token, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = &text[1..];
    let ends_word = |at: &usize| inside[at + 1..].chars().next().is_none_or(is_space);
    let end = inside.match_indices(quote).map(|(at, _)| at).find(ends_word)?;
    // A line that was recalled or quoted may hold line ends; they part words, and end no message early.
    let whole = inside[..end].contains(is_space) && !inside[..end].contains('\n');
    let literal = whole.then(|| inside[..end].to_owned())?;
    Some((Token::Literal(literal), &inside[end + 1..]))
}

/// Tokens → commands, in their order.
///
/// # Errors
/// At the first word that does not fit; then none of the commands should be sent.
pub fn commands(tokens: Vec<Token>) -> Result<Vec<Command>, WordsError> {
    let mut commands = Vec::new();
    let mut last: Option<(&'static str, &'static str)> = None;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let word = match token {
            Token::Literal(message) => {
                commands.push(Command::Message(message));
                last = None;
                continue;
            }
            Token::Word(word) => word,
        };
        let operand = || match tokens.peek()? {
            Token::Word(word) if !is_command_word(word) => tokens.next().map(Token::into_text),
            _ => None,
        };
        let operands: Vec<String> = std::iter::from_fn(operand).take(2).collect();
        let missing = |command, what: &'static str, usage, next: Option<&Token>| match next {
            Some(Token::Literal(word)) => {
                // The first of what is missing stands there.
                let what = what.split(" and ").next().unwrap_or(what);
                WordsError::Blank { command, what, word: word.clone() }
            }
            Some(Token::Word(next)) if is_command_word(next) => {
                WordsError::Missing { command, what, usage, next: Some(next.clone()) }
            }
            _ => WordsError::Missing { command, what, usage, next: None },
        };
        let (command, form) = match (word.as_str(), operands.as_slice()) {
            ("get", []) => return Err(missing("get", "a key", GET, tokens.peek())),
            ("put", []) => return Err(missing("put", "a key and a value", PUT, tokens.peek())),
            ("put", [_]) => return Err(missing("put", "a value", PUT, tokens.peek())),
            ("get", [key]) => (Command::Message(format!("get {key}")), ("get", GET)),
            ("get", [user, key]) => (Command::Message(format!("get {user} {key}")), ("get", GET)),
            ("put", [key, value]) => (Command::Message(format!("put {key} {value}")), ("put", PUT)),
            ("upgrade", []) => (Command::Upgrade(None), ("upgrade", UPGRADE)),
            ("upgrade", [secret]) => (Command::Upgrade(Some(secret.clone())), ("upgrade", UPGRADE)),
            ("upgrade", [_, word, ..]) => {
                return Err(WordsError::TooMany { word: word.clone(), command: "upgrade", usage: UPGRADE });
            }
            _ => {
                return Err(match last {
                    Some((command, usage)) => WordsError::TooMany { word, command, usage },
                    None => WordsError::Unknown(word),
                });
            }
        };
        commands.push(command);
        last = Some(form);
    }
    Ok(commands)
}

/// Whether a line may show a secret, which must not be kept in a history: an upgrade with more than itself.
#[must_use]
pub fn may_hold_secret(line: &str) -> bool {
    let mut words = line.split(is_space).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_start_matches(['\'', '"']) == "upgrade";
        if bare && words.peek().is_some_and(|next| !is_command_word(next)) {
            return true;
        }
    }
    false
}

impl Token {
    fn into_text(self) -> String {
        match self {
            Self::Word(text) | Self::Literal(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> Command {
        Command::Message(text.to_owned())
    }

    fn of_line(text: &str) -> Result<Vec<Command>, WordsError> {
        commands(line(text))
    }

    fn of_arguments(words: &[&str]) -> Result<Vec<Command>, WordsError> {
        commands(arguments(words.iter().map(|&word| word.to_owned()).collect())?)
    }

    #[test]
    fn a_command_ends_where_the_next_command_word_stands() {
        let all = [message("put a 1"), message("get a"), message("get u a"), Command::Upgrade(None)];
        assert_eq!(of_line("put a 1 get a get u a upgrade").unwrap(), all);
        assert_eq!(of_arguments(&["put", "a", "1", "get", "a", "get", "u", "a", "upgrade"]).unwrap(), all);
    }

    #[test]
    fn white_space_in_an_argument_or_in_quotes_makes_a_literal() {
        assert_eq!(of_arguments(&["get get", "get", "a"]).unwrap(), [message("get get"), message("get a")]);
        assert_eq!(
            of_line("get a 'get get' \"put upgrade  it's\"").unwrap(),
            [message("get a"), message("get get"), message("put upgrade  it's")]
        );
        assert_eq!(
            of_line("put a \"x\" put 'b' y'").unwrap(),
            [message("put a \"x\""), message("put 'b' y'")]
        );
    }

    #[test]
    fn what_is_missing_is_said_with_the_way_out() {
        let text = |line| of_line(line).unwrap_err().to_string();
        assert_eq!(text("put a"), "`put` needs a value: put KEY VALUE");
        assert_eq!(text("put"), "`put` needs a key and a value: put KEY VALUE");
        assert_eq!(
            text("get upgrade"),
            "`get` needs a key: get KEY or get USER KEY; `upgrade` begins the next command. To use it as a word \
             here, quote the whole command: 'get upgrade'"
        );
        assert_eq!(text("frob a"), "`frob` is not a command: commands begin with get, put or upgrade");
        assert_eq!(text("get a b c"), "`c` is one word too many after `get`: get KEY or get USER KEY");
        assert_eq!(text("put a b c"), "`c` is one word too many after `put`: put KEY VALUE");
        assert_eq!(text("upgrade a b"), "`b` is one word too many after `upgrade`: upgrade");
    }

    #[test]
    fn white_space_in_a_key_or_a_value_is_called_that() {
        let text = |words: &[&str]| of_arguments(words).unwrap_err().to_string();
        let why = "keys, values and names contain no white space";
        assert_eq!(text(&["put", "a", "x y"]), format!("`x y` cannot be a value of `put`: {why}"));
        assert_eq!(text(&["put", "x y", "1"]), format!("`x y` cannot be a key of `put`: {why}"));
        assert_eq!(text(&["get", "x y"]), format!("`x y` cannot be a key of `get`: {why}"));
        let typed = of_line("put a 'x y'").unwrap_err().to_string();
        assert_eq!(typed, format!("`x y` cannot be a value of `put`: {why}"));
    }

    #[test]
    fn a_line_end_in_a_line_parts_words_and_is_in_no_message() {
        assert_eq!(of_line("put a 1\nget a").unwrap(), [message("put a 1"), message("get a")]);
        assert!(of_line("'get a\nget b'").is_err());
    }

    #[test]
    fn arguments_that_no_message_can_carry_are_refused() {
        assert_eq!(of_arguments(&["get", ""]), Err(WordsError::Empty));
        assert_eq!(of_arguments(&["get a\nq"]), Err(WordsError::LineEnd));
    }

    #[test]
    fn an_upgrade_with_a_word_is_kept_out_of_the_history() {
        for secret in
            ["upgrade s", "get a upgrade s", "upgrade s get a", "'upgrade s'", "\"upgrade s\"", "upgrade 's"]
        {
            assert!(may_hold_secret(secret), "{secret}");
        }
        for plain in ["upgrade", "upgrade get a", "get upgrades", "put a upgraded", ""] {
            assert!(!may_hold_secret(plain), "{plain}");
        }
    }

    fn word() -> impl Strategy<Value = String> {
        "[^ \t\n\x0c\r'\"][^ \t\n\x0c\r]{0,8}"
            .prop_filter("no command word", |word| !["get", "put", "upgrade"].contains(&word.as_str()))
    }

    fn command() -> impl Strategy<Value = String> {
        prop_oneof![
            word().prop_map(|key| format!("get {key}")),
            (word(), word()).prop_map(|(user, key)| format!("get {user} {key}")),
            (word(), word()).prop_map(|(key, value)| format!("put {key} {value}")),
        ]
    }

    proptest! {
        #[test]
        fn commands_in_a_row_come_back_as_they_were(all in prop::collection::vec(command(), 0..8)) {
            let expected: Vec<_> = all.iter().map(|text| message(text)).collect();
            prop_assert_eq!(of_line(&all.join(" ")).unwrap(), expected.clone());
            let words: Vec<_> = all.iter().flat_map(|text| text.split(' ')).collect();
            prop_assert_eq!(of_arguments(&words).unwrap(), expected.clone());
            let literals: Vec<_> = all.iter().map(String::as_str).collect();
            prop_assert_eq!(of_arguments(&literals).unwrap(), expected);
        }

        #[test]
        fn no_input_panics_and_no_command_holds_a_line_end(text in "\\PC*|[ '\"a-z\n\t]{0,40}") {
            for command in of_line(&text.replace('\n', " ")).unwrap_or_default() {
                let (Command::Message(text) | Command::Upgrade(Some(text))) = command else { continue };
                prop_assert!(!text.contains('\n') && !text.is_empty());
            }
            let _ = may_hold_secret(&text);
        }
    }
}
