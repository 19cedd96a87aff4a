//! What a request costs in instructions: parsing, session and registry, and cutting a stream into lines.
//!
//! Instructions, not time, so that a regression shows on a busy machine too. `cargo bench -p twinwire-server --bench
//! instructions` counts each function below once, under valgrind's callgrind by way of gungraun, and shows beside each
//! count how far it is from that of the last run; `-- --save-baseline=NAME` and `-- --baseline=NAME` name one to compare
//! with. Each function is one request, but for the batch of lines. Each takes what it works on and gives it back, so that
//! neither making nor dropping that is counted.
//!
//! Counts of hash tables differ by a few instructions between runs, since their seeds do.
//!
//! Without valgrind or gungraun's runner it says what is missing, and that is no failure. Without `--bench` (as `cargo
//! test` calls it) each function is run once, uncounted, and its result looked at.

use std::{env, hint::black_box, sync::Arc};

use twinwire_bench_support::run::is_installed;
use twinwire_server::{
    fuzzing::count_lines,
    protocol::{MESSAGE_BYTES_MAX, Request},
    registry::{Login, Peer, Registry, UpgradePolicy},
    session::{Flow, Session},
};

/// Users of the registry and keys of each: as many as a load has, so nothing is specially small.
const USERS: usize = 64;
const KEYS: usize = 10;

/// 16 bytes, the harness's smallest value.
const VALUE: &str = "abcdef0123456789";

/// Requests in a batch, half puts and half gets.
const BATCH: usize = 32;

/// A session in a registry with others.
struct Scene {
    registry: Arc<Registry>,
    _others: Vec<Session>,
    session: Session,
    output: Vec<u8>,
    login: Option<Login>,
}

impl Scene {
    /// A session that has not logged in.
    fn new() -> Self {
        let registry = Arc::new(Registry::new(UpgradePolicy::Open));
        // Users that have left again, so that the table need not grow while it is counted.
        drop(
            (0..16 * USERS)
                .map(|number| registry.claim(&format!("gone{number}"), Peer::LOCAL))
                .collect::<Vec<_>>(),
        );
        let others = (0..USERS).map(|number| user(&registry, &format!("user{number}"))).collect();
        let session = Session::new(Arc::clone(&registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::default());
        Self { registry, _others: others, session, output: Vec::with_capacity(1024), login: None }
    }

    /// A guest with keys.
    fn guest() -> Self {
        let scene = Self::new();
        let session = user(&scene.registry, "alice");
        Self { session, ..scene }
    }

    fn manager() -> Self {
        say(Self::guest(), "upgrade")
    }

    /// The session's last reply.
    fn reply(&self) -> &str {
        std::str::from_utf8(&self.output).unwrap_or_default()
    }
}

fn user(registry: &Arc<Registry>, name: &str) -> Session {
    let mut session = Session::new(Arc::clone(registry), Peer::LOCAL, MESSAGE_BYTES_MAX, Arc::default());
    let puts = (0..KEYS).map(|key| format!("put k{key} {VALUE}"));
    for message in std::iter::once(name.to_owned()).chain(puts) {
        assert_eq!(session.handle(message.as_bytes(), |_| {}), Flow::Continue);
    }
    session
}

/// A message through the session, its reply copied as a transport copies it.
fn say(mut scene: Scene, message: &str) -> Scene {
    let Scene { session, output, .. } = &mut scene;
    output.clear();
    let flow = session.handle(black_box(message).as_bytes(), |reply| {
        output.extend_from_slice(reply.text().as_bytes());
    });
    let _ = black_box(flow);
    scene
}

/// A batch as it comes in one segment.
fn batch() -> Vec<u8> {
    let pair = |number: usize| format!("put k{key} {VALUE}\nget k{key}\n", key = number % KEYS);
    (0..BATCH / 2).map(pair).collect::<String>().into_bytes()
}

/// A name taken in a registry with others.
fn claimed(mut scene: Scene) -> Scene {
    scene.login = scene.registry.claim(black_box("bob"), Peer::LOCAL);
    scene
}

/// What gungraun counts.
mod counted {
    use std::hint::black_box;

    use gungraun::{
        Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group,
    };
    use twinwire_server::fuzzing::count_lines;
    use twinwire_server::protocol::{Malformed, Request};
    use twinwire_server::registry::Found;

    use super::{Scene, batch, claimed, say};

