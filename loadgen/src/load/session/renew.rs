//! Renewing a session during the load: the old one ends, and the same client logs in again.

use std::sync::Arc;

use twinwire_os::clock::{self, Nanos};

use super::super::context::PassContext;
use super::super::evidence::{Asked, Requester};
use super::super::plan::SessionEnd;
use super::bad_login::is_bad;
use super::close_check::closes_again;
use super::error::{SetupError, StepFailure};
use super::logout::{Quit, close, not_closed, quit, wrong_logout};
use super::setup::{ClientSetup, LOGIN_RETRY, NAME_FREE_WITHIN, ReadyClient};
use super::setup_times::StepTimes;
use crate::domain::{Framing, Role, Rule};
use crate::oracle::texts;
use crate::wire::{Connection, Traffic};

/// What a client with bad requests sends right behind `q`. It must get no reply.
const BEHIND_QUIT: &str = "get m1";

const STEP: &str = "logging in again";

/// Ends client `index`'s session in this way and begins its next one. Nothing is preloaded, so the store must be empty.
pub async fn renew(
    context: &PassContext,
    index: u32,
    connection: Connection,
    end: SessionEnd,
    traffic: Arc<Traffic>,
    steps: &mut StepTimes,
) -> Result<ReadyClient, SetupError> {
    context.reference.set_ending(index);
    // After the close that follows `exiting` the name must be free (LIFE-3), so there is no second try.
    let retry_until = match end {
        SessionEnd::Quit => {
            steps.quit = Some(log_out(context, index, connection).await?);
            context.reference.set_ended(index);
            None
        }
        SessionEnd::Close => {
            close(connection).await;
            Some(clock::now() + clock::nanos(NAME_FREE_WITHIN))
        }
        SessionEnd::Reset => {
            connection.reset();
            Some(clock::now() + clock::nanos(NAME_FREE_WITHIN))
        }
    };
    let full_until = clock::now() + clock::nanos(NAME_FREE_WITHIN);
    let mut client = loop {
        match again(context, index, end, retry_until, traffic.clone(), steps).await {
            Err(error) if error.is_full() && clock::now() < full_until => {
                let finding = context.reference.set_refused(index).err();
                if let Some(finding) = finding {
                    let requester = Requester { client: index, role: Role::Guest };
                    let (asked, seen) = (Asked::NextLogin(end), texts::SERVER_FULL);
                    return Err(SetupError::wrong_session(context, requester, STEP, finding, asked, seen));
                }
                tokio::time::sleep(LOGIN_RETRY).await;
            }
            client => break client?,
        }
    };
    check_guest(context, index, &mut client, end).await?;
    client.take_role(steps).await?;
    Ok(client.ready())
}

/// Connects and logs in after a session's end. A name that is still taken is tried again until `retry_until`.
async fn again<'a>(
    context: &'a PassContext,
    index: u32,
    end: SessionEnd,
    retry_until: Option<Nanos>,
    traffic: Arc<Traffic>,
    steps: &mut StepTimes,
) -> Result<ClientSetup<'a>, SetupError> {
    let mut client = ClientSetup::connect(context, index, traffic, steps).await?;
    client.asked = Asked::NextLogin(end);
    steps.login = Some(client.log_in(retry_until).await?);
    context.reference.set_live(index);
    Ok(client)
}

/// A new session is a guest's, whatever the last one was (ROLE-1). It must not even read its own key by its user name.
async fn check_guest(
    context: &PassContext,
    index: u32,
    client: &mut ClientSetup<'_>,
    end: SessionEnd,
) -> Result<(), SetupError> {
    let mut request = Vec::new();
    let expect = client.session.get_other(&context.reference, Some(index), Some(0), &mut request);
    client.asked = Asked::First(end, expect);
    let reply = client.ask(STEP, &request).await?.text;
    match client.session.judge(&context.reference, expect, reply.as_bytes()) {
        Ok(_) => Ok(()),
        Err(mut finding) => {
            finding.rule = Rule::Role1;
            Err(client.violated(STEP, finding, &reply))
        }
    }
}

/// Ends a session by `q`. Returns how long the reply took.
async fn log_out(context: &PassContext, index: u32, mut connection: Connection) -> Result<Nanos, SetupError> {
    const STEP: &str = "logging out";
    let timeout = context.scenario.timeout;
    let begun = clock::now();
    let group = context.group(index);
    let requester = Requester { client: index, role: group.role };
    // Over lines, a reset must not overtake the reply to `q`, even if the server leaves bytes behind it unread (TCP-8).
    let lines = context.endpoint(index).transport().framing() == Framing::Lines;
    let behind = (lines && is_bad(group)).then_some(BEHIND_QUIT);
    let wrong = |asked: Asked, seen: &str| {
        Err(SetupError::wrong_session(context, requester, STEP, wrong_logout(&asked), asked, seen))
    };
    let failed = |why| Err(SetupError::failed(context, index, STEP, why));
    match quit(&mut connection, behind, timeout, timeout).await {
        Quit::Answered { reply, .. } if reply != texts::EXITING => wrong(Asked::Quit, &reply),
        Quit::Answered { more: Some(more), .. } => wrong(Asked::AfterQuit(behind), &more),
        Quit::Answered { closed: false, .. } => wrong(Asked::Close, &not_closed(timeout)),
        Quit::Answered { at, closed: true, .. } => Ok((at - begun).max(1)),
        Quit::Ended(ended) if ended.is_close() && closes_again(context, requester, b"q").await => {
            wrong(Asked::Quit, &ended.to_string())
        }
        Quit::Ended(ended) => failed(StepFailure::Ended { ended, advice: "" }),
        Quit::TimedOut => failed(StepFailure::TimedOut { timeout, advice: "" }),
    }
}
