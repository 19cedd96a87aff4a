//! Documents that are right: the shipped scenarios, defaults, `--set`, sweeps, and the text "as run".

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use twinwire::domain::{Arrivals, Model, Op, Rate, Think, Transport};
use twinwire::scenario::Document;
use twinwire::scenario::model::{Reconnect, Scenario, Values};

use crate::mutation;

const EVERYTHING: &str = include_str!("../data/everything.toml");

fn shipped() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn parse(text: &str, sets: &[&str]) -> Document {
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    Document::parse("x.toml", text, &sets).unwrap_or_else(|errors| panic!("{errors}"))
}

fn seconds(scenario: &Scenario) -> f64 {
    let sides = if scenario.is_mixed() { 1 } else { scenario.transports.len() as u32 };
    let each = |load: &twinwire::scenario::model::Load| (load.warmup + load.duration()) * load.trials * sides;
    scenario.loads.iter().map(each).sum::<Duration>().as_secs_f64()
}

#[test]
fn the_shipped_scenarios_are_valid_and_within_their_time() {
    let files = shipped();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let document = Document::read(&file, &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let total: f64 = document.variants().iter().map(|variant| seconds(&variant.scenario)).sum();
        let most = if document.scenario().name == "smoke" { 8.0 } else { 75.0 };
        assert!(total <= most, "{} takes {total} s", file.display());
        assert_eq!(Some(document.scenario().name.as_str()), file.file_stem().and_then(|stem| stem.to_str()));
    }
}

#[test]
fn the_smoke_scenario_has_both_transports_both_roles_and_all_operations() {
    let file = shipped().into_iter().find(|file| file.ends_with("smoke.toml")).unwrap();
    let scenario = Document::read(&file, &[]).unwrap().scenario().clone();
    assert_eq!(scenario.transports, [Transport::Tcp, Transport::WebSocket]);
    for op in Op::ALL {
        assert!(scenario.groups.iter().any(|group| group.mix.iter().any(|&(own, _)| own == op)), "{op}");
    }
}

#[test]
fn the_starter_is_valid_and_shows_an_open_and_a_closed_load() {
    let document = parse(twinwire::scenario::STARTER, &[]);
    let loads = &document.scenario().loads;
    assert!(loads[0].is_open() && loads[0].interleave.is_some());
    assert!(matches!(loads[1].model, Model::Closed { .. }));
}

#[test]
fn every_key_of_the_format_arrives_in_the_scenario() {
    insta::assert_debug_snapshot!(parse(EVERYTHING, &[]).scenario());
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "name = \"x\"\nload = [{ name = \"l\", model = \"closed\", duration = \"1s\" }]\n\
                clients = [{ name = \"g\", role = \"guest\", count = 1, mix = { get = 1 } }]";
    insta::assert_debug_snapshot!(parse(text, &[]).scenario());
}

#[test]
fn without_sets_the_text_stays_as_it_is() {
    assert_eq!(parse(EVERYTHING, &[]).text(), EVERYTHING);
}

#[test]
fn sets_reach_every_kind_of_place_and_the_text_as_run_says_the_same() {
    let sets = [
        "seed=7",
        "timeout = 2s",
        "transports=[\"tcp\"]",
        "load.paced.rate.share=0.25",
        "load.1.think.exponential=7ms",
        "load.paced.phases.0.rate=[1, 2]",
        "clients.dotted.name.count=3",
        "clients.guests.mix.bad=4",
        "clients.guests.reconnect.every=9",
        "clients.managers.keys.count=11",
        "thresholds.0.max=1s",
        "sweep.manager-share=[20]",
    ];
    let document = parse(EVERYTHING, &sets);
    let scenario = document.scenario();
    assert_eq!((scenario.seed, scenario.timeout), (7, Duration::from_secs(2)));
    assert_eq!(scenario.transports, [Transport::Tcp]);
    assert_eq!(
        scenario.loads[0].model,
        Model::Open { rate: Some(Rate::Share(0.25)), arrivals: Arrivals::Uniform }
    );
    assert_eq!(
        scenario.loads[1].model,
        Model::Closed { think: Think::Exponential(Duration::from_millis(7)) }
    );
    assert_eq!(scenario.loads[0].phases[0].rate.map(|ramp| (ramp.from, ramp.to)), Some((1.0, 2.0)));
    assert_eq!(scenario.groups[2].count, 3);
    assert!(scenario.groups[0].mix.contains(&(Op::Bad, 4)));
    assert_eq!(scenario.groups[0].reconnect, Some(Reconnect::Requests(9.try_into().unwrap())));
    assert_eq!(scenario.groups[1].keys.count, 11);
    assert_eq!(document.variants().len(), 2);
    let again = parse(document.text(), &[]);
    assert_eq!(again.scenario(), scenario);
    assert_eq!(again.variants(), document.variants());
    assert!(document.text().contains("# the load that matters"), "comments stay: {}", document.text());
}

#[test]
fn a_value_for_a_swept_key_is_refused_as_it_would_change_nothing() {
    let sets = ["clients.guests.values.size=64".to_owned()];
    let errors = Document::parse("x.toml", EVERYTHING, &sets).unwrap_err();
    assert!(errors.to_string().contains("`clients.guests.values.size` is swept"), "{errors}");
}

