//! What the generators ask, and what must come back.

use serde::{Deserialize, Serialize};

use crate::wire::{Wire, reply, request};

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

/// What client `number` sends before the load of `get`s, each answered by one message: its name, its puts.
pub fn preload(number: usize) -> impl Iterator<Item = String> {
    std::iter::once(format!("floor-{number}")).chain((0..KEYS).map(|key| format!("put k{key} {VALUE}")))
}

/// What a generator asks; `get`s alone by the one for WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// `get` of an own key.
    Gets,
    /// As many `put`s as `get`s, `depth` of them in one write. The next ones follow when all of them are answered.
    Mix { depth: usize },
    /// The same to redis: `SET` and `GET` in its own protocol (RESP2).
    RedisMix { depth: usize },
}

/// Requests that leave in one write, and exactly what must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub reply: Vec<u8>,
}

impl Load {
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
            Self::Gets => preload(number).map(|message| request(wire, &message)).collect(),
            Self::Mix { .. } => vec![request(wire, &format!("floor-{number}"))],
            Self::RedisMix { .. } => Vec::new(),
        }
    }

    /// The exchanges, to be repeated: in a mix, each `get` follows the `put` of its key.
    #[must_use]
    pub fn exchanges(self, wire: Wire) -> Vec<Exchange> {
        let depth = match self {
            Self::Gets => {
                let exchange = |get| Exchange { request: request(wire, get), reply: reply(wire, VALUE) };
                return GETS.map(exchange).into();
            }
            Self::Mix { depth } | Self::RedisMix { depth } => depth,
        };
        // As many exchanges as there are different requests, so that they come out even at any depth.
        let different = 2 * KEYS;
        let exchange = |number: usize| {
            let (requests, replies): (Vec<_>, Vec<_>) =
                (number * depth..(number + 1) * depth).map(|place| self.mixed(place % different)).unzip();
            Exchange { request: requests.concat().into_bytes(), reply: replies.concat().into_bytes() }
        };
        (0..different).map(exchange).collect()
    }

    /// Request and reply at this place of the mix.
    fn mixed(self, place: usize) -> (String, String) {
        let (key, value) = (format!("k{}", place / 2), MIX_VALUE);
        // A string of RESP2.
        let string = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        match (self, place.is_multiple_of(2)) {
            (Self::RedisMix { .. }, true) => {
                (format!("*3\r\n{}{}{}", string("SET"), string(&key), string(value)), "+OK\r\n".to_owned())
            }
            (Self::RedisMix { .. }, false) => {
                (format!("*2\r\n{}{}", string("GET"), string(&key)), string(value))
            }
            (_, true) => (format!("put {key} {value}\n"), "done\n".to_owned()),
            (_, false) => (format!("get {key}\n"), format!("{value}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_half_puts_and_reads_each_key_after_its_put_at_any_depth() {
        for depth in [1, 3, 32] {
            let exchanges = Load::Mix { depth }.exchanges(Wire::Tcp);
            let text: String = exchanges.iter().map(|each| String::from_utf8_lossy(&each.request)).collect();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 2 * KEYS * depth);
            for pair in lines.chunks(2) {
                let key = pair[1].strip_prefix("get ").unwrap();
                assert_eq!(pair[0], format!("put {key} {MIX_VALUE}"));
            }
            let lines_of = |each: &Exchange| each.reply.split(|&byte| byte == b'\n').count() - 1;
            assert!(exchanges.iter().all(|each| lines_of(each) == depth));
        }
    }

    #[test]
    fn redis_is_asked_the_same_in_its_own_protocol() {
        let exchanges = Load::RedisMix { depth: 2 }.exchanges(Wire::Tcp);
        let expected =
            "*3\r\n$3\r\nSET\r\n$2\r\nk0\r\n$16\r\nabcdef0123456789\r\n*2\r\n$3\r\nGET\r\n$2\r\nk0\r\n";
        assert_eq!(String::from_utf8_lossy(&exchanges[0].request), expected);
        assert_eq!(exchanges[0].reply, b"+OK\r\n$16\r\nabcdef0123456789\r\n");
    }
}
