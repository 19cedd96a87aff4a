//! The work that is counted, as plain functions, and what it is done on.

use std::{hint::black_box, sync::Arc};

use twinwire_server::{
    fuzzing::count_lines,
    protocol::{MESSAGE_BYTES_MAX, Malformed, Request},
    registry::{Found, Login, Registry, UpgradePolicy},
    session::{Flow, Session},
};

/// Users of the registry and keys of each: as many as a load has, so nothing is specially small.
const USERS: usize = 64;
const KEYS: usize = 10;

/// Users that the table of names has had room for.
const CROWD: usize = 16 * USERS;

/// 16 bytes, the harness's smallest value.
const VALUE: &str = "abcdef0123456789";

/// Requests in a batch, half puts and half gets.
const BATCH: usize = 32;

/// A session in a registry with others.
pub struct Scene {
    registry: Arc<Registry>,
    _others: Vec<Session>,
    session: Session,
    output: Vec<u8>,
    login: Option<Login>,
}

impl Scene {
    /// A session that has not logged in.
    pub fn stranger() -> Self {
        let registry = Arc::new(Registry::new(UpgradePolicy::Open));
        // A crowd that has left again, so that the table need not grow while it is counted.
        drop((0..CROWD).map(|number| registry.claim(&format!("gone{number}"))).collect::<Vec<_>>());
        let others = (0..USERS).map(|number| user(&registry, &format!("user{number}"))).collect();
        let session = Session::new(Arc::clone(&registry), MESSAGE_BYTES_MAX, Arc::default());
        Self { registry, _others: others, session, output: Vec::with_capacity(1024), login: None }
    }

    /// A guest with keys.
    pub fn guest() -> Self {
        let scene = Self::stranger();
        let session = user(&scene.registry, "alice");
        Self { session, ..scene }
    }

    /// A manager.
    pub fn manager() -> Self {
        say(Self::guest(), "upgrade")
    }

    /// What the session has replied last.
    fn reply(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap_or_default()
    }
}

fn user(registry: &Arc<Registry>, name: &str) -> Session {
    let mut session = Session::new(Arc::clone(registry), MESSAGE_BYTES_MAX, Arc::default());
    let puts = (0..KEYS).map(|key| format!("put k{key} {VALUE}"));
    for message in std::iter::once(name.to_owned()).chain(puts) {
        assert_eq!(session.handle(message.as_bytes(), |_| {}), Flow::Continue);
    }
    session
}

/// A message through the session, its reply copied as a transport copies it.
pub fn say(mut scene: Scene, message: &str) -> Scene {
    let Scene { session, output, .. } = &mut scene;
    output.clear();
    let flow = session.handle(black_box(message).as_bytes(), |reply| {
        output.extend_from_slice(reply.text().as_bytes());
    });
    let _ = black_box(flow);
    scene
}

/// A message's form.
pub fn parse(message: &'static str) -> Result<Request<'static>, Malformed> {
    Request::parse(black_box(message))
}

/// A name taken in a registry with others.
pub fn claim(mut scene: Scene) -> Scene {
    scene.login = scene.registry.claim(black_box("bob"));
    scene
}

/// The name given back.
pub fn release(mut scene: Scene) -> Scene {
    scene.login = None;
    scene
}

/// Another's key looked up by name, as for a manager; with the length of the value.
pub fn look_up(scene: Scene) -> (Scene, usize) {
    let length = scene.registry.read(black_box("user7"), black_box("k3"), |found| match found {
        Found::Value(value) => value.len(),
        Found::NoKey | Found::NoUser => 0,
    });
    (scene, length)
}

/// A batch as it comes in one segment.
pub fn batch() -> Vec<u8> {
    let pair = |number: usize| format!("put k{key} {VALUE}\nget k{key}\n", key = number % KEYS);
    (0..BATCH / 2).map(pair).collect::<String>().into_bytes()
}

/// A batch cut into lines; with their number.
pub fn cut(bytes: Vec<u8>) -> (Vec<u8>, usize) {
    let lines = count_lines(black_box(&bytes));
    (bytes, lines)
}

/// Runs everything once and looks at what comes of it.
pub fn try_all() {
    for (message, expected) in
        [("get k3", VALUE), ("put k3 x", "done"), ("get k x y", "wrong message format")]
    {
        assert_eq!(say(Scene::guest(), message).reply(), expected);
    }
    assert_eq!(say(Scene::stranger(), "alice").reply(), "success");
    assert_eq!(say(Scene::manager(), "get user7 k3").reply(), VALUE);
    assert_eq!(
        say(Scene::guest(), "get user7 k3").reply(),
        "you are not allowed to access keys of other users"
    );
    assert_eq!(parse("get a"), Ok(Request::Get { key: "a" }));
    let scene = claim(Scene::stranger());
    assert_eq!((scene.login.is_some(), scene.registry.len()), (true, USERS + 1));
    assert_eq!(release(scene).registry.len(), USERS);
    assert_eq!(look_up(Scene::guest()).1, VALUE.len());
    assert_eq!(cut(batch()).1, BATCH);
}
