//! Logins that must be refused. A client whose mix has `bad` tries some before some of its sessions end: a malformed one
//! (LOGIN-3, LOGIN-5), and then the name that its own session still holds (LOGIN-2), over any transport of the load.
//!
//! Nobody else's name is tried: where its session ended at that moment, the login would rightly succeed, and be in the
//! way of the client whose name it is.

use std::sync::Arc;
use std::time::Duration;

use super::context::PassContext;
use super::flight::{Asked, Incident};
use super::leave::{Left, quit};
use super::plan::ending_draw;
use super::replies::collect;
use super::setup::SetupError;
use crate::measure::clock;
use crate::oracle::{Finding, texts};
use crate::scenario::model::{Op, Role};
use crate::wire::{Connection, Traffic};

/// Malformed logins, each with the rule that it would break to take it.
const MALFORMED: [(&str, &str); 3] = [("", "LOGIN-3"), ("two words", "LOGIN-3"), ("put k v", "LOGIN-5")];

/// One session in so many is preceded by such logins: each costs a connection.
const ONE_IN: u64 = 4;

/// What is tried before a session ends.
#[derive(Debug, Clone, Copy)]
pub struct BadLogin {
    malformed: (&'static str, &'static str),
    /// Index of the transport over which it is tried.
    transport: usize,
}

impl BadLogin {
    /// What this client tries before its session of this number ends, if it tries anything.
    #[must_use]
    pub fn of(context: &PassContext, client: u32, session: u32) -> Option<Self> {
        let plan = context.plan.clients[client as usize];
        let group = &context.scenario.groups[usize::from(plan.group)];
        let draw = ending_draw(context.plan.seed, context.plan.number(client), session) >> 8;
        let tries =
            draw.is_multiple_of(ONE_IN) && group.mix.iter().any(|(op, weight)| *op == Op::Bad && *weight > 0);
        let pick = |from: usize, among: usize| (draw >> from) as usize % among;
        tries.then(|| Self {
            malformed: MALFORMED[pick(8, MALFORMED.len())],
            // Only where all transports run together their users are known to share a registry.
            transport: if context.scenario.is_mixed() {
                pick(16, context.endpoints.len())
            } else {
                usize::from(plan.transport)
            },
        })
    }

    /// Tries it on a connection of its own. `session` is the client's, with nothing outstanding; it is gone where the
    /// server was wrong. A server that takes no further connection, or ends it, has done nothing wrong here.
    ///
    /// # Errors
    /// Where a login was taken, or refused in other words.
    pub async fn attempt(
        self,
        context: &PassContext,
        client: u32,
        session: &mut Connection,
    ) -> Result<(), SetupError> {
        let timeout = context.scenario.timeout;
        let name = &context.world.client(client).name;
        let Some([malformed, taken]) = self.replies(context, name, timeout).await else { return Ok(()) };
        let wrong = |rule, due: &str, asked, seen: &str| {
            let finding = Finding::new("wrong reply", rule, format!("`{due}`"));
            let who = (client, Role::Guest);
            let incident = Incident::of_session(context, who, finding, asked, seen.as_bytes(), clock::now());
            Err(SetupError::refusing(incident))
        };
        let (text, rule) = self.malformed;
        if malformed != texts::WRONG_FORMAT {
            return wrong(rule, texts::WRONG_FORMAT, Asked::BadLogin(text), &malformed);
        }
        if taken == texts::DUPLICATE_USER_NAME {
            return Ok(());
        }
        // The name was free after all where the server had ended the session, by a time-out or by its operator.
        context.world.set_ending(client);
        match quit(session, timeout, Duration::ZERO).await {
            Left::Answered { reply, .. } if reply == texts::EXITING => {
                wrong("LOGIN-2", texts::DUPLICATE_USER_NAME, Asked::SecondLogin(self.transport), &taken)
            }
            _ => Ok(()),
        }
    }

    /// The replies to both logins.
    async fn replies(self, context: &PassContext, name: &str, timeout: Duration) -> Option<[String; 2]> {
        let endpoint = &context.endpoints[self.transport];
        let mut connection = endpoint.connect(Arc::<Traffic>::default(), timeout).await.ok()?;
        let mut replies = [const { String::new() }; 2];
        for (reply, login) in replies.iter_mut().zip([self.malformed.0, name]) {
            connection.push(login.as_bytes()).ok()?;
            *reply = collect(&mut connection, 1, timeout).await.ok()?.swap_remove(0).0;
            if [texts::SERVER_FULL, texts::LOGIN_TIMEOUT].contains(&reply.as_str()) {
                return None;
            }
        }
        Some(replies)
    }
}
