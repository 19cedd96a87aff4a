//! What holds for every chart, through the room's public face.

use std::io::Cursor;

use proptest::prelude::*;

use super::fixture::{FixtureSpec, load, record, usual};
use super::spec::{Mark, Shape, Spec, WIDTH};
use super::{Figure, all};
use crate::domain::{Op, Role, Setting, Transport};
use crate::record::fixture::{self, SATURATED, paced};
use crate::record::{Latencies, RunRecord, VariantInfo, VerdictLevel};

fn find<'a>(figures: &'a [Figure], name: &str) -> &'a Figure {
    let names: Vec<_> = figures.iter().map(|figure| &figure.name).collect();
    figures.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("{name} is not in {names:?}"))
}

fn swept(share: u32) -> VariantInfo {
    fixture::variant(&[("manager-share", &share.to_string())])
}

fn lines(spec: &Spec, panel: usize) -> usize {
    spec.panels[panel].marks.iter().filter(|mark| matches!(mark, Mark::Line { .. })).count()
}

/// The text of an SVG's elements, having checked that it is well-formed as far as plotters writes XML.
fn texts_of(svg: &str) -> Vec<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("every tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("every tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        for entity in text.split('&').skip(1) {
            assert!(entity.contains(';'), "a bare & in {text}");
        }
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        texts.push(text.trim().to_owned());
    }
    assert!(open.is_empty(), "{open:?} not closed");
    texts
}

#[test]
fn every_load_has_its_figures_and_the_headline_comes_first() {
    let mut wish = usual();
    wish.loads.reverse();
    let names: Vec<_> = all(&record(&wish)).into_iter().map(|figure| figure.name).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    latency-percentiles-paced
    latency-operations-paced
    timeline-paced
    latency-density-paced
    cost-paced
    latency-percentiles-saturated
    latency-operations-saturated
    timeline-saturated
    latency-density-saturated
    cost-saturated
    ");
}

#[test]
fn the_percentile_axis_goes_only_as_far_as_samples_bear() {
    let wish = FixtureSpec { samples: 100, cells: vec![(Role::Guest, Op::Get)], ..usual() };
    let figures = all(&record(&wish));
    // 6 trials of 100 samples: ten lie beyond 1 − 10 ∕ 600.
    let figure = find(&figures, "latency-percentiles-paced");
    let x = &figure.spec.panels[0].x;
    assert!((x.to - (1.0 - 10.0 / 600.0)).abs() < 1e-9, "{}", x.to);
    assert_eq!(x.ticks.last().unwrap().label, "90");
    for mark in &figure.spec.panels[0].marks {
        if let Mark::Line { points, .. } = mark {
            assert!(points.iter().all(|point| point.0 <= x.to));
            assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1), "a percentile curve never falls");
        }
    }
}

#[test]
fn percentiles_have_a_panel_for_each_role_and_a_line_for_each_transport() {
    let figures = all(&record(&FixtureSpec { samples: 50, ..usual() }));
    let spec = &find(&figures, "latency-percentiles-paced").spec;
    assert_eq!(
        spec.panels.iter().map(|panel| panel.title.as_str()).collect::<Vec<_>>(),
        ["Guests", "Managers"]
    );
    assert_eq!((lines(spec, 0), lines(spec, 1)), (2, 2));
    assert_eq!(spec.legend.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>(), ["TCP", "WebSocket"]);
    assert_eq!((spec.panels[0].y.from, spec.panels[0].y.to), (spec.panels[1].y.from, spec.panels[1].y.to));
}

#[test]
fn the_floor_is_drawn_where_it_is_known_for_this_machine() {
    let mut record = record(&usual());
    record.floor = Some(fixture::floor());
    let names = |record: &RunRecord| -> Vec<String> {
        let figures = all(record);
        let figures = ["latency-percentiles-paced", "cost-paced", "cost-saturated"]
            .map(|name| find(&figures, name).clone());
        let entries = figures.iter().flat_map(|figure| &figure.spec.legend);
        entries.map(|entry| entry.text.clone()).filter(|text| text.contains("floor")).collect()
    };
    assert!(names(&record).is_empty(), "another machine's");
    for layout in &mut record.floor.as_mut().unwrap().layouts {
        layout.environment = record.environment.clone();
    }
    assert_eq!(names(&record).len(), 3);
    let figures = all(&record);
    let panel = &find(&figures, "latency-percentiles-paced").spec.panels[0];
    let dots: Vec<(f64, f64)> = panel
        .marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Dot { at, marker } if marker.shape == Shape::Diamond => Some(*at),
            _ => None,
        })
        .collect();
    assert_eq!(dots[..2], [(0.5, 80_000.0), (0.9, 120_000.0)]);
    assert!(dots.iter().all(|dot| panel.y.from <= dot.1 && dot.1 <= panel.y.to), "on the axis");
    let cost = &find(&figures, "cost-saturated").spec;
    assert_eq!((lines(cost, 0), lines(cost, 1)), (2, 2), "a line across each bar");
    assert_eq!(lines(&find(&figures, "cost-paced").spec, 0), 0, "a paced load's rate is what was asked for");
}

