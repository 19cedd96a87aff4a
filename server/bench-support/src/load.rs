//! What the generators ask, and what must come back.

use serde::{Deserialize, Serialize};

use crate::wire::{Wire, reply, request};

/// Keys of each client: few, but enough that a reply is looked up and not merely repeated; of one digit, so that every
/// request has the same size. The harness names its keys in the same way, and draws them.
pub const KEYS: usize = 10;

/// The value under every key where only `get` is asked: 20 bytes, so that a reply is of the size of a short message.
pub const VALUE: &str = "abcdefghij0123456789";

/// The value of the mix: 16 bytes, as much as the harness's own smallest value, and given to redis as well.
pub const MIX_VALUE: &str = "abcdef0123456789";

/// What a generator asks.
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
    pub fn depth(self) -> usize {
        match self {
            Self::Gets => 1,
            Self::Mix { depth } | Self::RedisMix { depth } => depth,
        }
    }

    /// What client `number` sends before the load, each answered by one message.
    pub fn opening(self, number: usize) -> Vec<String> {
        let keys = match self {
            Self::Gets => KEYS,
            Self::Mix { .. } => 0,
            Self::RedisMix { .. } => return Vec::new(),
        };
        let puts = (0..keys).map(|key| format!("put k{key} {VALUE}"));
        std::iter::once(format!("floor-{number}")).chain(puts).collect()
    }

    /// The exchanges, to be repeated: in a mix, each `get` follows the `put` of its key.
    pub fn exchanges(self, wire: Wire) -> Vec<Exchange> {
        // As many exchanges as there are different requests, so that they come out even at any depth.
        let different = if self == Self::Gets { KEYS } else { 2 * KEYS };
        let exchange = |number: usize| {
            let places = number * self.depth()..(number + 1) * self.depth();
            let messages = places.map(|place| self.messages(wire, place % different));
            let (requests, replies): (Vec<_>, Vec<_>) = messages.unzip();
            Exchange { request: requests.concat(), reply: replies.concat() }
        };
        (0..different).map(exchange).collect()
    }

    /// Request and reply at this place.
    fn messages(self, wire: Wire, place: usize) -> (Vec<u8>, Vec<u8>) {
        let (key, is_put) = (format!("k{}", place / 2), place.is_multiple_of(2));
        // A string of RESP2.
        let string = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        match self {
            Self::Gets => (request(wire, &format!("get k{place}")), reply(wire, VALUE)),
            Self::Mix { .. } if is_put => {
                (request(wire, &format!("put {key} {MIX_VALUE}")), reply(wire, "done"))
            }
            Self::Mix { .. } => (request(wire, &format!("get {key}")), reply(wire, MIX_VALUE)),
            Self::RedisMix { .. } if is_put => {
                let set = format!("*3\r\n{}{}{}", string("SET"), string(&key), string(MIX_VALUE));
                (set.into(), b"+OK\r\n".into())
            }
            Self::RedisMix { .. } => {
                (format!("*2\r\n{}{}", string("GET"), string(&key)).into(), string(MIX_VALUE).into())
            }
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
