//! Files of scripted cases that are right, and texts that are anything but.

use proptest::prelude::*;
use twinwire::conform::case::Cases;
use twinwire::conform::case::model::{Action, ClientTransport, Expectation, Level, Part};

use crate::mutation;

const EVERYTHING: &str = include_str!("../data/cases.toml");

fn parse(text: &str) -> Cases {
    Cases::parse("x.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_key_of_the_format_arrives_in_the_cases() {
    insta::assert_debug_snapshot!(parse(EVERYTHING).cases());
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = "[[case]]\nid = \"x\"\nrules = [\"LIFE-1\"]\nclients = { a = {} }\n\
                steps = [{ client = \"a\", send = \"q\" }]";
    let cases = parse(text);
    let [case] = cases.cases() else { panic!("{cases:?}") };
    assert_eq!((case.about.as_str(), case.level, &case.transports), ("", Level::Full, &None));
    let client = &case.clients[0];
    assert!(client.connect && client.login);
    assert_eq!(client.transport, ClientTransport::Case);
    assert_eq!(case.steps[0].expect, None);
}

#[test]
fn a_client_that_is_not_connected_is_not_logged_in() {
    let text = EVERYTHING.replace("c = { connect = false }", "c = { connect = false, role = \"guest\" }");
    assert!(!parse(&text).cases()[1].clients[2].login);
}

#[test]
fn placeholders_name_clients_by_index() {
    let cases = parse(EVERYTHING);
    let Action::Send { messages, .. } = &cases.cases()[0].steps[1].action else { panic!() };
    assert_eq!(
        messages[0].parts,
        [Part::Literal("get ".into()), Part::Client(0), Part::Literal(" k".into())]
    );
    let Some(Expectation::Count(counts)) = &cases.cases()[1].steps[1].expect else { panic!() };
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn files_of_cases_are_told_from_scenarios() {
    assert!(Cases::are_meant_by(EVERYTHING));
    assert!(!Cases::are_meant_by(twinwire::scenario::STARTER));
    assert!(!Cases::are_meant_by("[[case]\n"), "what is no TOML is nothing");
}

#[test]
fn endlessly_nested_steps_are_an_error_and_no_crash() {
    let steps = |open: &str, depth: usize| {
        format!(
            "case = [{{ id = \"x\", rules = [\"LIFE-1\"], clients = {{ a = {{}} }}, steps = [{}",
            open.repeat(depth)
        )
    };
    for depth in [10, 100, 100_000] {
        assert!(Cases::parse("x.toml", &steps("{ repeat = 2, steps = [", depth)).is_err());
        assert!(Cases::parse("x.toml", &steps("{ together = [", depth)).is_err());
    }
    assert!(Cases::parse("x.toml", &"[[case]]\n".repeat(100_000)).is_err());
}

/// The file with every key, with a few random changes.
fn mutated() -> impl Strategy<Value = String> {
    mutation::of(
        vec![EVERYTHING.to_owned()],
        &["[[case]]\n", "{i}", "{fill:3}", "{alice}", "{{", "together", "repeat", "7f"],
    )
}

/// Whatever it is, it is cases or errors that say why and where.
fn never_panics(text: &str) -> Result<(), TestCaseError> {
    match Cases::parse("x.toml", text) {
        Ok(cases) => prop_assert!(!cases.cases().is_empty()),
        Err(errors) => {
            prop_assert!(errors.count() > 0);
            prop_assert!(!errors.to_string().contains("no usable cases"), "{}", text);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_panics_and_every_refusal_has_a_reason(text in mutated()) {
        never_panics(&text)?;
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        never_panics(&String::from_utf8_lossy(&bytes))?;
        // As a file too, where they need not even be text.
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &bytes)?;
        prop_assert!(Cases::read(file.path()).is_err());
    }

    #[test]
    fn no_text_in_a_step_panics(key in "(send|login|bytes|expect|client|cut|frame|wait)", text in "\\PC{0,30}") {
        let quoted = toml::Value::String(text).to_string();
        never_panics(&format!(
            "[[case]]\nid = \"x\"\nrules = [\"LIFE-1\"]\nclients = {{ a = {{}} }}\n\
             steps = [{{ client = \"a\", send = \"q\" }}, {{ client = \"a\", {key} = {quoted} }}]"
        ))?;
    }
}
