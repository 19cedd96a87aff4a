//! Our generator, as `twinwire run` drives it: the engine with every reply judged and everything recorded.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use twinwire::load::engine::Engine;
use twinwire::load::pass::RunEnd;
use twinwire::load::placement::Placement;
use twinwire::record::Cost;
use twinwire::scenario::Document;
use twinwire::targets::Target;
use twinwire::wire::{Endpoint, Site};
use twinwire_floor::message::{KEYS, MIX_VALUE, VALUE};
use twinwire_floor::roles::{Task, Wire};
use twinwire_floor::window::Window;

/// The load goes on for so long after the window. The engine samples the processes at every whole second and at the
/// load's end, and the last of these is lost where the load ends first: so the end is kept away from the second
/// that matters, by more than a coordinator waits for its turn on the CPU that it shares with a busy worker.
const TAIL: Duration = Duration::from_millis(300);

/// What our generator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// What the floor's asks: `get` of its own keys, values of the same size.
    Gets,
    /// What redis-benchmark asks: as many puts as gets, of its size.
    PutsAndGets,
}

/// Runs one pass of one window. It is of whole seconds: a shorter length is rounded up.
pub fn generate(task: &Task, mix: Mix) -> anyhow::Result<Window> {
    let length = Duration::from_secs(task.length.as_secs().max(1)) + TAIL;
    let text = scenario(task, length, mix);
    let document = Document::parse("floor.toml", &text, &[])?;
    Engine::check(&document)?;
    let endpoint = match task.wire {
        Wire::Tcp => Endpoint::Tcp(task.server.into()),
        Wire::WebSocket => {
            let site = Site::root(false, &task.server.ip().to_string(), task.server.port());
            Endpoint::WebSocket(task.server.into(), site)
        }
    };
    let mut target = Target::External { endpoints: vec![endpoint], pid: Some(task.server_pid) };
    // The sender lives until the run is over: nobody interrupts it.
    let (_stop, interrupt) = watch::channel(false);
    let engine = Engine {
        document: &document,
        target: &mut target,
        placement: Placement { server: task.server_cpus.clone(), generator: task.generator_cpus.clone() },
        interrupt,
        on_event: &mut |_| {},
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(engine.run());
    ensure!(matches!(result.end, RunEnd::Complete), "our generator's run ended early: {:?}", result.end);
    ensure!(result.violations_total == 0, "wrong replies: {:?}", result.violations);
    let pass = result.passes.first().context("our generator ran nothing")?;
    ensure!(pass.ledger.values_read > 0, "our generator read no value");
    window(&pass.cost)
}

/// The window that our engine measured by itself.
fn window(cost: &Cost) -> anyhow::Result<Window> {
    Ok(Window {
        requests: cost.replies,
        seconds: cost.seconds,
        server_cpu_ns: cost.server_cpu_ns.context("the engine did not read the server's CPU time")?,
        generator_cpu_ns: cost.generator_cpu_ns.context("the engine did not read its own CPU time")?,
        steal: cost.steal,
    })
}

/// A scenario in which our generator asks this.
fn scenario(task: &Task, duration: Duration, mix: Mix) -> String {
    let (transport, connections) = (task.wire.name(), task.connections);
    let (warmup_ms, duration_ms) = (task.warmup.as_millis(), duration.as_millis());
    let (mix, size) = match mix {
        Mix::Gets => ("get = 1", VALUE.len()),
        Mix::PutsAndGets => ("get = 1, put = 1", MIX_VALUE.len()),
    };
    format!(
        r#"
name = "floor"
transports = ["{transport}"]

[[load]]
name = "closed"
model = "closed"
think = "0ms"
warmup = "{warmup_ms}ms"
duration = "{duration_ms}ms"
trials = 1

[[clients]]
name = "guests"
role = "guest"
count = {connections}
mix = {{ {mix} }}
keys = {{ count = {KEYS}, distribution = "uniform" }}
values = {{ size = {size} }}
"#
    )
}
