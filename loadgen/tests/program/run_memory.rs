//! `twinwire run` and `report`: the harness's memory does not grow with the number of passes.

#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Place, twinwire};

/// Memory that many passes may take beyond a few: what a pass adds to the record is some KB for each of its cells; the
/// histograms that a cell is measured with take 0.8 MB.
const MORE_KIB_MAX: u64 = 32 * 1024;

/// A sweep of many short variants, of six cells each.
fn sweep(variants: u32) -> String {
    let sizes: Vec<String> = (1..=variants).map(|more| (16 + more).to_string()).collect();
    format!(
        r#"
name = "sweep"
transports = ["tcp"]

[[load]]
name = "short"
model = "closed"
think = "2ms"
warmup = "0ms"
duration = "100ms"

[[clients]]
name = "guests"
role = "guest"
count = 2
mix = {{ put = 1, get = 1, get-missing = 1, get-other = 1 }}
keys = {{ count = 4 }}

[[clients]]
name = "managers"
role = "manager"
count = 1
mix = {{ get-other = 1, get = 1 }}
keys = {{ count = 4 }}

[sweep]
"clients.guests.values.size" = [{}]
"#,
        sizes.join(", ")
    )
}

/// The most memory that a program had at once, in KiB; it must end well.
fn peak_kib(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(peak);
        if let Some(ended) = child.try_wait().unwrap() {
            // 4: a busy machine may make the figures invalid; there are as many of them.
            assert!(matches!(ended.code(), Some(0 | 4)), "{ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_sweep_of_many_passes_takes_no_more_memory_than_one_of_few() {
    let [few, many] = [2, 40].map(|variants| {
        let place = Place::with(&sweep(variants));
        let ran = peak_kib(&mut place.run(&["--quiet"]));
        let drawn = peak_kib(twinwire().arg("report").arg(place.out()));
        [ran, drawn]
    });
    for (what, few, many) in [("run", few[0], many[0]), ("report", few[1], many[1])] {
        assert!(few > 0 && many < few + MORE_KIB_MAX, "{what}: {few} KiB for 2 variants, {many} for 40");
    }
}
