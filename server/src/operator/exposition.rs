//! The metrics in the text formats of Prometheus.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{AdminState, process};
use crate::counters::{ConnectionTotals, LOG_LINES_DROPPED};

/// The metrics as they are now, in OpenMetrics 1.0.
pub(super) fn render(state: &Arc<AdminState>) -> Result<String, fmt::Error> {
    let mut server = Registry::with_prefix("twinwire");
    server.register_collector(Box::new(ServerMetrics(Arc::clone(state))));
    // Their names are the same for every program.
    let mut process = Registry::default();
    process.register_collector(Box::new(process::ProcessMetrics));
    let mut body = String::new();
    text::encode_registry(&mut body, &server)?;
    text::encode_registry(&mut body, &process)?;
    text::encode_eof(&mut body)?;
    Ok(body)
}

/// The same in the text format that came before OpenMetrics: a counter is described under the name that its sample has,
/// and there are neither units nor an end.
pub(super) fn as_plain_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let of = |line: &str, keyword: &str| {
            let (name, rest) = line.strip_prefix(keyword)?.split_once(' ')?;
            Some((name.to_owned(), rest.to_owned()))
        };
        if let Some((name, help)) = of(line, "# HELP ") {
            // The line after it states the type.
            let is_counter =
                lines.peek().and_then(|next| of(next, "# TYPE ")).is_some_and(|(_, kind)| kind == "counter");
            let suffix = if is_counter { "_total" } else { "" };
            text.extend(["# HELP ", &name, suffix, " ", &help]);
        } else if let Some((name, kind)) = of(line, "# TYPE ") {
            let suffix = if kind == "counter" { "_total" } else { "" };
            text.extend(["# TYPE ", &name, suffix, " ", &kind]);
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct ServerMetrics(Arc<AdminState>);

enum Kind {
    Counter,
    Gauge,
}

/// The samples of one name, each with its labels.
type Family<'a> = Vec<(Vec<(&'a str, &'a str)>, u64)>;

impl Collector for ServerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Self(state) = self;
        let totals = state.totals();
        let stored = state.stored();
        let open = |of: &ConnectionTotals| (vec![("transport", of.transport.name())], of.open);
        let opened = |of: &ConnectionTotals| (vec![("transport", of.transport.name())], of.opened);
        let requests = totals
            .requests
            .iter()
            .map(|of| (vec![("command", of.command.name()), ("reply", of.reply)], of.count));
        let refusals = totals.refusals.iter().map(|(why, count)| (vec![("reason", why.name())], *count));
        let by_worker = state.requests_by_worker();
        let numbers: Vec<String> = (0..by_worker.len()).map(|number| number.to_string()).collect();
        let workers =
            numbers.iter().zip(by_worker).map(|(number, count)| (vec![("worker", &**number)], count));
        let unlabelled = |figure: u64| vec![(Vec::new(), figure)];
        let version = vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1)];
        let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
        let families: [(Kind, &str, &str, Family<'_>); 14] = [
            (
                Kind::Gauge,
                "connections_open",
                "Connections now",
                totals.connections.iter().map(open).collect(),
            ),
            (
                Kind::Counter,
                "connections",
                "Connections since the start",
                totals.connections.iter().map(opened).collect(),
            ),
            (Kind::Counter, "requests", "Requests by command and reply", requests.collect()),
            (Kind::Counter, "worker_requests", "Requests by worker", workers.collect()),
            (Kind::Counter, "refusals", "Connections turned away or ended by the server", refusals.collect()),
            (Kind::Counter, "received_bytes", "Bytes read from clients", unlabelled(totals.bytes_received)),
            (Kind::Counter, "sent_bytes", "Bytes made for clients", unlabelled(totals.bytes_sent)),
            (
                Kind::Gauge,
                "stores",
                "Users logged in, each with a store",
                unlabelled(state.registry.len() as u64),
            ),
            (Kind::Gauge, "managers", "Users who are managers", unlabelled(state.registry.managers() as u64)),
            (Kind::Gauge, "keys", "Keys in all stores", unlabelled(stored.keys as u64)),
            (
                Kind::Gauge,
                "stored_bytes",
                "Bytes of keys and values in all stores",
                unlabelled(stored.bytes as u64),
            ),
            (
                Kind::Counter,
                "log_lines_dropped",
                "Log lines dropped because standard error was not read in time",
                unlabelled(dropped),
            ),
            (Kind::Gauge, "build_info", "Always 1; the labels show which program this is", version),
            (Kind::Gauge, "uptime_seconds", "Since the start", unlabelled(state.started.elapsed().as_secs())),
        ];
        for (kind, name, help, family) in families {
            match kind {
                Kind::Counter => encode_family(&mut encoder, name, help, &family, ConstCounter::new)?,
                Kind::Gauge => encode_family(&mut encoder, name, help, &family, |figure| {
                    ConstGauge::new(i64::try_from(figure).unwrap_or(i64::MAX))
                })?,
            }
        }
        Ok(())
    }
}

fn encode_family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    family: &Family<'_>,
    metric: impl Fn(u64) -> M,
) -> fmt::Result {
    let mut metrics = encoder.encode_descriptor(name, help, None, metric(0).metric_type())?;
    for (labels, figure) in family {
        if labels.is_empty() {
            return metric(*figure).encode(metrics);
        }
        metric(*figure).encode(metrics.encode_family(&labels.as_slice())?)?;
    }
    Ok(())
}
