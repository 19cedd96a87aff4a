//! Logins that must be refused. A client whose mix has `bad` tries them before some of its sessions end: a malformed
//! login (LOGIN-3, LOGIN-5), then the name that its own session still holds (LOGIN-2), and once that name in another
//! case, which is free (LOGIN-6).
//!
//! No other client's name is tried: if its session ended at that moment, the login would rightly succeed and block that
//! client.

use std::time::Duration;

use super::super::context::PassContext;
use super::super::evidence::{Asked, Requester};
use super::error::SetupError;
use super::exchange::{LoginReply, ask, connect};
use super::logout::{CLOSE_TIMEOUT, Quit, quit};
use crate::domain::{Op, Role, Rule, ViolationKind};
use crate::oracle::{Finding, texts};
use crate::scenario::model::Group;
use crate::wire::Connection;

/// Malformed logins, each with the rule that forbids to accept it.
const MALFORMED: [Malformed; 3] = [
    Malformed { text: "", rule: Rule::Login3 },
    Malformed { text: "two words", rule: Rule::Login3 },
    Malformed { text: "put k v", rule: Rule::Login5 },
];

#[derive(Debug, Clone, Copy)]
struct Malformed {
    text: &'static str,
    rule: Rule,
}

/// A client's first session, and one in this many of the others, ends with such logins. Each costs a connection.
const ONE_IN: u64 = 4;

/// Whether a group's clients send bad requests.
pub fn is_bad(group: &Group) -> bool {
    group.mix.iter().any(|(op, weight)| *op == Op::Bad && *weight > 0)
}

/// What is tried before a session ends.
#[derive(Debug, Clone, Copy)]
pub struct BadLogin {
    malformed: Malformed,
    /// Whether its own name in another case is tried too. This is done once, as the last try might block the next one.
    other_case: bool,
    /// Index of the transport over which it is tried.
    transport: usize,
}

struct Answers {
    malformed: String,
    taken: String,
    other_case: Option<String>,
}

impl BadLogin {
    /// What this client tries before its session of this number ends, if it tries anything.
    pub fn of(context: &PassContext, client: u32, session: u32) -> Option<Self> {
        let draw = context.plan.session_end_draw(client, session) >> 8;
        let tries = is_bad(context.group(client)) && (session == 0 || draw.is_multiple_of(ONE_IN));
        let pick = |from: usize, among: usize| (draw >> from) as usize % among;
        tries.then(|| Self {
            malformed: MALFORMED[pick(8, MALFORMED.len())],
            other_case: session == 0,
            // Only in a mixed load are the users of all transports known to share a registry.
            transport: if context.scenario.is_mixed() {
                pick(16, context.endpoints.len())
            } else {
                usize::from(context.plan.clients[client as usize].transport)
            },
        })
    }

    /// Tries it on a connection of its own. `session` is the client's connection, without open requests; it is gone if
    /// the server was wrong. A server may refuse the further connection, or end it.
    pub async fn attempt(
        self,
        context: &PassContext,
        client: u32,
        session: &mut Connection,
    ) -> Result<(), SetupError> {
        let timeout = context.scenario.timeout;
        let name = &context.reference.client(client).name;
        let Some(answers) = self.answers(context, name, timeout).await else { return Ok(()) };
        let Answers { malformed, taken, other_case } = answers;
        let wrong = |rule, due: &str, asked, seen: &str| {
            let finding = Finding::new(ViolationKind::WrongReply, rule, format!("`{due}`"));
            let requester = Requester { client, role: Role::Guest };
            Err(SetupError::wrong_session(context, requester, "trying a bad login", finding, asked, seen))
        };
        let Malformed { text, rule } = self.malformed;
        if malformed != texts::WRONG_FORMAT {
            return wrong(rule, texts::WRONG_FORMAT, Asked::BadLogin(text), &malformed);
        }
        if let Some(seen) = other_case.filter(|seen| seen != texts::SUCCESS) {
            return wrong(Rule::Login6, texts::SUCCESS, Asked::OtherCase(self.transport), &seen);
        }
        if taken == texts::DUPLICATE_USER_NAME {
            return Ok(());
        }
        // The name was free if the server had ended the session, by a time-out or by its operator.
        context.reference.set_ending(client);
        match quit(session, None, timeout, Duration::ZERO).await {
            Quit::Answered { reply, .. } if reply == texts::EXITING => {
                wrong(Rule::Login2, texts::DUPLICATE_USER_NAME, Asked::SecondLogin(self.transport), &taken)
            }
            _ => Ok(()),
        }
    }

    /// The replies; `None` if the server refuses the connection, or ends it.
    async fn answers(self, context: &PassContext, name: &str, timeout: Duration) -> Option<Answers> {
        let mut connection = connect(&context.endpoints[self.transport], timeout).await?;
        let mut log_in = async |name: &str| {
            let reply = ask(&mut connection, name.as_bytes(), timeout).await.ok()?;
            (reply.to_login() != LoginReply::NoRoom).then_some(reply.text)
        };
        let (malformed, taken) = (log_in(self.malformed.text).await?, log_in(name).await?);
        let other = name.to_ascii_uppercase();
        let mut other_case = None;
        if self.other_case && taken == texts::DUPLICATE_USER_NAME && other != name {
            other_case = log_in(&other).await;
            if other_case.as_deref() == Some(texts::SUCCESS) {
                // The name must be free again for the next pass.
                quit(&mut connection, None, timeout, CLOSE_TIMEOUT).await;
            }
        }
        Some(Answers { malformed, taken, other_case })
    }
}
