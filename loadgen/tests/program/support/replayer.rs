//! Just enough of an interpreter to replay, over TCP, the cases that a run writes for its violations.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::replies::{DUPLICATE_NAME, SUCCESS, UPGRADED};
use twinwire::conform::case::model::{Action, Case, Expectation, Part, Text};
use twinwire::domain::Role;

/// What became of a case.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// What came instead of what was due.
    Failed(String),
}

/// A text with its placeholders as a case writes them, clients by number.
pub fn shown(text: &Text) -> String {
    let part = |part: &Part| match part {
        Part::Literal(literal) => literal.clone(),
        Part::Client(0) => "{client}".to_owned(),
        Part::Client(_) => "{owner}".to_owned(),
        Part::Fill(bytes) => format!("{{fill:{bytes}}}"),
        Part::Index => "{i}".to_owned(),
    };
    text.parts.iter().map(part).collect()
}

fn real(text: &Text) -> String {
    let part = |part: &Part| match part {
        Part::Literal(literal) => literal.clone(),
        Part::Client(client) => format!("replayed-{client}"),
        Part::Fill(bytes) => "f".repeat(*bytes),
        Part::Index => panic!("a replay has no repeat"),
    };
    text.parts.iter().map(part).collect()
}

struct Client {
    input: BufReader<TcpStream>,
    /// Whether its last connection ended without `q`, so that its name may be taken for a while (LIFE-2).
    patient: bool,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { input: BufReader::new(stream), patient: false }
    }

    fn send(&mut self, messages: &[String]) {
        let bytes = messages.join("\n") + "\n";
        self.input.get_mut().write_all(bytes.as_bytes()).unwrap();
    }

    /// The next reply; `None` if none comes in time.
    fn reply(&mut self, within: Duration) -> Option<String> {
        self.input.get_ref().set_read_timeout(Some(within)).unwrap();
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(_) => Some(line.trim_end_matches('\n').to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn ask(&mut self, message: &str) -> String {
        self.send(&[message.to_owned()]);
        self.reply(Duration::from_secs(20)).unwrap_or_default()
    }
}

/// Runs a case against the server at this address.
pub fn replay(case: &Case, address: SocketAddr) -> Verdict {
    let mut clients: Vec<Client> = case.clients.iter().map(|_| Client::connect(address)).collect();
    for (index, client) in case.clients.iter().enumerate().filter(|(_, client)| client.login) {
        assert_eq!(clients[index].ask(&format!("replayed-{index}")), SUCCESS);
        if client.role == Role::Manager {
            assert_eq!(clients[index].ask("upgrade"), UPGRADED);
        }
    }
    for step in &case.steps {
        let client = &mut clients[step.client.unwrap()];
        match &step.action {
            Action::Send { messages, .. } => client.send(&messages.iter().map(real).collect::<Vec<_>>()),
            Action::Login(name) if client.patient => {
                let deadline = Instant::now() + Duration::from_secs(5);
                let mut reply = client.ask(&real(name));
                while reply == DUPLICATE_NAME && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(20));
                    reply = client.ask(&real(name));
                }
                if reply != SUCCESS {
                    return Verdict::Failed(reply);
                }
                continue;
            }
            Action::Login(name) => client.send(&[real(name)]),
            Action::Connect => {
                let patient = client.patient;
                *client = Client { patient, ..Client::connect(address) };
            }
            // The run itself distinguishes a reset from a close.
            Action::Close(_) | Action::Reset => {
                client.patient = true;
                client.input.get_ref().shutdown(Shutdown::Both).unwrap();
            }
            Action::Wait(time) => std::thread::sleep(*time),
            other => panic!("a replay has no {other:?}"),
        }
        let Some(expect) = &step.expect else { continue };
        let (due, any) = match expect {
            Expectation::Replies(replies) => (replies, false),
            Expectation::Any(replies) => (replies, true),
            Expectation::Silence(time) => match client.reply(*time) {
                Some(reply) => return Verdict::Failed(reply),
                None => continue,
            },
            Expectation::Closed { .. } => match client.reply(Duration::from_secs(20)) {
                Some(end) if end.is_empty() => continue,
                other => return Verdict::Failed(format!("{other:?} instead of the close")),
            },
            other @ Expectation::Count(_) => panic!("a replay expects no {other:?}"),
        };
        let due: Vec<String> = due.iter().map(real).collect();
        for index in 0..if any { 1 } else { due.len() } {
            let reply = client.reply(Duration::from_secs(20)).unwrap_or_default();
            let right = if any { due.contains(&reply) } else { reply == due[index] };
            if !right {
                return Verdict::Failed(reply);
            }
        }
    }
    Verdict::Passed
}
