//! Addresses and peers' texts made fit to show: printable, and without the secrets that a URL may hold.

use crate::text;

/// Most characters shown of a peer's text.
const CHARS_MAX: usize = 200;

/// A peer's text in one printable line, cut if it is long.
pub(super) fn printable(text: &str) -> String {
    text::cut(text, CHARS_MAX)
}

/// A URL that a peer sent, printable and without credentials, query and fragment.
pub(super) fn redact_url(url: &str) -> String {
    let (mut rest, cut) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], "?…"),
        None => (url, ""),
    };
    let mut shown = String::new();
    if let Some(at) = rest.find("//") {
        let (scheme, after) = rest.split_at(at + 2);
        let authority = after.split('/').next().unwrap_or_default();
        shown.push_str(scheme);
        rest = authority.rfind('@').map_or(after, |at| &after[at + 1..]);
    }
    printable(&(shown + rest + cut))
}

/// A text that is not an address, for the error about it. If it may hold a secret, only its scheme is shown.
pub fn redact_input(text: &str) -> String {
    if !text.contains(['@', '?', '#']) {
        return printable(text);
    }
    let is_scheme = |scheme: &&str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
    scheme.map_or_else(|| "…".to_owned(), |scheme| format!("{scheme}://…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_drives_no_terminal() {
        assert_eq!(printable("a \"b\" c\\d é"), "a \"b\" c\\d é");
        assert_eq!(printable("\u{1b}[2J\n\u{202e}\u{9b}"), "\\u{1b}[2J\\n\\u{202e}\\u{9b}");
        assert_eq!(printable(&"x".repeat(1_000)), "x".repeat(CHARS_MAX) + "…");
    }

    #[test]
    fn a_reference_is_shown_without_credentials_and_query() {
        for (url, shown) in [
            ("ws://kv.test/door", "ws://kv.test/door"),
            ("ws://ann:hunter22@kv.test:1/a@b?key=hunter22", "ws://kv.test:1/a@b?…"),
            ("//ann:hunter22@kv.test", "//kv.test"),
            ("/login?key=hunter22", "/login?…"),
            ("/x#hunter22", "/x?…"),
            ("ws://a@hunter22@kv.test/", "ws://kv.test/"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_shown_only_where_it_can_hold_no_secret() {
        assert_eq!(redact_input("localhost"), "localhost");
        for text in ["ws://ann:hun?ter22@h", "ws://h/?m=a@hunter22", "ws://a:hunter22@h:x/"] {
            assert_eq!(redact_input(text), "ws://…");
        }
        assert_eq!(redact_input("ann:hunter22@h:1"), "…");
        assert_eq!(redact_input("hunter22://x@y"), "hunter22://…", "a scheme is no secret");
    }
}