#[test]
fn without_samples_there_is_no_figure() {
    let mut empty = record(&FixtureSpec { samples: 0, seconds: 0, ..usual() });
    for pass in &mut empty.passes {
        pass.cost.replies = 0;
    }
    assert!(all(&empty).is_empty(), "{:?}", all(&empty));
    empty.passes.clear();
    assert!(all(&empty).is_empty());
    empty.loads.clear();
    assert!(all(&empty).is_empty());
}

#[test]
fn a_mixed_load_has_latencies_by_transport_but_no_cost_of_one() {
    let figures = all(&record(&FixtureSpec { mixed: true, samples: 50, ..usual() }));
    assert_eq!(find(&figures, "latency-percentiles-paced").spec.legend.len(), 2);
    assert!(!figures.iter().any(|figure| figure.name.starts_with("cost")));
}

#[test]
fn a_sweep_has_a_chart_against_the_swept_value() {
    let mut wish = FixtureSpec { samples: 200, ..usual() };
    wish.loads.truncate(1);
    wish.loads[0].variants = [0, 10, 50, 75, 100].map(swept).into();
    let figures = all(&record(&wish));
    let spec = &find(&figures, "sweep-paced").spec;
    assert_eq!(spec.panels[0].x.title, "manager-share, % of the clients");
    assert_eq!(spec.panels.len(), 3);
    find(&figures, "latency-percentiles-paced-manager-share-0");
    assert!(!figures.iter().any(|figure| figure.name.contains("share-10")), "five variants: the first alone");
}

#[test]
fn a_sweep_of_many_doubtful_variants_counts_most_of_their_warnings() {
    let mut wish = FixtureSpec { samples: 20, ..usual() };
    wish.loads.truncate(1);
    wish.loads[0].variants = (0..30).map(swept).collect();
    let mut record = record(&wish);
    record.loads[0].verdict.level = VerdictLevel::Suspect;
    let reason =
        |variant: &VariantInfo| format!("tcp [{}]: other programs took 50 % of the CPUs", variant.label);
    record.loads[0].verdict.reasons = record.loads[0].variants.iter().map(reason).collect();
    let notes = find(&all(&record), "sweep-paced").spec.notes.clone();
    assert!(notes[0].contains("[manager-share=0]"), "{notes:?}");
    assert!(notes.contains(&"And 24 more warnings: the report has them.".to_owned()), "{notes:?}");
}

#[test]
fn a_cut_or_wrong_run_says_so_in_its_charts() {
    let mut record = record(&FixtureSpec { samples: 50, ..usual() });
    record.passes[0].complete = false;
    record.passes[0].cells[0].counts.violations = 3;
    let figures = all(&record);
    let notes = find(&figures, "latency-percentiles-paced").spec.notes.join(" ");
    assert!(notes.contains("cut short") && notes.contains("3 replies"), "{notes}");
}

#[test]
fn a_doubtful_run_says_why_in_its_charts_and_how_many_more_reasons_there_are() {
    let note = |reasons: &[&str]| {
        let mut record = record(&usual());
        record.loads[0].verdict.level = VerdictLevel::Suspect;
        record.loads[0].verdict.reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        find(&all(&record), "timeline-paced").spec.notes[0].clone()
    };
    assert_eq!(note(&["a"]), "Suspect measurement: a.");
    assert_eq!(note(&["a", "b"]), "Suspect measurement: a; b.");
    assert_eq!(note(&["a", "b", "c"]), "Suspect measurement: a; b; and 1 more reason.");
    assert_eq!(note(&["a", "b", "c", "d"]), "Suspect measurement: a; b; and 2 more reasons.");
}

#[test]
fn an_svg_names_title_axes_and_units_and_escapes_the_records_text() {
    let mut record = record(&FixtureSpec { samples: 50, ..usual() });
    record.environment.target = "</text><script>&\u{1b}[2J\u{202e}".to_owned();
    for figure in all(&record) {
        let svg = figure.svg().unwrap();
        let texts = texts_of(&svg);
        assert!(texts.contains(&figure.spec.title), "{texts:?}");
        assert!(!svg.contains("<script"));
        for axis in figure.spec.panels.iter().flat_map(|panel| [&panel.x, &panel.y]) {
            assert!(axis.title.is_empty() || texts.contains(&axis.title), "{} in {texts:?}", axis.title);
            let quantity = !axis.title.is_empty();
            assert!(
                !quantity || axis.title.contains(", ") || axis.title.contains('/'),
                "{} has no unit",
                axis.title
            );
        }
    }
}

