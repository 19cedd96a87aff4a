//! The figures in the text format of Prometheus (OpenMetrics 1.0).

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::Overview;

/// What the text is, for the reply's head.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures as they are now.
pub(super) fn render(overview: &Arc<Overview>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("twinwire");
    registry.register_collector(Box::new(Figures(Arc::clone(overview))));
    let mut body = String::new();
    text::encode(&mut body, &registry)?;
    Ok(body)
}

#[derive(Debug)]
struct Figures(Arc<Overview>);

/// One name's figures, each with its labels.
type Family<'a> = Vec<(Vec<(&'a str, &'a str)>, u64)>;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Self(overview) = self;
        let totals = overview.totals();
        let (mut keys, mut bytes) = (0, 0);
        overview.registry.for_each(|_, profile| {
            keys += profile.keys as u64;
            bytes += profile.bytes as u64;
        });
        let open = |(transport, open, _): &(crate::transport::Transport, u64, u64)| {
            (vec![("transport", transport.name())], *open)
        };
        let opened = |(transport, _, total): &(crate::transport::Transport, u64, u64)| {
            (vec![("transport", transport.name())], *total)
        };
        let requests = totals
            .requests
            .iter()
            .map(|(command, reply, count)| (vec![("command", command.name()), ("reply", reply)], *count));
        let refusals = totals.refusals.iter().map(|(why, count)| (vec![("reason", why.name())], *count));
        let by_worker = overview.requests_by_worker();
        let numbers: Vec<String> = (0..by_worker.len()).map(|number| number.to_string()).collect();
        let workers =
            numbers.iter().zip(by_worker).map(|(number, count)| (vec![("worker", &**number)], count));
        let alone = |figure: u64| vec![(Vec::new(), figure)];

        gauges(
            &mut encoder,
            "connections_open",
            "Connections now",
            &totals.connections.iter().map(open).collect(),
        )?;
        counters(
            &mut encoder,
            "connections",
            "Connections ever",
            &totals.connections.iter().map(opened).collect(),
        )?;
        counters(&mut encoder, "requests", "Requests by command and reply", &requests.collect())?;
        counters(&mut encoder, "worker_requests", "Requests by worker", &workers.collect())?;
        counters(
            &mut encoder,
            "refusals",
            "Connections turned away or ended by the server",
            &refusals.collect(),
        )?;
        counters(&mut encoder, "received_bytes", "Bytes read from clients", &alone(totals.bytes_received))?;
        counters(&mut encoder, "sent_bytes", "Bytes made for clients", &alone(totals.bytes_sent))?;
        gauges(
            &mut encoder,
            "stores",
            "Users logged in, each with a store",
            &alone(overview.registry.len() as u64),
        )?;
        gauges(
            &mut encoder,
            "managers",
            "Users who are managers",
            &alone(overview.registry.managers() as u64),
        )?;
        gauges(&mut encoder, "keys", "Keys in all stores", &alone(keys))?;
        gauges(&mut encoder, "stored_bytes", "Bytes of keys and values in all stores", &alone(bytes))?;
        gauges(
            &mut encoder,
            "uptime_seconds",
            "Since the start",
            &alone(overview.started.elapsed().as_secs()),
        )
    }
}

fn counters(encoder: &mut DescriptorEncoder, name: &str, help: &str, family: &Family<'_>) -> fmt::Result {
    each(encoder, name, help, family, ConstCounter::new)
}

fn gauges(encoder: &mut DescriptorEncoder, name: &str, help: &str, family: &Family<'_>) -> fmt::Result {
    each(encoder, name, help, family, |figure| ConstGauge::new(i64::try_from(figure).unwrap_or(i64::MAX)))
}

fn each<M: EncodeMetric>(
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