    #[library_benchmark]
    #[bench::put("put k3 abcdef0123456789")]
    #[bench::get("get k3")]
    #[bench::get_other("get user7 k3")]
    #[bench::upgrade("upgrade")]
    #[bench::quit("q")]
    #[bench::malformed("put k3")]
    fn parse(message: &'static str) -> Result<Request<'static>, Malformed> {
        black_box(Request::parse(black_box(message)))
    }

    #[library_benchmark]
    #[bench::login(Scene::new(), "alice")]
    #[bench::put(Scene::guest(), "put k3 abcdef0123456789")]
    #[bench::put_new(Scene::guest(), "put k abcdef0123456789")]
    #[bench::get(Scene::guest(), "get k3")]
    #[bench::get_none(Scene::guest(), "get k")]
    #[bench::get_other(Scene::manager(), "get user7 k3")]
    #[bench::denied(Scene::guest(), "get user7 k3")]
    #[bench::upgrade(Scene::guest(), "upgrade")]
    #[bench::quit(Scene::guest(), "q")]
    #[bench::malformed(Scene::guest(), "put k3")]
    fn session(scene: Scene, message: &str) -> Scene {
        black_box(say(scene, message))
    }

    #[library_benchmark]
    #[bench::name(Scene::new())]
    fn claim(scene: Scene) -> Scene {
        black_box(claimed(scene))
    }

    // The name given back.
    #[library_benchmark]
    #[bench::name(claimed(Scene::new()))]
    fn release(mut scene: Scene) -> Scene {
        scene.login = None;
        black_box(scene)
    }

    // Another's key looked up by name, as for a manager; with the length of the value.
    #[library_benchmark]
    #[bench::value(Scene::guest())]
    fn look_up(scene: Scene) -> (Scene, usize) {
        let length = scene.registry.read(black_box("user7"), black_box("k3"), |found| match found {
            Found::Value(value) => value.len(),
            Found::NoKey | Found::NoUser => 0,
        });
        black_box((scene, length))
    }

    // A batch cut into lines; with their number.
    #[library_benchmark]
    #[bench::batch_of_32(batch())]
    fn cut(bytes: Vec<u8>) -> (Vec<u8>, usize) {
        let lines = count_lines(black_box(&bytes));
        black_box((bytes, lines))
    }

    library_benchmark_group!(name = requests, benchmarks = [parse, session]);
    library_benchmark_group!(name = registry, benchmarks = [claim, release, look_up]);
    library_benchmark_group!(name = lines, benchmarks = [cut]);

    gungraun::main!(
        config = LibraryBenchmarkConfig::default()
            .tool(Callgrind::with_args(["--cache-sim=no"]).format([EventKind::Ir]));
        library_benchmark_groups = requests, registry, lines
    );

    /// Counts all of them, or, under valgrind, runs the one that is counted.
    pub fn run() {
        main();
    }
}

fn main() {
    // The runner starts this executable under valgrind, once for each function.
    if env::args().nth(1).as_deref() == Some("--gungraun-run") {
        counted::run();
    } else if !env::args().any(|argument| argument == "--bench") {
        try_all();
    } else if !is_installed("valgrind") {
        println!("instructions: not measured: valgrind is not installed (Debian: apt-get install valgrind)");
    } else if !is_installed("gungraun-runner") {
        // It must have the very version of the library here.
        println!(
            "instructions: not measured: gungraun's runner is not installed \
             (cargo install gungraun-runner --version 0.20.0)"
        );
    } else {
        counted::run();
    }
}

/// Runs everything once and looks at the results.
fn try_all() {
    for (message, expected) in
        [("get k3", VALUE), ("put k3 x", "done"), ("get k x y", "wrong message format")]
    {
        assert_eq!(say(Scene::guest(), message).reply(), expected);
    }
    let denied = "you are not allowed to access keys of other users";
    assert_eq!(say(Scene::guest(), "get user7 k3").reply(), denied);
    assert_eq!(say(Scene::manager(), "get user7 k3").reply(), VALUE);
    let scene = say(Scene::new(), "alice");
    assert_eq!((scene.reply(), scene.registry.len()), ("success", USERS + 1));
    assert_eq!(Request::parse("get a"), Ok(Request::Get { key: "a" }));
    let mut scene = claimed(Scene::new());
    assert_eq!((scene.login.is_some(), scene.registry.len()), (true, USERS + 1));
    scene.login = None;
    assert_eq!(scene.registry.len(), USERS);
    assert_eq!(count_lines(&batch()), BATCH);
}
