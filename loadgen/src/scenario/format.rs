//! The scenario format as one description: every key with its type, bounds, default and meaning.
//!
//! Three modules use it: [`super::shape`] finds unknown keys and wrong types with it, [`super::set`] follows dotted
//! keys, and [`super::schema`] turns it into a JSON schema. Errors that no single value shows (two keys that exclude
//! each other, a name that does not exist) are found in [`super::decode`].

use std::time::Duration;

use super::grammar::{Kind, ROLES, TRANSPORTS, Table, default, duration, optional, required, tables};
use super::limits::{
    CLIENTS_MAX, DAY, HOUR, IN_FLIGHT_MAX, KEYS_MAX, MILLISECOND, RATE_MAX, TAG_BYTES, VALUE_MAX,
};
use crate::domain::{LATENCY_METRICS, Op, Timing};

const OPS: &[&str] = &Op::NAMES;

/// What a threshold may judge besides a latency's statistics.
const COUNTS: [&str; 5] = ["rate", "errors", "violations", "unfinished", "lost"];
const METRICS: &[&str] = &{
    let mut all = [""; LATENCY_METRICS.len() + COUNTS.len()];
    let (latencies, counts) = all.split_at_mut(LATENCY_METRICS.len());
    latencies.copy_from_slice(LATENCY_METRICS);
    counts.copy_from_slice(&COUNTS);
    all
};

const ZERO: Duration = Duration::ZERO;
/// A level, or the two ends of a ramp.
const RAMP: Kind = Kind::Either(&[
    Kind::Number { zero: true, max: RATE_MAX },
    Kind::List { of: &Kind::Number { zero: true, max: RATE_MAX }, min: 2, max: 2 },
]);
const BOUND: Kind =
    Kind::Either(&[duration(Duration::from_nanos(1), DAY), Kind::Number { zero: true, max: f64::MAX }]);

/// The whole file.
pub(super) static SCENARIO: Table = Table {
    about: "A load scenario: what load to put on which transports, by whom, and what must hold",
    keys: &[
        required("name", Kind::Name, "Short name; the report folder is named after it"),
        default("about", Kind::OneLine, "\"\"", "One line for people"),
        default("seed", Kind::Integer { min: 0, max: i64::MAX }, "1", "Every random choice derives from it"),
        default(
            "transports",
            Kind::List { of: &Kind::Choice(TRANSPORTS), min: 1, max: TRANSPORTS.len() },
            "[\"tcp\", \"websocket\"]",
            "Transports to compare",
        ),
        default(
            "timeout",
            duration(MILLISECOND, HOUR),
            "\"5s\"",
            "A request unanswered for longer is an error and ends its client",
        ),
        required(
            "load",
            tables(&Kind::Table(&LOAD), 1),
            "Loads, run in this order, each on fresh connections",
        ),
        required("clients", tables(&Kind::Table(&CLIENTS), 1), "Groups of clients that behave alike"),
        optional("sweep", Kind::Sweep, "Keys with the values they take; each combination is a variant"),
        optional("thresholds", tables(&Kind::Table(&THRESHOLD), 0), "What must hold, judged on merged data"),
    ],
};

static LOAD: Table = Table {
    about: "One load",
    keys: &[
        required("name", Kind::Name, "Unique among the loads"),
        required(
            "model",
            Kind::Choice(&["open", "closed"]),
            "open: requests come at their own instants; closed: each client waits for its reply, thinks and asks again",
        ),
        optional(
            "rate",
            Kind::Either(&[Kind::Number { zero: false, max: RATE_MAX }, Kind::Table(&SHARE)]),
            "Open loads: requests a second over all clients, or a share of what a short probe reached",
        ),
        default(
            "arrivals",
            Kind::Choice(&["poisson", "uniform"]),
            "\"poisson\"",
            "Open loads: how the instants are spread",
        ),
        default(
            "think",
            Kind::Either(&[duration(ZERO, HOUR), Kind::Table(&EXPONENTIAL)]),
            "\"0ms\"",
            "Closed loads: the pause between a reply and the next request",
        ),
        default(
            "in-flight",
            Kind::Integer { min: 1, max: IN_FLIGHT_MAX },
            "1",
            "Most outstanding requests of one connection",
        ),
        default("warmup", duration(ZERO, HOUR), "\"1s\"", "Load before measuring starts"),
        optional("duration", duration(MILLISECOND, DAY), "Measured time of each transport in each trial"),
        optional(
            "phases",
            tables(&Kind::Table(&PHASE), 1),
            "Instead of duration: phases of the measured part",
        ),
        default(
            "trials",
            Kind::Integer { min: 1, max: 1_000 },
            "1",
            "Repetitions, each on a fresh server and fresh connections",
        ),
        optional(
            "interleave",
            duration(Duration::from_millis(10), HOUR),
            "Switch between the transports in windows of this length; left out: one after the other. With a single \
             transport there is nothing to switch to",
        ),
        default(
            "headline",
            Kind::Boolean,
            "false",
            "The one load whose figures head the report (default: the first)",
        ),
        default(
            "timing",
            Kind::Choice(&[Timing::Judged.name(), Timing::Unjudged.name()]),
            "\"judged\"",
            "unjudged: a load for correctness alone, without a verdict on its timing and without latencies as results",
        ),
    ],
};

