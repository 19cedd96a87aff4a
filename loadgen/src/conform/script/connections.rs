//! Connecting, handshakes and ends, and what the server's operator does.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::super::case::model::{
    ClientTransport, Expectation, Handshake, OperatorAction, Part, Refusal, Step, Text,
};
use super::super::channel::{Channel, End, Event};
use super::super::failure::{FailureKind, Shown};
use super::super::handshake::{self, HttpReply};
use super::incoming::shown;
use super::{At, SET_UP, Script, Stop};
use crate::domain::{Framing, Rule, Transport};
use crate::wire::{ConnectError, Endpoint};

/// Longest that an operator's command may take.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(10);

impl<'a> Script<'a> {
    /// The transport of a client; a case whose client has none is skipped before it runs.
    pub(super) fn endpoint(&self, client: usize) -> Option<&'a Endpoint> {
        let wanted =
            transport_of(self.case.clients[client].transport, self.transport, self.against.endpoints)?;
        self.against.endpoints.iter().find(|endpoint| endpoint.transport() == wanted)
    }

    pub(super) fn framing(&self, client: usize) -> Framing {
        self.endpoint(client).map_or(Framing::Lines, |endpoint| endpoint.transport().framing())
    }

    /// Connects a client that is to be connected and is not yet.
    pub(super) async fn connected(&self, client: usize) -> Result<(), Stop> {
        let lacking = self.channels[client].lock().await.is_none();
        if !lacking || !self.case.clients[client].connect || self.case.clients[client].login {
            return Ok(());
        }
        self.connect(client).await
    }

    pub(super) async fn connect(&self, client: usize) -> Result<(), Stop> {
        let mut channel = self.open(client).await?;
        if channel.framing() == Framing::WebSocket {
            let key = handshake::draw_key();
            let Some(url) = self.endpoint(client).and_then(Endpoint::url) else { return Ok(()) };
            let request = handshake::request(&handshake::right(), url, &key);
            let deadline = Instant::now() + self.against.timeout;
            let reply = channel.shake(&request, deadline).await;
            let is_silent = reply.is_none() && !channel.has_ended();
            let fault = match reply {
                Some(reply) if reply.status == 101 => reply.upgrade_fault(&handshake::right(), &key),
                Some(reply) => Some(format!("HTTP {}", reply.status)),
                None => Some("no answer to the handshake".to_owned()),
            };
            if let Some(fault) = fault {
                let expected = Shown::Words("a WebSocket handshake".to_owned());
                let seen = Shown::Words(fault);
                let kind = if is_silent { FailureKind::Late } else { FailureKind::Wrong };
                return Err(self.failed(client, expected, seen, kind, Some(Rule::Ws2), SET_UP));
            }
        }
        *self.channels[client].lock().await = Some(channel);
        self.unjudged[client].set(false);
        Ok(())
    }

    pub(super) async fn open(&self, client: usize) -> Result<Channel, Stop> {
        let Some(endpoint) = self.endpoint(client) else {
            return Err(Stop::Machine("the target lacks a transport of the case".to_owned()));
        };
        self.transcript.note(client, format!("connects over {}", endpoint.transport()));
        match endpoint.open(self.against.timeout).await {
            Ok(stream) => {
                let framing = endpoint.transport().framing();
                Ok(Channel::new(client, stream, framing, self.transcript.clone()))
            }
            Err(ConnectError::Shortage(shortage)) => Err(Stop::Machine(shortage.to_string())),
            Err(error) => {
                let kind = match error {
                    ConnectError::TimedOut { .. } => FailureKind::Late,
                    _ => FailureKind::Unreachable,
                };
                let expected = Shown::Words("a connection".to_owned());
                Err(self.failed(client, expected, Shown::Words(error.to_string()), kind, None, SET_UP))
            }
        }
    }

    /// A handshake of the case's own, and what must become of it.
    pub(super) async fn handshake(
        &self,
        client: usize,
        handshake: &Handshake,
        step: &Step,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let Some(url) = self.endpoint(client).and_then(Endpoint::url) else { return Ok(()) };
        let mut channel = self.open(client).await?;
        let drawn = handshake::draw_key();
        let given = handshake.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let key = given.and_then(|(_, value)| value.clone()).unwrap_or_else(|| drawn.clone());
        let request = handshake::request(handshake, url, &drawn);
        self.note_sent(client, &request);
        let deadline = Instant::now() + step.within.unwrap_or_else(|| self.patience());
        let reply = channel.shake(&request, deadline).await;
        let failed = |expected: String, seen: String, kind| {
            let (expected, seen) = (Shown::Words(expected), Shown::Words(seen));
            Err(self.failed(client, expected, seen, kind, None, at))
        };
        let Some(reply) = reply else {
            return match (channel.next(Instant::now()).await, &step.expect) {
                (
                    Some(Event::Ended(End::Closed | End::Reset)),
                    Some(Expectation::Refused { how: Refusal::Any, header: None }) | None,
                ) => Ok(()),
                (Some(event), _) => {
                    failed(expected_of_handshake(step), shown(&event).to_string(), FailureKind::Wrong)
                }
                (None, _) => {
                    failed(expected_of_handshake(step), "no answer in time".to_owned(), FailureKind::Late)
                }
            };
        };
        match &step.expect {
            None => {}
            Some(Expectation::Refused { how, header }) => {
                let status_fits = match how {
                    Refusal::Any | Refusal::Http => (400..=599).contains(&reply.status),
                    Refusal::Status(status) => reply.status == *status,
                };
                let field_fits = header.as_ref().is_none_or(|(name, value)| reply.has(name, value));
                if !status_fits || !field_fits {
                    return failed(expected_of_handshake(step), reply.to_string(), FailureKind::Wrong);
                }
            }
            Some(expect) => {
                let status = reply.status.to_string().into_bytes();
                let expected = self.replies_of(expect, at).concat();
                if !expected.contains(&status) {
                    return failed(expected_of_handshake(step), reply.to_string(), FailureKind::Wrong);
                }
            }
        }
        if reply.status == 101 {
            if let Some(fault) = reply.upgrade_fault(handshake, &key) {
                return failed("a handshake as RFC 6455 has it".to_owned(), fault, FailureKind::Wrong);
            }
            *self.channels[client].lock().await = Some(channel);
        }
        Ok(())
    }

    /// Ends a connection in order. What the server still says is read where the case asks for it.
    pub(super) async fn close(&self, client: usize, code: u16, is_read: bool) {
        let mut slot = self.channels[client].lock().await;
        let Some(channel) = slot.as_mut() else { return };
        if channel.framing() == Framing::WebSocket {
            let _ = channel.send_close(code).await;
        } else {
            channel.half_close().await;
        }
        if !is_read {
            *slot = None;
        }
    }

    /// Runs the operator's command for this client's user.
    pub(super) async fn operator(
        &self,
        client: usize,
        action: OperatorAction,
        at: At<'_>,
    ) -> Result<(), Stop> {
        let operator = &self.against.profile.operator;
        let command = match action {
            OperatorAction::Promote => &operator.promote,
            OperatorAction::Demote => &operator.demote,
            OperatorAction::Disconnect => &operator.disconnect,
        };
        let Some([program, arguments @ ..]) = command.as_deref() else { return Ok(()) };
        let name = &self.names[client];
        self.transcript.note(client, format!("the operator does: {action} {name}"));
        let output = tokio::process::Command::new(program)
            .args(arguments.iter().map(|argument| argument.replace("{user}", name)))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(OPERATOR_TIMEOUT, output).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                let seen =
                    Shown::Words(format!("the operator's command ended with {}: {said}", output.status));
                let expected = Shown::Words(format!("{action} {name}"));
                Err(self.failed(client, expected, seen, FailureKind::Wrong, Some(Rule::Role9), at))
            }
            Ok(Err(error)) => {
                Err(Stop::Machine(format!("cannot run the operator's command `{program}`: {error}")))
            }
            Err(_) => Err(Stop::Machine(format!(
                "the operator's command `{program}` took over {OPERATOR_TIMEOUT:?}"
            ))),
        }
    }
}