#[test]
fn a_png_is_twice_the_nominal_size() {
    let figures = all(&record(&FixtureSpec { samples: 50, ..usual() }));
    let figure = find(&figures, "cost-saturated");
    let mut reader = png::Decoder::new(Cursor::new(figure.png().unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert!([info.width, info.height].iter().all(|length| length.is_multiple_of(2)));
    let (width, height) = (info.width / 2, info.height / 2);
    assert!((f64::from(width) - WIDTH).abs() < 1e-9);
    assert!(figure.svg().unwrap().contains(&format!("width=\"{width}\" height=\"{height}\"")));
    assert!(pixels.iter().any(|byte| *byte < 100), "something is drawn");
}

fn odd_record() -> impl Strategy<Value = RunRecord> {
    let name = || proptest::string::string_regex("\\PC{0,40}|[\\x00-\\x1f<&\"]{1,8}|tcp|guest|get").unwrap();
    let loads = proptest::collection::vec((name(), any::<bool>(), 0u32..3, name(), 0f64..1e7), 0..3);
    let transports = proptest::sample::subsequence(Transport::ALL.to_vec(), 0..=5);
    let role = || proptest::sample::select(Role::ALL.to_vec());
    let op = || proptest::sample::select(Op::ALL.to_vec());
    let cells = proptest::collection::vec((role(), op()), 0..4);
    let figures = (0u64..80, 0f64..28.0, 0.01f64..4.0, 0u32..4, any::<bool>(), any::<u64>());
    (loads, transports, cells, figures).prop_map(|(loads, transports, cells, figures)| {
        let (samples, power, spread, seconds, mixed, seed) = figures;
        let loads = loads.into_iter().map(|(name, open, trials, variant, duration)| {
            let mut load = load(&name, if open { paced(1e3) } else { SATURATED }, trials);
            load.variants = (0..=trials)
                .map(|i| VariantInfo {
                    label: if i == 0 { variant.clone() } else { format!("{variant}={i}") },
                    settings: vec![Setting { key: name.clone(), value: variant.repeat(i as usize) }],
                })
                .collect();
            load.duration_s = duration;
            load
        });
        let loads = loads.collect();
        let median_ns = power.exp();
        record(&FixtureSpec { loads, transports, cells, samples, median_ns, spread, seconds, mixed, seed })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_record_breaks_a_chart(record in odd_record()) {
        let figures = all(&record);
        let names: std::collections::HashSet<_> = figures.iter().map(|figure| &figure.name).collect();
        prop_assert_eq!(names.len(), figures.len());
        for figure in &figures {
            prop_assert!(figure.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
            texts_of(&figure.svg().unwrap());
            for panel in &figure.spec.panels {
                prop_assert!(panel.x.from.is_finite() && panel.y.to.is_finite());
            }
        }
        // Bitmaps take long without optimization, and the way to them is the same.
        if let Some(figure) = figures.first() {
            prop_assert!(figure.png().unwrap().starts_with(b"\x89PNG"));
        }
    }
}

/// Not a test: draws realistic and extreme records into the folder named by `TWINWIRE_CHARTS`, to be looked at.
#[test]
#[ignore = "writes pictures for people: TWINWIRE_CHARTS=DIR cargo test -p twinwire charts_for_the_eye -- --ignored"]
fn charts_for_the_eye() {
    let folder = std::env::var("TWINWIRE_CHARTS").expect("TWINWIRE_CHARTS names a folder");
    let five = Transport::ALL.to_vec();
    let mut sweep = usual();
    sweep.loads.truncate(1);
    sweep.loads[0].variants = [0, 10, 50, 100].map(swept).into();
    let long = "a-very-long-name-that-somebody-may-well-give-to-a-load-in-a-scenario-of-theirs";
    let one = vec![(Role::Guest, Op::Get)];
    let mut single = FixtureSpec { loads: vec![load(long, SATURATED, 1)], cells: one, ..usual() };
    single.transports.truncate(1);
    let wishes = [
        ("usual", usual()),
        ("five", FixtureSpec { transports: five, seconds: 40, ..usual() }),
        ("sweep", sweep),
        ("single", FixtureSpec { samples: 40, seconds: 1, ..single }),
        ("wide", FixtureSpec { median_ns: 5e4, spread: 3.0, ..usual() }),
        ("tiny", FixtureSpec { median_ns: 60.0, spread: 0.05, ..usual() }),
        ("huge", FixtureSpec { median_ns: 9e9, mixed: true, ..usual() }),
    ];
    for (folder_name, wish) in wishes {
        let folder = std::path::Path::new(&folder).join(folder_name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut record = record(&wish);
        if folder_name == "huge" {
            record.passes[0].cells[0].counts.unfinished = 900;
            for cell in &mut record.passes[0].cells {
                let mut more = Latencies::default();
                (0..900).for_each(|_| more.record_unfinished(40_000_000_000));
                cell.latencies.response.merge(&more);
            }
        }
        for figure in all(&record) {
            std::fs::write(folder.join(format!("{}.svg", figure.name)), figure.svg().unwrap()).unwrap();
            std::fs::write(folder.join(format!("{}.png", figure.name)), figure.png().unwrap()).unwrap();
        }
    }
}