#[test]
fn a_sweep_makes_a_variant_of_every_combination() {
    let document = parse(EVERYTHING, &[]);
    let variants: Vec<_> = document
        .variants()
        .iter()
        .map(|variant| {
            let counts: Vec<_> = variant.scenario.groups.iter().map(|group| group.count).collect();
            (variant.label.as_str(), counts, variant.scenario.groups[0].values)
        })
        .collect();
    let size = |size| Values { min: size, max: size };
    assert_eq!(
        variants,
        [
            ("manager-share=0,clients.guests.values.size=16", vec![97, 0, 8], size(16)),
            ("manager-share=0,clients.guests.values.size=1024", vec![97, 0, 8], size(1024)),
            ("manager-share=50.5,clients.guests.values.size=16", vec![48, 53, 4], size(16)),
            ("manager-share=50.5,clients.guests.values.size=1024", vec![48, 53, 4], size(1024)),
        ]
    );
}

#[test]
fn swept_values_that_are_alike_for_longer_than_a_label_are_variants_of_their_own() {
    let long = "x".repeat(60);
    let set = format!("sweep.about=['{long}1', '{long}2', '{long}=2']");
    let document = parse(twinwire::scenario::STARTER, &[&set]);
    let variants: Vec<(&str, &str, &str)> = document
        .variants()
        .iter()
        .map(|variant| {
            let [setting] = variant.settings.as_slice() else { panic!("{:?}", variant.settings) };
            assert_eq!(setting.key, "about");
            (variant.label.as_str(), setting.value.as_str(), variant.scenario.about.as_str())
        })
        .collect();
    let short = &long[..40];
    let [first, second, third] = ["1", "2", "=2"].map(|end| format!("{long}{end}"));
    assert_eq!(
        variants,
        [
            (&*format!("about={short}"), &*first, &*first),
            (&*format!("about={short}-2"), &*second, &*second),
            (&*format!("about={short}-3"), &*third, &*third),
        ]
    );
}

#[test]
fn an_unswept_scenario_is_its_only_variant() {
    let document = parse(twinwire::scenario::STARTER, &[]);
    assert_eq!(document.variants().len(), 1);
    assert_eq!((document.variants()[0].label.as_str(), document.variants()[0].settings.len()), ("", 0));
    assert_eq!(&document.variants()[0].scenario, document.scenario());
}

#[test]
fn unreadable_files_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Document::read(&folder.path().join("no.toml"), &[]).unwrap_err();
    assert!(missing.to_string().contains("cannot read the file"), "{missing}");
    let directory = Document::read(folder.path(), &[]).unwrap_err();
    assert!(directory.to_string().contains("cannot read the file"), "{directory}");
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"name = \"\xff\"").unwrap();
    assert!(Document::read(&binary, &[]).unwrap_err().to_string().contains("not UTF-8 text (byte 8)"));
    let huge = folder.path().join("huge");
    std::fs::write(&huge, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(Document::read(&huge, &[]).unwrap_err().to_string().contains("larger than 1 MiB"));
}

#[test]
fn endlessly_nested_text_is_an_error_and_no_crash() {
    for text in [
        format!("{}x = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{ a = ".repeat(100_000)),
        "[[a]]\n".repeat(100_000),
    ] {
        assert!(Document::parse("x.toml", &text, &[]).is_err());
        let set = format!("load={text}");
        assert!(Document::parse("x.toml", EVERYTHING, &[set]).is_err());
    }
}

/// A shipped scenario (or the one with every key) with a few random changes.
fn mutated() -> impl Strategy<Value = String> {
    let mut texts: Vec<_> = shipped().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    texts.push(EVERYTHING.to_owned());
    mutation::of(texts, &["1e400", "[sweep]\n", "1979-05-27", "'''"])
}

proptest! {
    #[test]
    fn no_text_panics_and_every_refusal_has_a_reason(text in mutated()) {
        match Document::parse("x.toml", &text, &[]) {
            Ok(document) => prop_assert!(!document.variants().is_empty()),
            Err(errors) => {
                prop_assert!(errors.count() > 0);
                prop_assert!(!errors.to_string().contains("no usable scenario"), "{}", text);
            }
        }
    }

    #[test]
    fn no_set_panics_and_the_text_as_run_is_the_same_scenario(
        key in "(seed|name|load|clients|sweep|thresholds|load\\.[a-z0-9.-]{0,12}|clients\\.guests\\.(count|mix\\.put|values|keys)|[a-z.=]{0,9})",
        value in "([0-9]{1,6}|\"[a-z]{0,5}\"|[0-9]{1,3}(ms|s)|\\{ (size|count) = [0-9]{1,4} \\}|\\[.{0,4}\\]|.{0,8})",
    ) {
        let set = format!("{key}={value}");
        match Document::parse("x.toml", EVERYTHING, std::slice::from_ref(&set)) {
            Ok(document) => {
                let again = parse(document.text(), &[]);
                prop_assert_eq!(again.scenario(), document.scenario());
                prop_assert_eq!(again.variants(), document.variants());
            }
            Err(errors) => prop_assert!(!errors.to_string().contains("no usable scenario"), "{}", set),
        }
    }
}