/// The transport of a client whose case runs over `own`, among those of these endpoints; `None` where there is none.
fn transport_of(wanted: ClientTransport, own: Transport, endpoints: &[Endpoint]) -> Option<Transport> {
    let mut offered = endpoints.iter().map(Endpoint::transport);
    match wanted {
        ClientTransport::Case => offered.find(|transport| *transport == own),
        ClientTransport::Named(named) => offered.find(|transport| *transport == named),
        ClientTransport::Other => {
            // Another framing shows more than the same framing over TLS.
            let others: Vec<_> = offered.filter(|transport| *transport != own).collect();
            let other_framing = others.iter().find(|transport| transport.framing() != own.framing());
            other_framing.or(others.first()).copied()
        }
    }
}

fn expected_of_handshake(step: &Step) -> String {
    match &step.expect {
        Some(Expectation::Refused { how, header }) => {
            let how = match how {
                Refusal::Any => "an HTTP error, or a close".to_owned(),
                Refusal::Http => "a whole HTTP reply with an error's status".to_owned(),
                Refusal::Status(status) => format!("HTTP {status}"),
            };
            match header {
                Some((name, value)) => format!("{how}, with `{name}: {value}`"),
                None => how,
            }
        }
        Some(Expectation::Replies(texts) | Expectation::Any(texts)) => {
            let literal = |text: &Text| match &text.parts[..] {
                [Part::Literal(literal)] => literal.clone(),
                _ => "…".to_owned(),
            };
            format!("HTTP {}", texts.iter().map(literal).collect::<Vec<_>>().join(" or "))
        }
        _ => "an answer".to_owned(),
    }
}

impl fmt::Display for HttpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}
