//! Our generator, as `twinwire run` drives it: the engine with every reply judged and everything recorded.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use twinwire::load::engine::{Engine, Placement};
use twinwire::load::pass::Ending;
use twinwire::scenario::Document;
use twinwire::target::Target;
use twinwire::wire::Endpoint;

use crate::message::{self, Mix};
use crate::roles::{Task, Wire};
use crate::window::Window;

/// The load goes on for so long after the window. The engine samples the processes at every whole second and at the
/// load's end, and the last of these is lost where the load ends first: so the end is kept away from the second
/// that matters, by more than a coordinator waits for its turn on the CPU that it shares with a busy worker.
const TAIL: Duration = Duration::from_millis(300);

/// Runs one pass of one window. It is of whole seconds: a shorter length is rounded up.
pub fn generate(task: &Task, mix: Mix) -> anyhow::Result<Window> {
    let length = Duration::from_secs(task.length.as_secs().max(1)) + TAIL;
    let text = message::scenario(task.wire.name(), task.connections, task.warmup, length, mix);
    let document = Document::parse("floor.toml", &text, &[])?;
    Engine::check(&document)?;
    let endpoint = match task.wire {
        Wire::Tcp => Endpoint::Tcp(task.server),
        Wire::WebSocket => Endpoint::WebSocket(task.server, format!("ws://{}/", task.server)),
    };
    let mut target = Target::External { endpoints: vec![endpoint], pid: Some(task.server_pid) };
    // The sender lives until the run is over: nobody interrupts it.
    let (_stop, interrupt) = watch::channel(false);
    let engine = Engine {
        document: &document,
        target: &mut target,
        placement: Placement { server: vec![task.server_cpu], generator: vec![task.generator_cpu] },
        interrupt,
        tell: &mut |_| {},
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(engine.run());
    ensure!(
        matches!(result.ending, Ending::Complete),
        "our generator's run ended early: {:?}",
        result.ending
    );
    ensure!(result.violations_total == 0, "wrong replies: {:?}", result.violations);
    let pass = result.passes.first().context("our generator ran nothing")?;
    ensure!(pass.ledger.values_read > 0, "our generator read no value");
    Window::of_cost(&pass.cost)
}
