//! What answers a connection's messages: the session, or whatever a program puts in its place to try the framing.

use std::task::Waker;

use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    protocol::Reply,
    session::{DelayOutcome, Flow, Session},
};

/// Answers the messages of one WebSocket connection, one for each.
pub trait Service {
    /// Whether it takes binary messages. Else one fails the connection, with code 1003 (WS-4).
    const TAKES_BINARY: bool;

    /// Answers a text or, where it takes them, a binary message. The answer is not used where the flow holds it back.
    fn answer(&mut self, message: &Message) -> (Message, Flow);

    /// The answer that has been held back since [`Flow::ContinueAfter`].
    fn finish_delayed(&mut self, _wait: DelayOutcome) -> Message {
        Message::text("")
    }

    /// Under which name the client has logged in, if it has.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Whether the client has done what it had to by the login time-out.
    fn is_logged_in(&self) -> bool {
        true
    }

    /// Notes that the client has asked something, so many milliseconds after the server's start.
    fn note_active(&self, _now_ms: u64) {}

    /// Whether the connection is to be closed for reasons of policy. Looked at whenever it is woken.
    fn is_disconnect_requested(&self) -> bool {
        false
    }

    /// Keeps the waker of a connection that is about to wait, to be used on a dismissal.
    fn wake_on_disconnect(&mut self, _waker: &Waker) {}
}

impl Service for Session {
    const TAKES_BINARY: bool = false;

    fn answer(&mut self, message: &Message) -> (Message, Flow) {
        // The guard lets nothing but text pass.
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
