//! The child's side: this executable started once more to be one server or one generator for one window.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use twinwire::targets::embedded;
use twinwire_floor::cpus;
use twinwire_floor::options::outcome;
use twinwire_floor::roles::{Role as Shared, Task, Wire, generate, play as play_shared};

use crate::ours::{self, Mix};

/// What a child is to be, beside what it can be in any bench.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Role {
    ReferenceServer {
        wire: Wire,
        cpu: usize,
    },
    OurGenerator(Task),
    /// Ours, with puts and gets of redis-benchmark's size.
    OurMixedGenerator(Task),
}

/// Becomes what the argument says: something that any bench has, or a role of this one's own.
pub fn play(role: &str) -> ExitCode {
    let ended = |result: anyhow::Result<()>| outcome("floor", result.map(|()| true));
    if let Ok(role) = serde_json::from_str::<Shared>(role) {
        return ended(play_shared(&role));
    }
    match serde_json::from_str(role) {
        Ok(Role::ReferenceServer { wire, cpu }) => reference_server(wire, cpu),
        Ok(Role::OurGenerator(task)) => ended(generate(&task, |task| ours::generate(task, Mix::Gets))),
        Ok(Role::OurMixedGenerator(task)) => {
            ended(generate(&task, |task| ours::generate(task, Mix::PutsAndGets)))
        }
        Err(error) => ended(Err(error.into())),
    }
}

fn reference_server(wire: Wire, cpu: usize) -> ExitCode {
    cpus::pin(&[cpu]);
    let listener = match wire {
        Wire::Tcp => "--tcp",
        Wire::WebSocket => "--ws",
    };
    let cpu = cpu.to_string();
    let arguments = ["--until-stdin-closes", listener, "127.0.0.1:0", "--cpus", &cpu];
    embedded::serve(arguments.into_iter().map(Into::into).collect())
}
