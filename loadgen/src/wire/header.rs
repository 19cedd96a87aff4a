//! Headers that the user adds to a WebSocket handshake, for a proxy between client and server, say.

use std::ffi::OsString;
use std::fmt;

use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

/// Headers that the handshake itself sets, or that would announce a body.
const OURS: [&str; 5] = ["host", "connection", "upgrade", "content-length", "transfer-encoding"];

/// The prefix of the other headers that the handshake sets.
const OURS_BEGIN: &str = "sec-websocket-";

/// A header, whose value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

/// What is wrong with a header. The message never holds its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("--header: write NAME=VALUE, or NAME=@VARIABLE to take the value from the environment")]
    Form,
    #[error("--header {0}: the handshake itself sets this header")]
    Ours(String),
    #[error("--header {0}: the value has a line end or another character that cannot stand in a header")]
    Value(String),
    #[error("--header {0}: `{1}` is not set in the environment, or is empty")]
    Unset(String, String),
}

impl Header {
    /// From `NAME=VALUE`, or from `NAME=@VARIABLE`, which `variable` looks up. An empty variable counts as not set.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HeaderError> {
        let (name, value) = text.split_once('=').ok_or(HeaderError::Form)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Form)?;
        if OURS.contains(&name.as_str()) || name.as_str().starts_with(OURS_BEGIN) {
            return Err(HeaderError::Ours(name.to_string()));
        }
        let value = match value.strip_prefix('@') {
            None => value.to_owned(),
            Some(from) => {
                let set = variable(from).filter(|value| !value.is_empty());
                let set = set.ok_or_else(|| HeaderError::Unset(name.to_string(), from.to_owned()))?;
                set.into_string().map_err(|_| HeaderError::Value(name.to_string()))?
            }
        };
        let wrong = |_| HeaderError::Value(name.to_string());
        let mut value = HeaderValue::from_str(&value).map_err(wrong)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// Basic credentials (RFC 7617).
    pub(super) fn credentials(value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self { name: HeaderName::from_static("authorization"), value })
    }

    /// Whether both have the same name.
    pub fn has_same_name(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Appends its line.
    pub(crate) fn write(&self, head: &mut Vec<u8>) {
        for part in [self.name.as_str().as_bytes(), b": ", self.value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, HeaderError> {
        Header::parse(text, |name| match name {
            "TOKEN" => Some("hunter22".into()),
            "EMPTY" => Some("".into()),
            "LINES" => Some("a\r\nX: hunter22".into()),
            _ => None,
        })
    }

    fn line(text: &str) -> String {
        let mut head = Vec::new();
        parse(text).unwrap().write(&mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_value_stands_there_or_in_the_environment() {
        assert_eq!(line("X-Key=a=b c"), "x-key: a=b c\r\n");
        assert_eq!(line("X-Key=@TOKEN"), "x-key: hunter22\r\n");
        assert_eq!(line("X-Key="), "x-key: \r\n");
        assert!(!format!("{:?}", parse("X-Key=@TOKEN").unwrap()).contains("hunter22"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        let error = |text: &str| parse(text).unwrap_err();
        for text in ["hunter22", "=hunter22", "X Y=hunter22", "é=hunter22", ""] {
            assert_eq!(error(text), HeaderError::Form, "{text}");
        }
        for name in ["Host", "connection", "UPGRADE", "Sec-WebSocket-Key", "Content-Length"] {
            assert_eq!(error(&format!("{name}=hunter22")), HeaderError::Ours(name.to_lowercase()));
        }
        for text in ["X=hunter22\n", "X=hunter22\r\nY: z", "X=hunter22\u{7f}", "X=@LINES"] {
            assert_eq!(error(text), HeaderError::Value("x".to_owned()), "{text:?}");
        }
        for variable in ["EMPTY", "NONE", ""] {
            assert_eq!(
                error(&format!("X=@{variable}")),
                HeaderError::Unset("x".to_owned(), variable.to_owned())
            );
        }
    }
}
