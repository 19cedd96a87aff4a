//! A `[[load]]`: when requests are made, and for how long.

use std::time::Duration;

use super::Audience;
use crate::domain::{Arrivals, Model, Rate, Think, Timing};
use crate::scenario::diagnostics::Problems;
use crate::scenario::model::{Load, Phase, Ramp};
use crate::scenario::reader::Reader;
use crate::scenario::shape::parse_duration;
use crate::scenario::tree::{Node, Value};
use crate::text::thousands;

/// Decodes one load.
pub(super) fn load(reader: Reader<'_>, audience: &Audience<'_>, problems: &mut Problems) -> Option<Load> {
    let is_open = reader.text("model").map(|model| model == "open");
    let phases = phases(reader, is_open, audience, problems);
    let model = match is_open {
        Some(true) => open(reader, phases.as_deref(), problems),
        Some(false) => closed(reader, problems),
        None => None,
    };
    let length = phases.as_deref().map(|phases| phases.iter().map(|phase| phase.duration).sum());
    let interleave = reader.duration("interleave");
    if interleave.is_some() {
        check_interleave(reader, interleave, length, audience, problems);
    }
    if reader.integer("in-flight").is_some_and(|count: u32| count > 1) && audience.unframed {
        problems
            .add("more than one outstanding request over \"tcp-raw\"", reader.at("in-flight"))
            .label("must be 1 here")
            .help("without framing, a reply cannot be told from the next one: one request at a time");
    }
    Some(Load {
        name: reader.text("name")?.to_owned(),
        model: model?,
        in_flight: std::num::NonZeroU32::new(reader.integer("in-flight")?)?,
        warmup: reader.duration("warmup")?,
        phases: phases?,
        trials: reader.integer("trials")?,
        interleave,
        headline: reader.flag("headline")?,
        timing: timing(reader)?,
    })
}

/// What the load's latencies are for.
pub(super) fn timing(reader: Reader<'_>) -> Option<Timing> {
    let name = reader.text("timing")?;
    [Timing::Judged, Timing::Unjudged].into_iter().find(|timing| timing.name() == name)
}

fn open(reader: Reader<'_>, phases: Option<&[Phase]>, problems: &mut Problems) -> Option<Model> {
    if let Some(at) = reader.given("think") {
        problems.add("`think` in an open load", at).label("only a closed load thinks").help(
            "an open load's requests come at their own instants: set `rate`, or make it model = \"closed\"",
        );
    }
    let everywhere = phases.is_none_or(|phases| phases.iter().all(|phase| phase.rate.is_some()));
    if reader.given("rate").is_none() && !everywhere {
        problems
            .add("an open load without a rate", reader.at("model"))
            .label("needs `rate`, or phases that each have one")
            .help("write rate = 1000 (requests/s over all clients), or rate = { share = 0.4 }");
        return None;
    }
    let arrivals = match reader.text("arrivals")? {
        "uniform" => Arrivals::Uniform,
        _ => Arrivals::Poisson,
    };
    Some(Model::Open { rate: rate(reader), arrivals })
}

fn rate(reader: Reader<'_>) -> Option<Rate> {
    match reader.table("rate") {
        Some(table) => table.number("share").map(Rate::Share),
        None => reader.number("rate").map(Rate::PerSecond),
    }
}

fn closed(reader: Reader<'_>, problems: &mut Problems) -> Option<Model> {
    for key in ["rate", "arrivals"] {
        if let Some(at) = reader.given(key) {
            problems
                .add(format!("`{key}` in a closed load"), at)
                .label("only an open load has one")
                .help("a closed load's rate is the server's doing: set `think`, or make it model = \"open\"");
        }
    }
    let think = match reader.table("think") {
        Some(table) => Think::Exponential(table.duration("exponential")?),
        None => Think::Constant(reader.duration("think")?),
    };
    Some(Model::Closed { think })
}

/// The measured part; a plain `duration` is one phase.
fn phases(
    reader: Reader<'_>,
    is_open: Option<bool>,
    audience: &Audience<'_>,
    problems: &mut Problems,
) -> Option<Vec<Phase>> {
    match (reader.given("duration"), reader.given("phases")) {
        (Some(at), Some(_)) => {
            problems
                .add("both `duration` and `phases`", at)
                .label("the phases have durations of their own")
                .help("remove one of the two");
            None
        }
        (None, None) => {
            problems
                .add("a load without a length", reader.place())
                .label("`duration` or `phases` is required here")
                .help("write duration = \"5s\"");
            None
        }
        (Some(_), None) => {
            Some(vec![Phase { duration: reader.duration("duration")?, rate: None, clients: None }])
        }
        (None, Some(_)) => {
            reader.node("phases")?;
            super::gather(reader.items("phases"), |item| phase(item, is_open, audience, problems))
        }
    }
}

fn phase(
    reader: Reader<'_>,
    is_open: Option<bool>,
    audience: &Audience<'_>,
    problems: &mut Problems,
) -> Option<Phase> {
    if let (Some(at), Some(false)) = (reader.given("rate"), is_open) {
        problems
            .add("`rate` in a phase of a closed load", at)
            .label("only an open load has one")
            .help("vary `clients` instead, or make the load model = \"open\"");
    }
    let rate = reader.node("rate").and_then(ramp);
    let clients = reader.node("clients").and_then(ramp);
    for (key, level) in [("rate", rate), ("clients", clients)] {
        if level.is_some_and(|ramp| ramp.from <= 0.0 && ramp.to <= 0.0) {
            problems
                .add(format!("a phase with `{key}` 0"), reader.at(key))
                .label("nothing would happen in it");
        }
    }
    if let (Some(ramp), Some(count)) = (clients, audience.clients())
        && ramp.from.max(ramp.to) > f64::from(count)
    {
        problems
            .add("more active clients than there are", reader.at("clients"))
            .label(format!("the groups have {} in all", thousands(count)));
    }
    Some(Phase { duration: reader.duration("duration")?, rate, clients })
}

fn ramp(node: &Node) -> Option<Ramp> {
    match &node.value {
        Value::List(ends) => match ends.as_slice() {
            [from, to] => Some(Ramp { from: from.number()?, to: to.number()? }),
            _ => None,
        },
        _ => node.number().map(|level| Ramp { from: level, to: level }),
    }
}

fn check_interleave(
    reader: Reader<'_>,
    window: Option<Duration>,
    length: Option<Duration>,
    audience: &Audience<'_>,
    problems: &mut Problems,
) {
    let at = reader.at("interleave");
    if audience.mixed {
        problems
            .add("`interleave` with groups that are pinned to a transport", at)
            .label("all transports run together here")
            .help("remove `interleave`, or the `transport` keys of the groups");
    }
    if window > length && length.is_some() {
        problems
            .add("`interleave` is longer than the load", at)
            .label(format!("the load lasts {:?}", length.unwrap_or_default()));
    }
}

/// A duration under a key that may also hold a table.
pub(super) fn duration_of(node: &Node) -> Option<Duration> {
    parse_duration(node.text()?)
}
