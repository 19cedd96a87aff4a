//! What answers a connection's messages: the session, or something in its place that tests the framing.

use std::task::Waker;

use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    protocol::Reply,
    session::{DelayOutcome, Flow, Session},
};

/// Answers the messages of one WebSocket connection, one reply for each.
pub trait Service {
    /// Whether it takes binary messages. If not, one fails the connection with code 1003 (WS-4).
    const TAKES_BINARY: bool;

    /// Answers a text or, if it takes them, a binary message. The answer is not used if the flow delays it.
    fn answer(&mut self, message: &Message) -> (Message, Flow);

    /// The answer that was delayed since [`Flow::ContinueAfter`].
    fn finish_delayed(&mut self, _wait: DelayOutcome) -> Message {
        Message::text("")
    }

    /// The name under which the client has logged in, if it has.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Whether the client has done what the login time-out waits for.
    fn is_logged_in(&self) -> bool {
        true
    }

    /// Notes a request, at this many milliseconds from the registry's start.
    fn note_active(&self, _now_ms: u64) {}

    /// Whether the operator wants the connection closed. Checked whenever it is woken.
    fn is_disconnect_requested(&self) -> bool {
        false
    }

    /// Keeps the waker of a connection that is about to wait, for a disconnect.
    fn wake_on_disconnect(&mut self, _waker: &Waker) {}
}

impl Service for Session {
    const TAKES_BINARY: bool = false;

    fn answer(&mut self, message: &Message) -> (Message, Flow) {
        // The validator lets only text pass.
        let Message::Text(text) = message else { return (Message::text(""), Flow::Close) };
        let mut answer = Utf8Bytes::default();
        let flow = self.handle_text(text, |reply| answer = utf8_bytes(reply));
        (Message::Text(answer), flow)
    }

    fn finish_delayed(&mut self, wait: DelayOutcome) -> Message {
        let mut answer = Utf8Bytes::default();
        Session::finish_delayed(self, wait, |reply| answer = utf8_bytes(reply));
        Message::Text(answer)
    }

    fn name(&self) -> Option<&str> {
        self.name()
    }

    fn is_logged_in(&self) -> bool {
        self.is_logged_in()
    }

    fn note_active(&self, now_ms: u64) {
        Session::note_active(self, now_ms);
    }

    fn is_disconnect_requested(&self) -> bool {
        self.is_disconnect_requested()
    }

    fn wake_on_disconnect(&mut self, waker: &Waker) {
        self.wake_on_disconnect(waker);
    }
}

fn utf8_bytes(reply: Reply<'_>) -> Utf8Bytes {
    match reply {
        Reply::Status(status) => Utf8Bytes::from_static(status.text()),
        Reply::Value(value) => Utf8Bytes::from(value),
    }
}