static SHARE: Table = Table {
    about: "A rate relative to what the target can do",
    keys: &[required(
        "share",
        Kind::Number { zero: false, max: 1.0 },
        "Share of what a short probe of the slower transport reached",
    )],
};

static EXPONENTIAL: Table = Table {
    about: "A random pause",
    keys: &[required("exponential", duration(Duration::from_micros(1), HOUR), "Mean of the pause")],
};

static PHASE: Table = Table {
    about: "A phase of the measured part",
    keys: &[
        required("duration", duration(MILLISECOND, DAY), "Its length"),
        optional("rate", RAMP, "Open loads: requests a second, or [from, to]"),
        optional("clients", RAMP, "Active clients, or [from, to]"),
    ],
};

static CLIENTS: Table = Table {
    about: "A group of clients that behave alike",
    keys: &[
        required("name", Kind::Name, "Unique among the groups"),
        required("role", Kind::Choice(ROLES), "What the clients are once set up"),
        required("count", Kind::Integer { min: 1, max: CLIENTS_MAX as i64 }, "How many clients"),
        required(
            "mix",
            Kind::Map { keys: OPS, of: &Kind::Integer { min: 0, max: 1_000_000 } },
            "Operations with their weights",
        ),
        default("keys", Kind::Table(&KEYS), "{}", "Which keys a client uses"),
        default("values", Kind::Table(&VALUES), "{ size = 64 }", "How large values are, in bytes"),
        optional(
            "preload",
            Kind::Integer { min: 0, max: KEYS_MAX as i64 },
            "Keys put before the load starts (default: all)",
        ),
        optional("transport", Kind::Choice(TRANSPORTS), "Pins the group to one transport"),
        optional(
            "reconnect",
            Kind::Either(&[Kind::Table(&RECONNECT), duration(MILLISECOND, DAY)]),
            "Log out, connect and log in again this often",
        ),
    ],
};

static KEYS: Table = Table {
    about: "A client's own keys",
    keys: &[
        default("count", Kind::Integer { min: 1, max: KEYS_MAX as i64 }, "100", "How many keys"),
        default(
            "distribution",
            Kind::Choice(&["uniform", "zipf", "sequential"]),
            "\"uniform\"",
            "How a request draws its key",
        ),
        default(
            "exponent",
            Kind::Number { zero: false, max: 10.0 },
            "0.99",
            "Of zipf: key k is drawn with weight k^-exponent",
        ),
    ],
};

/// Bounds here are the widest; unframed TCP has a narrower one.
const VALUE_SIZE: Kind = Kind::Integer { min: TAG_BYTES as i64, max: VALUE_MAX as i64 };

static VALUES: Table = Table {
    about: "Sizes of values: either size, or min and max",
    keys: &[
        optional("size", VALUE_SIZE, "Bytes of every value"),
        optional("min", VALUE_SIZE, "Bytes of the smallest value"),
        optional("max", VALUE_SIZE, "Bytes of the largest value"),
    ],
};

static RECONNECT: Table = Table {
    about: "When a client starts a new session",
    keys: &[required(
        "every",
        Kind::Either(&[Kind::Integer { min: 1, max: u32::MAX as i64 }, duration(MILLISECOND, DAY)]),
        "Requests, or a duration",
    )],
};

static THRESHOLD: Table = Table {
    about: "A bound on a figure",
    keys: &[
        required("metric", Kind::Choice(METRICS), "What is judged"),
        default("where", Kind::Table(&WHERE), "{}", "On which part of the data"),
        optional("max", BOUND, "At most: a duration for latencies, else a number"),
        optional("min", BOUND, "At least: a duration for latencies, else a number"),
        default("abort", Kind::Boolean, "false", "Stop the run as soon as it is missed for 5 s"),
    ],
};

static WHERE: Table = Table {
    about: "Parts of the data; any of them may be left out",
    keys: &[
        optional("load", Kind::Name, "A load's name"),
        optional("transport", Kind::Choice(TRANSPORTS), "A transport"),
        optional("group", Kind::Name, "A group's name"),
        optional("role", Kind::Choice(ROLES), "A role"),
        optional("op", Kind::Choice(OPS), "An operation"),
    ],
};
