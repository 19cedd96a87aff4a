//! Axes that fit their data: ends, ticks and units. plotters' own ticks are not used: its logarithmic axis has
//! none where the range holds no power of ten, and it knows no percentile axis.

use super::spec::{Axis, Scale, Tick};
use crate::text::{duration, thousands};

/// Decades up to which a logarithmic axis is marked at 1, 2, 3, 5 and 7.
const DECADES_WITH_12357: f64 = 1.2;
/// Decades up to which it is marked at 1, 2 and 5; wider ones are marked at the powers of ten.
const DECADES_WITH_125: f64 = 3.2;
/// Decades beyond which one unit would need too many zeros, so that each tick names its own.
const DECADES_OF_ONE_UNIT: f64 = 4.5;
/// Ratio of the ends below which a logarithmic axis is marked in equal steps, as 1-2-5 would give one tick.
const RATIO_OF_EQUAL_STEPS: f64 = 3.0;
/// Least ratio of the ends: on less, noise would look like a mountain.
const RATIO_MIN: f64 = 1.5;
/// Where logarithmic axes may end within a decade, so that little of them is empty.
const ENDS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];
/// Ticks of an axis with equal steps, about.
const TICKS: f64 = 5.0;

/// A logarithmic axis of latencies in ns, wide enough for `low` to `high`.
pub(super) fn latency(quantity: &str, low: f64, high: f64) -> Axis {
    let (low, high) = (low.max(1.0), high.max(low).max(1.0));
    let room = (RATIO_MIN * low / high).max(1.0).sqrt();
    let (from, to, at) = log_ticks(low / room, high * room);
    let (unit, label): (_, Box<dyn Fn(f64) -> String>) = if (to / from).log10() > DECADES_OF_ONE_UNIT {
        ("ns to s".to_owned(), Box::new(duration))
    } else {
        let (unit, ns) = unit_of(to);
        (unit.to_owned(), Box::new(move |at| number(at / ns)))
    };
    Axis {
        title: format!("{quantity}, {unit} (log scale)"),
        scale: Scale::Log,
        from,
        to,
        ticks: at.into_iter().map(|at| Tick { at, label: label(at) }).collect(),
        grid: true,
        labels: true,
    }
}

/// An axis in equal steps from 0 to at least `high`.
pub(super) fn from_zero(title: &str, high: f64) -> Axis {
    let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
    let step = nice_step(high / TICKS);
    let steps = (high / step - 1e-9).ceil().max(1.0);
    linear(title, 0.0, step * steps, step)
}

/// An axis in equal steps over exactly 0 to `high`, marked at round numbers.
pub(super) fn exactly_to(title: &str, high: f64) -> Axis {
    let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
    linear(title, 0.0, high, nice_step(high / (1.6 * TICKS)))
}

/// The percentiles 0 to `last` (a share below 1), each nine equally wide.
pub(super) fn percentiles(last: f64) -> Axis {
    const AT: [(f64, &str); 8] = [
        (0.0, "0"),
        (0.5, "50"),
        (0.9, "90"),
        (0.99, "99"),
        (0.999, "99.9"),
        (0.9999, "99.99"),
        (0.99999, "99.999"),
        (0.999_999, "99.9999"),
    ];
    let ticks = AT
        .iter()
        .filter(|(at, _)| *at <= last + 1e-12)
        .map(|&(at, label)| Tick { at, label: label.to_owned() })
        .collect();
    Axis {
        title: "Percentile of requests, % (each nine equally wide)".to_owned(),
        scale: Scale::Nines,
        from: 0.0,
        to: last,
        ticks,
        grid: false,
        labels: true,
    }
}

/// Names at 0, 1, 2, … from top to bottom or left to right, half a step of room at the ends.
pub(super) fn names(names: impl IntoIterator<Item = String>, downwards: bool) -> Axis {
    let ticks: Vec<Tick> =
        names.into_iter().enumerate().map(|(i, label)| Tick { at: i as f64, label }).collect();
    let (first, last) = (-0.5, ticks.len() as f64 - 0.5);
    let (from, to) = if downwards { (last, first) } else { (first, last) };
    Axis { title: String::new(), scale: Scale::Linear, from, to, ticks, grid: false, labels: true }
}

fn linear(title: &str, from: f64, to: f64, step: f64) -> Axis {
    let count = ((to - from) / step + 1e-9).floor() as usize;
    let ticks =
        (0..=count).map(|i| from + step * i as f64).map(|at| Tick { at, label: number(at) }).collect();
    Axis { title: title.to_owned(), scale: Scale::Linear, from, to, ticks, grid: true, labels: true }
}

