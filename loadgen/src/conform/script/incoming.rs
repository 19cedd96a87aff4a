//! What comes back, against what a case expects.

use std::time::Duration;

use tokio::time::Instant;

use super::super::case::model::{Closing, Expectation, Step};
use super::super::channel::{End, Event};
use super::super::failure::{FailureKind, Shown};
use super::{At, Script, Stop};
use crate::domain::{Framing, Rule};
use crate::oracle::texts;

impl Script<'_> {
    pub(super) async fn next(&self, client: usize, deadline: Instant) -> Option<Event> {
        let mut slot = self.channels[client].lock().await;
        match slot.as_mut() {
            Some(channel) if channel.is_over() => Some(Event::Ended(End::Closed)),
            Some(channel) => channel.next(deadline).await,
            None => Some(Event::Ended(End::Failed("there is no connection".to_owned()))),
        }
    }

    pub(super) async fn expect(
        &self,
        client: usize,
        expect: &Expectation,
        step: &Step,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
        match expect {
            Expectation::Replies(_) | Expectation::Any(_) => {
                for reply in self.replies_of(expect, at) {
                    let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
                    self.reply(client, &reply, deadline, at).await?;
                }
                Ok(())
            }
            Expectation::Closed { how, code } => self.closed(client, *how, *code, deadline, at).await,
            Expectation::Silence(time) => self.silence(client, *time, at).await,
            Expectation::Pong(text) => {
                let due = self.render(text, at);
                match self.next(client, deadline).await {
                    Some(Event::Pong(payload)) if payload == due => Ok(()),
                    other => Err(self.other_than(client, Shown::Pong(due), other, at)),
                }
            }
            // Judged with the handshake, or with the steps together.
            Expectation::Refused { .. } | Expectation::Count(_) => Ok(()),
        }
    }

    /// Takes the next reply, which must be one of these.
    pub(super) async fn reply(
        &self,
        client: usize,
        due: &[Vec<u8>],
        deadline: Instant,
        at: At<'_>,
    ) -> Result<(), Stop> {
        self.with_channel(client, async |channel| channel.expects(due)).await;
        loop {
            match self.next(client, deadline).await {
                Some(Event::Reply { text, binary }) if due.contains(&text) => {
                    return if binary { self.may_be_binary(client, &text, at) } else { Ok(()) };
                }
                // A server may send a pong that nobody asked for (RFC 6455, section 5.5.3).
                Some(Event::Pong(_)) => {}
                other => return Err(self.other_than(client, Shown::texts(due), other, at)),
            }
        }
    }

    /// Takes the next reply, whatever it is.
    pub(super) async fn any_reply(
        &self,
        client: usize,
        deadline: Instant,
        at: At<'_>,
    ) -> Result<Vec<u8>, Stop> {
        loop {
            match self.next(client, deadline).await {
                Some(Event::Reply { text, binary }) => {
                    if binary {
                        self.may_be_binary(client, &text, at)?;
                    }
                    return Ok(text);
                }
                Some(Event::Pong(_)) => {}
                other => return Err(self.other_than(client, Shown::Words("a reply".to_owned()), other, at)),
            }
        }
    }

    /// No reply may be a binary message, but for the denial where the profile says so.
    pub(super) fn may_be_binary(&self, client: usize, text: &[u8], at: At<'_>) -> Result<(), Stop> {
        if self.against.profile.denial_binary && text == texts::DENIED.as_bytes() {
            return Ok(());
        }
        let expected = Shown::Words("a text message".to_owned());
        let seen = Shown::Words(format!("a binary message: {}", Shown::Text(text.to_vec())));
        Err(self.failed(client, expected, seen, FailureKind::Wrong, Some(Rule::Ws1), at))
    }

    pub(super) async fn closed(
        &self,
        client: usize,
        how: Closing,
        code: Option<u16>,
        deadline: Instant,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let expected = || Shown::Words(closing(how, code));
        let is_websocket = self.framing(client) == Framing::WebSocket;
        let mut frame: Option<Option<u16>> = None;
        loop {
            match self.next(client, deadline).await {
                Some(Event::Pong(_)) => {}
                // Where any end will do, the close frame is one: TCP's may wait for the peer's.
                Some(Event::CloseFrame(came))
                    if how == Closing::Any && code.is_none_or(|code| came == Some(code)) =>
                {
                    *self.channels[client].lock().await = None;
                    return Ok(());
                }
                Some(Event::CloseFrame(came)) => frame = Some(came),
                Some(Event::Ended(end)) => {
                    let clean = end == End::Closed && (!is_websocket || frame.is_some());
                    let fits = match how {
                        Closing::Clean => clean,
                        Closing::Reset => end == End::Reset,
                        Closing::Any => matches!(end, End::Closed | End::Reset),
                    };
                    let code_fits = !is_websocket || code.is_none_or(|code| frame == Some(Some(code)));
                    if fits && code_fits {
                        return Ok(());
                    }
                    let seen = Shown::Words(match (&end, frame) {
                        (End::Closed, Some(Some(code))) => {
                            format!("a close frame with code {code}, then the end of TCP")
                        }
                        (End::Closed, Some(None)) => {
                            "a close frame without a code, then the end of TCP".to_owned()
                        }
                        (End::Closed, None) if is_websocket => {
                            "the end of TCP without a close frame".to_owned()
                        }
                        (End::Closed, None) => "a close in order".to_owned(),
                        (End::Reset, _) => "a reset".to_owned(),
                        (End::Failed(why), _) => why.clone(),
                    });
                    return Err(self.failed(client, expected(), seen, FailureKind::Wrong, None, at));
                }
                None if frame.is_some() => {
                    let seen = Shown::Words("a close frame, but no end of TCP in time".to_owned());
                    return Err(self.failed(client, expected(), seen, FailureKind::Late, None, at));
                }
                other => return Err(self.other_than(client, expected(), other, at)),
            }
        }
    }

    pub(super) async fn silence(&self, client: usize, time: Duration, at: At<'_>) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            match self.next(client, until).await {
                None => return Ok(()),
                Some(Event::Pong(_)) => {}
                other => {
                    let expected = Shown::Words(format!("nothing for {time:?}"));
                    return Err(self.other_than(client, expected, other, at));
                }
            }
        }
    }
}

fn closing(how: Closing, code: Option<u16>) -> String {
    let code = code.map_or_else(String::new, |code| format!(" with code {code}"));
    match how {
        Closing::Clean => format!("a close in order{code}"),
        Closing::Reset => "a reset".to_owned(),
        Closing::Any => format!("a close{code}"),
    }
}

pub(super) fn shown(event: &Event) -> Shown {
    match event {
        Event::Reply { text, binary: false } => Shown::Text(text.clone()),
        Event::Reply { text, binary: true } => {
            Shown::Words(format!("a binary message: {}", Shown::Text(text.clone())))
        }
        Event::Pong(payload) => Shown::Pong(payload.clone()),
        Event::CloseFrame(Some(code)) => Shown::Words(format!("a close frame with code {code}")),
        Event::CloseFrame(None) => Shown::Words("a close frame without a code".to_owned()),
        Event::Ended(End::Closed) => Shown::Words("the server closed the connection".to_owned()),
        Event::Ended(End::Reset) => Shown::Words("the server reset the connection".to_owned()),
        Event::Ended(End::Failed(why)) => Shown::Words(why.clone()),
        Event::Broken { what, .. } => Shown::Words(what.clone()),
    }
}
