//! What is said over the wire: the opening, then the load, with the reply that each request must have.

use crate::roles::Wire;
use crate::speech::{reply, request};

/// Keys of each client. A few, so that a reply is looked up and not merely repeated; one digit, so that every
/// request has the same size.
pub const KEYS: usize = 10;

/// The value under every key where only `get` is asked: 20 bytes, so that a reply is of the size of a short message.
pub const VALUE: &str = "abcdefghij0123456789";

/// The value of the mix: 16 bytes, as much as the harness's own smallest value, and given to redis as well.
pub const MIX_VALUE: &str = "abcdef0123456789";

/// `get` of each key. The harness names its keys in the same way, and draws them.
pub const GETS: [&str; KEYS] =
    ["get k0", "get k1", "get k2", "get k3", "get k4", "get k5", "get k6", "get k7", "get k8", "get k9"];

/// What client `number` says before the load of `get`s, with one reply for each: its name, its puts.
pub fn opening(number: usize) -> impl Iterator<Item = String> {
    std::iter::once(format!("floor-{number}")).chain((0..KEYS).map(|key| format!("put k{key} {VALUE}")))
}

/// What a generator says; over WebSocket `get`s alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Talk {
    /// `get` of an own key.
    Gets,
    /// As many `put`s as `get`s, so many in one write.
    Mix {
        /// Requests in one write; the next follow when all of them are answered.
        depth: usize,
    },
    /// The same to redis: `SET` and `GET` in its own protocol (RESP2).
    RedisMix {
        /// As above.
        depth: usize,
    },
}

/// Requests that leave in one write, and exactly what must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Bytes to send.
    pub request: Vec<u8>,
    /// Bytes to receive.
    pub reply: Vec<u8>,
}

impl Talk {
    /// Requests in one exchange.
    #[must_use]
    pub fn depth(self) -> usize {
        match self {
            Self::Gets => 1,
            Self::Mix { depth } | Self::RedisMix { depth } => depth,
        }
    }

    /// What client `number` sends before the load, each answered by one message.
    #[must_use]
    pub fn opening(self, wire: Wire, number: usize) -> Vec<Vec<u8>> {
        match self {
            Self::Gets => opening(number).map(|message| request(wire, &message)).collect(),
            Self::Mix { .. } => vec![request(wire, &format!("floor-{number}"))],
            Self::RedisMix { .. } => Vec::new(),
        }
    }

    /// The load, to be gone through again and again: in a mix, each `get` follows the `put` of its key.
    #[must_use]
    pub fn load(self, wire: Wire) -> Vec<Exchange> {
        let (Self::Mix { depth } | Self::RedisMix { depth }) = self else {
            return GETS
                .map(|get| Exchange { request: request(wire, get), reply: reply(wire, VALUE) })
                .into();
        };
        // As many exchanges as there are different requests, so that they come out even whatever the depth.
        let different = 2 * KEYS;
        let batch = |number: usize| {
            let (requests, replies): (Vec<_>, Vec<_>) =
                (number * depth..(number + 1) * depth).map(|place| self.mixed(place % different)).unzip();
            Exchange { request: requests.concat().into_bytes(), reply: replies.concat().into_bytes() }
        };
        (0..different).map(batch).collect()
    }

    /// Request and reply at this place of the mix.
    fn mixed(self, place: usize) -> (String, String) {
        let (key, is_put) = (format!("k{}", place / 2), place.is_multiple_of(2));
        let (key_bytes, value_bytes) = (key.len(), MIX_VALUE.len());
        match (self, is_put) {
            (Self::RedisMix { .. }, true) => (
                format!("*3\r\n$3\r\nSET\r\n${key_bytes}\r\n{key}\r\n${value_bytes}\r\n{MIX_VALUE}\r\n"),
                "+OK\r\n".to_owned(),
            ),
            (Self::RedisMix { .. }, false) => (
                format!("*2\r\n$3\r\nGET\r\n${key_bytes}\r\n{key}\r\n"),
                format!("${value_bytes}\r\n{MIX_VALUE}\r\n"),
            ),
            (_, true) => (format!("put {key} {MIX_VALUE}\n"), "done\n".to_owned()),
            (_, false) => (format!("get {key}\n"), format!("{MIX_VALUE}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_half_puts_and_reads_each_key_after_its_put_at_any_depth() {
        for depth in [1, 3, 32] {
            let load = Talk::Mix { depth }.load(Wire::Tcp);
            let text: String = load.iter().map(|each| String::from_utf8_lossy(&each.request)).collect();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 2 * KEYS * depth);
            for pair in lines.chunks(2) {
                let key = pair[1].strip_prefix("get ").unwrap();
                assert_eq!(pair[0], format!("put {key} {MIX_VALUE}"));
            }
            let lines_of = |each: &Exchange| each.reply.split(|&byte| byte == b'\n').count() - 1;
            assert!(load.iter().all(|each| lines_of(each) == depth));
        }
    }

    #[test]
    fn redis_is_asked_for_the_same_in_its_own_protocol() {
        let load = Talk::RedisMix { depth: 2 }.load(Wire::Tcp);
        let expected =
            "*3\r\n$3\r\nSET\r\n$2\r\nk0\r\n$16\r\nabcdef0123456789\r\n*2\r\n$3\r\nGET\r\n$2\r\nk0\r\n";
        assert_eq!(String::from_utf8_lossy(&load[0].request), expected);
        assert_eq!(load[0].reply, b"+OK\r\n$16\r\nabcdef0123456789\r\n");
    }
}