/// Ends and ticks of a logarithmic axis.
fn log_ticks(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let decades = (high / low).log10();
    if high / low < RATIO_OF_EQUAL_STEPS {
        let step = nice_step((high - low) / TICKS);
        let from = ((low / step + 1e-9).floor() * step).max(step.min(low));
        let to = (high / step - 1e-9).ceil() * step;
        let count = ((to - from) / step).round() as usize;
        return (from, to, (0..=count).map(|i| from + step * i as f64).collect());
    }
    let (ends, steps): (&[f64], &[f64]) = if decades <= DECADES_WITH_12357 {
        (&ENDS, &[1.0, 2.0, 3.0, 5.0, 7.0])
    } else if decades <= DECADES_WITH_125 {
        (&ENDS, &[1.0, 2.0, 5.0])
    } else {
        (&[1.0], &[1.0])
    };
    let (from, to) = (floor_to(ends, low), ceil_to(ends, high));
    let mut ticks = Vec::new();
    let mut decade = floor_to(&[1.0], from);
    while decade <= to * 1.001 {
        let marks = steps.iter().map(|step| decade * step);
        ticks.extend(marks.filter(|at| (from * 0.999..=to * 1.001).contains(at)));
        decade *= 10.0;
    }
    (from, to, ticks)
}

/// The greatest of these steps (ascending from 1, below 10) times a power of ten that is at most a positive value.
/// The allowances take up the logarithm's rounding.
fn floor_to(steps: &[f64], value: f64) -> f64 {
    let decade = 10f64.powi((value.log10() + 1e-9).floor() as i32);
    let fits = |at: &f64| *at <= value * (1.0 + 1e-9);
    steps.iter().rev().map(|step| step * decade).find(fits).unwrap_or(decade)
}

/// The least of these steps times a power of ten that is at least a positive value.
fn ceil_to(steps: &[f64], value: f64) -> f64 {
    let decade = 10f64.powi((value.log10() + 1e-9).floor() as i32);
    let fits = |at: &f64| *at >= value * (1.0 - 1e-9);
    steps.iter().map(|step| step * decade).find(fits).unwrap_or(decade * 10.0)
}

/// The smallest of 1, 2, 5 times a power of ten that is at least this.
fn nice_step(least: f64) -> f64 {
    ceil_to(&[1.0, 2.0, 5.0], least)
}

/// The unit in which an axis up to this many ns reads well, and its length in ns.
fn unit_of(high_ns: f64) -> (&'static str, f64) {
    match high_ns {
        ..1e3 => ("ns", 1.0),
        ..1e7 => ("µs", 1e3),
        ..1e10 => ("ms", 1e6),
        _ => ("s", 1e9),
    }
}

/// A number as short as its three or so digits allow, thousands set apart: `0.05`, `2.5`, `12,500`.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    // Four digits read well without a comma.
    let whole = match whole.parse() {
        Ok(number @ (10_000_i128.. | ..=-10_000)) => thousands(number),
        _ => whole.to_owned(),
    };
    format!("{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn a_latency_axis_is_marked_at_1_2_5_also_without_a_power_of_ten_inside() {
        let axis = latency("Service time", 230_000.0, 820_000.0);
        assert_eq!(labels(&axis), ["200", "300", "500", "700", "1000"]);
        assert_eq!(axis.title, "Service time, µs (log scale)");
        assert_eq!(labels(&latency("Service time", 210_000.0, 480_000.0)), ["200", "300", "400", "500"]);
        assert_eq!(
            labels(&latency("Service time", 60_000.0, 4_400_000.0)),
            ["50", "100", "200", "500", "1000", "2000", "5000"]
        );
    }

    #[test]
    fn a_wide_latency_axis_names_the_unit_at_each_tick() {
        let axis = latency("Service time", 900.0, 2e9);
        assert_eq!(
            labels(&axis),
            ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]
        );
    }

    #[test]
    fn the_percentile_axis_ends_where_it_is_told() {
        assert_eq!(labels(&percentiles(0.995)), ["0", "50", "90", "99"]);
        assert_eq!(labels(&percentiles(0.6)), ["0", "50"]);
    }

    #[test]
    fn numbers_read_well() {
        let shown: Vec<_> = [0.0, 0.05, 0.123_45, 2.5, 999.0, 1234.0, 12_345.6, 1e7].map(number).into();
        assert_eq!(shown, ["0", "0.05", "0.123", "2.5", "999", "1234", "12,346", "10,000,000"]);
    }

    proptest! {
        #[test]
        fn every_latency_axis_covers_its_data_and_has_few_ticks(low in 1u64..3_600_000_000_000, factor in 1f64..1e9) {
            let low = low as f64;
            let high = (low * factor).min(3.7e12);
            let axis = latency("Service time", low, high);
            prop_assert!(axis.from <= low && axis.to >= high && axis.from > 0.0 && axis.from < axis.to);
            prop_assert!((2..=14).contains(&axis.ticks.len()), "{:?}", axis.ticks);
            for pair in axis.ticks.windows(2) {
                prop_assert!(pair[0].at < pair[1].at && pair[0].label != pair[1].label);
            }
        }

        #[test]
        fn every_axis_from_zero_covers_its_data(high in 1e-6f64..1e12) {
            let axis = from_zero("Throughput, requests/s", high);
            prop_assert!(axis.to >= high * 0.999_999 && axis.to <= high * 2.6);
            prop_assert!((2..=8).contains(&axis.ticks.len()));
        }
    }
}
