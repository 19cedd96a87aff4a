//! What a session with a fault does instead.

use std::{mem, thread, time::Duration};

use super::{Flow, Session, State};
use crate::{
    faults::{Fault, Memory, once_in_a_hundred},
    protocol::{NAME_BYTES_MAX, Reply, Request, Status, parse_name},
    registry::{Found, Login, UpgradePolicy},
};

/// How long a name stays taken by a server that frees it too late, and by one that is only slow.
const HELD: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(900)];

/// An answer in place of the session's.
pub(super) struct Answer {
    reply: Option<String>,
    flow: Flow,
}

impl Answer {
    pub(super) fn give(self, reply: impl FnOnce(Reply<'_>)) -> Flow {
        if let Some(text) = &self.reply {
            reply(Reply::Value(text));
        }
        self.flow
    }

    fn closing(status: Status) -> Self {
        Self { reply: Some(status.text().to_owned()), flow: Flow::Close }
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { reply: Some(text), flow: Flow::Continue }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        status.text().to_owned().into()
    }
}

/// The message in whose place a faulty session takes `message`.
pub(super) fn change(session: &Session, message: &str) -> Option<String> {
    let words: Vec<&str> = message.split_ascii_whitespace().collect();
    let is_anonymous = !session.is_logged_in();
    match (Fault::active()?, &words[..]) {
        (Fault::TakesTheFirstWordAsName, [first, ..]) if is_anonymous => Some((*first).to_owned()),
        (Fault::FoldsNames, _) if is_anonymous => Some(message.to_lowercase()),
        (Fault::CutsLongNames, [name]) if is_anonymous => Some(cut(name, NAME_BYTES_MAX)),
        (Fault::FoldsKeys, ["put", key, value]) => Some(format!("put {} {value}", key.to_lowercase())),
        (Fault::FoldsKeys, ["get", key]) => Some(format!("get {}", key.to_lowercase())),
        (Fault::CutsValues, ["put", key, value]) => Some(format!("put {key} {}", cut(value, 1000))),
        (Fault::StoresAscii, ["put", key, value]) => {
            let value: String = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
            Some(format!("put {key} {value}"))
        }
        (Fault::TakesAnyCase, [command, rest @ ..]) if !is_anonymous => {
            Some([&[command.to_lowercase().as_str()], rest].concat().join(" "))
        }
        (Fault::IgnoresFurtherWords, ["get" | "put", ..]) => Some(words[..words.len().min(3)].join(" ")),
        (Fault::IgnoresFurtherWords, ["q" | "upgrade", ..]) if !is_anonymous => Some(words[0].to_owned()),
        (Fault::SplitsAtWideSpace, _) => Some(message.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

/// What a faulty session answers by itself.
pub(super) fn instead(session: &mut Session, message: &str) -> Option<Answer> {
    let fault = Fault::active()?;
    let stalled = Memory::lock().stalled_until;
    if let Some(until) = stalled {
        thread::sleep(until.saturating_duration_since(std::time::Instant::now()));
    }
    if fault == Fault::SaysDoneToEverything {
        return Some(Status::Done.into());
    }
    let answer = match &session.state {
        State::Anonymous(_) => before_login(session, fault, message),
        State::LoggedIn(login) => after_login(login, fault, message),
        State::Ended => None,
    }?;
    if answer.flow == Flow::Close {
        let state = mem::replace(&mut session.state, State::Ended);
        if let State::LoggedIn(login) = state
            && fault == Fault::FreesNamesAfterTheClose
        {
            free_later(login, HELD[0]);
        }
    }
    Some(answer)
}

fn before_login(session: &Session, fault: Fault, message: &str) -> Option<Answer> {
    let State::Anonymous(registry) = &session.state else { return None };
    let name = parse_name(message);
    let is_held = name.is_ok_and(|name| registry.find(name, |_| ()).is_some());
    match (fault, name) {
        (Fault::RefusesNamesOf64Bytes, Ok(name)) if name.len() == NAME_BYTES_MAX => {
            Some(Status::WrongFormat.into())
        }
        (Fault::TakesAsciiNamesOnly, Ok(name)) if !name.is_ascii() => Some(Status::WrongFormat.into()),
        (Fault::ClosesOnADuplicate, Ok(_)) if is_held => Some(Answer::closing(Status::DuplicateUserName)),
        (Fault::ClosesOnABadName, Err(_)) => Some(Answer::closing(Status::WrongFormat)),
        (Fault::QuitsBeforeLogin, Ok("q")) => Some(Answer::closing(Status::Exiting)),
        (Fault::ServesBeforeLogin, Err(_)) if message.starts_with("get ") => Some(Status::KeyNotFound.into()),
        _ => None,
    }
}

fn after_login(login: &Login, fault: Fault, message: &str) -> Option<Answer> {
    let words: Vec<&str> = message.split_ascii_whitespace().collect();
    let (me, user, registry) = (login.name(), login.user(), login.registry());
    let is_manager = user.is_manager();
    if fault == Fault::KeepsRoles {
        if is_manager {
            Memory::lock().former_managers.insert(me.to_owned());
        } else if Memory::lock().former_managers.contains(me) {
            let _ = registry.promote(user);
        }
    }
    if fault == Fault::StallsAtAFlood && once_in_a_hundred() {
        Memory::lock().stall(Duration::from_secs(2));
    }
    let request = Request::parse(message);
    match request {
        Ok(Request::Put { key, value }) => put(login, fault, key, value),
        Ok(Request::Get { key }) => get(login, fault, key),
        Ok(Request::GetOf { user, key }) => get_of(login, fault, is_manager, user, key),
        Ok(Request::Upgrade { secret }) => upgrade(login, fault, is_manager, secret),
        Ok(Request::Quit) => match fault {
            Fault::QuitsWithoutAWord => Some(Answer { reply: None, flow: Flow::Close }),
            Fault::StaysAfterQuit => Some(Status::Exiting.into()),
            Fault::FreesNamesAfterTheClose => Some(Answer::closing(Status::Exiting)),
            _ => None,
        },
        Err(_) => match (fault, &words[..]) {
            (Fault::IgnoresEmptyMessages, []) => Some(Answer { reply: None, flow: Flow::Continue }),
            (Fault::ClosesOnUnknownCommands, [_, ..]) => Some(Answer::closing(Status::WrongFormat)),
            (Fault::PutsForOthers | Fault::PutsForOthersInSilence, ["put", user, key, value])
                if is_manager && registry.find(user, |_| ()).is_some() =>
            {
                Memory::lock().put(user, key, value);
                let is_silent = fault == Fault::PutsForOthersInSilence;
                Some(if is_silent { Status::WrongFormat } else { Status::Done }.into())
            }
            (Fault::RunsRefusedPuts, ["put", key, value, ..]) => {
                let _ = login.put(key, value);
                Some(Status::WrongFormat.into())
            }
            _ => None,
        },
    }
    .or_else(|| {
        let is_usual = message == words.join(" ");
        (fault == Fault::CountsSpaces && !is_usual).then(|| Status::WrongFormat.into())
    })
}

fn put(login: &Login, fault: Fault, key: &str, value: &str) -> Option<Answer> {
    let me = login.name();
    let is_there = || login.user().get(key, |value| value.is_some());
    match fault {
        Fault::AnswersPutsWithSuccess => login.put(key, value).ok().map(|()| Status::Success.into()),
        Fault::ReplacesNothing if is_there() => Some(Status::Done.into()),
        Fault::JoinsUserAndKey => {
            Memory::lock().put("", &format!("{me}{key}"), value);
            Some(Status::Done.into())
        }
        Fault::HasOneStore => {
            Memory::lock().put("", key, value);
            Some(Status::Done.into())
        }
        Fault::ReservesQ if key == "q" => Some(Status::WrongFormat.into()),
        Fault::StoresWhatItRefuses => {
            let full = login.put(key, value).err();
            Memory::lock().put(me, key, value);
            full.map(|_| Status::StoreFull.into())
        }
        Fault::HasARoleByKey => {
            if (key, value) == ("role", "manager") {
                let _ = login.registry().promote(login.user());
            }
            None
        }
        Fault::ForgetsAPut if once_in_a_hundred() => Some(Status::Done.into()),
        Fault::MixesAPutOnceInAHundred => {
            let before = Memory::lock().get(me, key);
            Memory::lock().put(me, key, value);
            let before = before.filter(|_| once_in_a_hundred())?;
            let half = cut(value, value.len() / 2);
            let mixed = format!("{half}{}", before.get(half.len()..).unwrap_or_default());
            login.put(key, &mixed).ok().map(|()| Status::Done.into())
        }
        Fault::SwapsUsersOnceInAHundred => {
            Memory::lock().put("", "", value);
            None
        }
        Fault::KeepsStores
        | Fault::LeavesStoresToManagers
        | Fault::LagsForManagers
        | Fault::IsStaleOnceInAHundred
        | Fault::IsStaleToManagersOnceInAHundred => {
            Memory::lock().put(me, key, value);
            None
        }
        _ => None,
    }
}

fn get(login: &Login, fault: Fault, key: &str) -> Option<Answer> {
    let me = login.name();
    let is_missing = || login.user().get(key, |value| value.is_none());
    let found = |value: Option<String>| value.map_or_else(|| Status::KeyNotFound.into(), Answer::from);
    match fault {
        Fault::InventsEmptyValues if is_missing() => Some(String::new().into()),
        Fault::JoinsUserAndKey => Some(found(Memory::lock().get("", &format!("{me}{key}")))),
        Fault::HasOneStore => Some(found(Memory::lock().get("", key))),
        Fault::HasARoleKey if key == "role" && is_missing() => Some("guest".to_owned().into()),
        Fault::KeepsStores if is_missing() => Memory::lock().get(me, key).map(Answer::from),
        Fault::StoresWhatItRefuses | Fault::PutsForOthers | Fault::PutsForOthersInSilence => {
            Memory::lock().get(me, key).map(Answer::from)
        }
        Fault::SwapsUsersOnceInAHundred if once_in_a_hundred() => {
            Memory::lock().get("", "").map(Answer::from)
        }
        Fault::IsStaleOnceInAHundred if once_in_a_hundred() => {
            Memory::lock().before(me, key).map(Answer::from)
        }
        _ => None,
    }
}

fn get_of(login: &Login, fault: Fault, is_manager: bool, user: &str, key: &str) -> Option<Answer> {
    let registry = login.registry();
    let value = registry.read(user, key, |found| match found {
        Found::Value(value) => Ok(value.to_owned()),
        Found::NoKey => Err(Status::KeyNotFound),
        Found::NoUser => Err(Status::UserNotFound),
    });
    let answer = |value: Result<String, Status>| Some(value.map_or_else(Answer::from, Answer::from));
    let memory = Memory::lock();
    match fault {
        Fault::DeniesOnlyExistingUsers if !is_manager && value == Err(Status::UserNotFound) => answer(value),
        Fault::DeniesOnlyExistingKeys if !is_manager && value == Err(Status::KeyNotFound) => answer(value),
        Fault::OpensOnesOwnName if !is_manager && user == login.name() => answer(value),
        Fault::ExplainsTheDenial if !is_manager => Some(format!("{}: {user}", Status::Denied.text()).into()),
        Fault::OpensManagersStores if registry.find(user, |user| user.is_manager()) == Some(true) => {
            answer(value)
        }
        _ if !is_manager => None,
        Fault::TakesMissingKeysForUsers if value == Err(Status::KeyNotFound) => {
            Some(Status::UserNotFound.into())
        }
        Fault::TakesMissingUsersForKeys if value == Err(Status::UserNotFound) => {
            Some(Status::KeyNotFound.into())
        }
        Fault::LeavesStoresToManagers if value == Err(Status::UserNotFound) => {
            memory.get(user, key).map(Answer::from)
        }
        Fault::LagsForManagers if value.is_ok() => memory.before(user, key).map(Answer::from),
        Fault::IsStaleToManagersOnceInAHundred if once_in_a_hundred() => {
            memory.before(user, key).map(Answer::from)
        }
        Fault::JoinsUserAndKey if value != Err(Status::UserNotFound) => {
            answer(memory.get("", &format!("{user}{key}")).ok_or(Status::KeyNotFound))
        }
        Fault::HasOneStore if value != Err(Status::UserNotFound) => {
            answer(memory.get("", key).ok_or(Status::KeyNotFound))
        }
        Fault::StoresWhatItRefuses | Fault::PutsForOthers | Fault::PutsForOthersInSilence => {
            memory.get(user, key).map(Answer::from)
        }
        _ => None,
    }
}

fn upgrade(login: &Login, fault: Fault, is_manager: bool, secret: Option<&str>) -> Option<Answer> {
    let (user, registry) = (login.user(), login.registry());
    let policy = registry.upgrade_policy();
    let is_granted = match (fault, policy, secret) {
        (Fault::UpgradesAgain, UpgradePolicy::Open, None) => is_manager,
        (Fault::RefusesUpgrades, UpgradePolicy::Open, None) if !is_manager => {
            return Some(Status::UpgradeRefused.into());
        }
        (Fault::UpgradesInNameOnly, UpgradePolicy::Open, None) if !is_manager => {
            return Some(Status::Upgraded.into());
        }
        (Fault::UpgradesEveryone, UpgradePolicy::Open, None) => {
            let mut names = Vec::new();
            registry.for_each(|name, _| names.push(name.to_owned()));
            for name in names {
                let _ = registry.find(&name, |user| registry.promote(user));
            }
            true
        }
        (Fault::TakesAnySecret, UpgradePolicy::Secret(_), Some(_))
        | (Fault::NeedsNoSecret, UpgradePolicy::Secret(_), None)
        | (Fault::UpgradesThoughClosed, UpgradePolicy::Closed, None)
        | (Fault::TakesASecretThoughOpen, UpgradePolicy::Open, Some(_)) => !is_manager,
        _ => false,
    };
    is_granted.then(|| {
        let _ = registry.promote(user);
        Status::Upgraded.into()
    })
}

/// The longest beginning of a text that has at most this many bytes.
fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

fn free_later(login: Login, time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        drop(login);
    });
}

/// A session that ends without `q` still holds its name here.
impl Drop for Session {
    fn drop(&mut self) {
        let State::LoggedIn(login) = mem::replace(&mut self.state, State::Ended) else { return };
        match Fault::active() {
            Some(Fault::KeepsNames) => mem::forget(login),
            Some(Fault::FreesNamesLate) => free_later(login, HELD[1]),
            Some(Fault::EndsOthersAtALoss) => {
                let mut names = Vec::new();
                login.registry().for_each(|name, _| names.push(name.to_owned()));
                for name in names.iter().filter(|name| *name != login.name()) {
                    drop(login.registry().disconnect(name));
                }
            }
            _ => {}
        }
    }
}
