//! The functions that gungraun counts. Each takes what it works on and gives it back, so that neither is counted.

use std::hint::black_box;

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group};
use twinwire_server::protocol::{Malformed, Request};

use crate::work::{self, Scene};

#[library_benchmark]
#[bench::put("put k3 abcdef0123456789")]
#[bench::get("get k3")]
#[bench::get_other("get user7 k3")]
#[bench::upgrade("upgrade")]
#[bench::quit("q")]
#[bench::malformed("put k3")]
fn parse(message: &'static str) -> Result<Request<'static>, Malformed> {
    black_box(work::parse(message))
}

#[library_benchmark]
#[bench::login(Scene::stranger(), "alice")]
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
    black_box(work::say(scene, message))
}

#[library_benchmark]
#[bench::name(Scene::stranger())]
fn claim(scene: Scene) -> Scene {
    black_box(work::claim(scene))
}

#[library_benchmark]
#[bench::name(work::claim(Scene::stranger()))]
fn release(scene: Scene) -> Scene {
    black_box(work::release(scene))
}

#[library_benchmark]
#[bench::value(Scene::guest())]
fn look_up(scene: Scene) -> (Scene, usize) {
    black_box(work::look_up(scene))
}

#[library_benchmark]
#[bench::batch_of_32(work::batch())]
fn cut(bytes: Vec<u8>) -> (Vec<u8>, usize) {
    black_box(work::cut(bytes))
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
