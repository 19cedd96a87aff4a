//! What the system reports about this process, under the names that every program's exporter uses (`process_…`).

use std::{
    fmt, fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::resource::{Resource, UsageWho, getrlimit, getrusage},
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// The process's metrics. What the system does not report is left out.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut encode = |name: &str, help: &str, metric: Option<&dyn EncodeMetric>| match metric {
            Some(metric) => {
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
            }
            None => Ok(()),
        };
        let gauge = |figure: Option<f64>| figure.map(ConstGauge::new);
        let cpu = cpu_seconds().map(ConstCounter::new);
        let (virtual_bytes, resident) =
            memory_bytes().map_or((None, None), |(all, here)| (Some(all), Some(here)));
        encode("process_cpu_seconds", "CPU time, user and system", cpu.as_ref().map(|metric| metric as _))?;
        for (name, help, metric) in [
            ("process_resident_memory_bytes", "Resident memory", gauge(resident)),
            ("process_virtual_memory_bytes", "Virtual memory", gauge(virtual_bytes)),
            ("process_open_fds", "Open file descriptors", gauge(open_descriptors())),
            ("process_max_fds", "The most file descriptors that may be open", gauge(descriptors_max())),
            ("process_start_time_seconds", "When the process started, in Unix time", gauge(started_at())),
        ] {
            encode(name, help, metric.as_ref().map(|metric| metric as _))?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = usage.user_time() + usage.system_time();
    Some(time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
}

/// Virtual and resident memory.
fn memory_bytes() -> Option<(f64, f64)> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()?? as f64;
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = pages.split(' ').map_while(|count| count.parse::<f64>().ok());
    Some((pages.next()? * page, pages.next()? * page))
}

fn open_descriptors() -> Option<f64> {
    // The folder itself is open meanwhile.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn descriptors_max() -> Option<f64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64)
}

/// Calculated back from now: /proc/stat, which has the time of the boot, is hidden from a service with few rights.
fn started_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name before it may contain anything, but it is the last thing in parentheses. The time is field 22.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let after_boot = ticks / sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?).as_secs_f64();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(now - up + after_boot)
}
