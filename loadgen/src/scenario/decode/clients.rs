//! A `[[clients]]` group: its clients and what they do.

use std::num::NonZeroU32;

use super::load::duration_of;
use crate::domain::{Op, Role, Transport};
use crate::scenario::diagnostics::Problems;
use crate::scenario::limits::RAW_VALUE_MAX;
use crate::scenario::model::{Group, KeyDistribution, Keys, Reconnect, Values};
use crate::scenario::reader::{Reader, integer};
use crate::text::thousands;

/// Decodes one group; `transports` are those of the scenario, if they could be read.
pub(super) fn group(
    reader: Reader<'_>,
    transports: Option<&[Transport]>,
    problems: &mut Problems,
) -> Option<Group> {
    let transport = reader.text("transport").and_then(Transport::from_name);
    if let (Some(pin), Some(all)) = (transport, transports)
        && !all.contains(&pin)
    {
        let listed: Vec<_> = all.iter().map(|transport| format!("\"{transport}\"")).collect();
        problems
            .add(format!("\"{pin}\" is not among the scenario's transports"), reader.at("transport"))
            .label(format!("transports are {}", listed.join(", ")));
    }
    let unframed = match transport {
        Some(pin) => pin == Transport::TcpRaw,
        None => transports.is_some_and(|all| all.contains(&Transport::TcpRaw)),
    };
    let mix = mix(reader, problems);
    let keys = reader.table("keys").and_then(|keys| self::keys(keys, problems));
    let values = reader.table("values").and_then(|values| self::values(values, unframed, problems));
    let preload = preload(reader, keys.as_ref(), problems);
    let reconnect = match reader.given("reconnect") {
        Some(_) => Some(reconnect(reader)?),
        None => None,
    };
    Some(Group {
        name: reader.text("name")?.to_owned(),
        role: Role::from_name(reader.text("role")?)?,
        count: reader.integer("count")?,
        mix: mix?,
        keys: keys?,
        values: values?,
        preload: preload?,
        transport,
        reconnect,
    })
}

/// Weights above zero, in the order in which they were written.
fn mix(reader: Reader<'_>, problems: &mut Problems) -> Option<Vec<(Op, u32)>> {
    let node = reader.node("mix")?;
    let mut mix = Vec::new();
    for entry in node.entries() {
        mix.push((Op::from_name(&entry.key)?, integer(&entry.node)?));
    }
    mix.retain(|&(_, weight)| weight > 0);
    if mix.is_empty() {
        problems
            .add("a mix without any operation", node.at)
            .label("one weight at least must be over 0")
            .help("write mix = { put = 30, get = 70 }");
        return None;
    }
    Some(mix)
}

fn keys(reader: Reader<'_>, problems: &mut Problems) -> Option<Keys> {
    let distribution = match reader.text("distribution")? {
        "zipf" => KeyDistribution::Zipf { exponent: reader.number("exponent")? },
        name => {
            if let Some(at) = reader.given("exponent") {
                problems
                    .add(format!("`exponent` with distribution \"{name}\""), at)
                    .label("only \"zipf\" has one");
            }
            if name == "sequential" { KeyDistribution::Sequential } else { KeyDistribution::Uniform }
        }
    };
    Some(Keys { count: reader.integer("count")?, distribution })
}

fn values(reader: Reader<'_>, unframed: bool, problems: &mut Problems) -> Option<Values> {
    let faulty = ["size", "min", "max"].iter().any(|key| reader.is_bad(key));
    let (size, min, max) = (reader.integer("size"), reader.integer("min"), reader.integer("max"));
    let values = match (size, min, max) {
        _ if faulty => return None,
        (Some(size), None, None) => Values { min: size, max: size },
        (None, Some(min), Some(max)) => Values { min, max },
        _ => {
            problems
                .add("sizes of values are not clear", reader.place())
                .label("either `size`, or both `min` and `max`")
                .help("write values = { size = 64 } or values = { min = 16, max = 4096 }");
            return None;
        }
    };
    if values.min > values.max {
        problems
            .add("the smallest value is larger than the largest", reader.at("min"))
            .label(format!("`max` is {}", values.max));
        return None;
    }
    if unframed && values.max > RAW_VALUE_MAX {
        let key = if reader.given("max").is_some() { "max" } else { "size" };
        problems
            .add(format!("values of {} bytes over \"tcp-raw\"", thousands(values.max)), reader.at(key))
            .label(format!("at most {} bytes there", thousands(RAW_VALUE_MAX)))
            .help("an unframed message has at most 1,024 bytes, the command and the key included");
        return None;
    }
    Some(values)
}

fn preload(reader: Reader<'_>, keys: Option<&Keys>, problems: &mut Problems) -> Option<u32> {
    let count = keys?.count;
    if reader.given("preload").is_none() {
        return Some(count);
    }
    let preload: u32 = reader.integer("preload")?;
    if preload > count {
        problems
            .add("more keys to preload than there are", reader.at("preload"))
            .label(format!("`keys.count` is {}", thousands(count)));
        return None;
    }
    Some(preload)
}

fn reconnect(reader: Reader<'_>) -> Option<Reconnect> {
    let node = reader.node("reconnect")?;
    if node.text().is_some() {
        return duration_of(node).map(Reconnect::Interval);
    }
    let every = reader.table("reconnect")?.node("every")?;
    match integer(every) {
        Some(requests) => NonZeroU32::new(requests).map(Reconnect::Requests),
        None => duration_of(every).map(Reconnect::Interval),
    }
}
