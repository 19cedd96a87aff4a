//! The JSON schema against the parser: what one takes in a single value, the other takes too.
//!
//! The validator here knows exactly the keywords that the schema uses and fails on any other, so none goes unchecked;
//! a full one would bring over forty crates.

use std::fs;
use std::path::Path;

use serde_json::Value;
use twinwire::commands::schema::{Format, Schema};
use twinwire::conform::case::Cases;
use twinwire::conform::profile::Profile;
use twinwire::scenario::{Document, STARTER, schema};

/// Whether a value is valid by a whole schema.
fn valid(schema: &Value, value: &Value) -> bool {
    accepts(schema, schema, value)
}

/// Whether a value is valid by a part of the schema `root` (JSON schema draft 7, sections 6, 8 and 9).
fn accepts(schema: &Value, root: &Value, value: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema == &Value::Bool(true) };
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "default" | "examples" | "definitions" => true,
        "$ref" => accepts(root.pointer(&rule.as_str().unwrap()[1..]).unwrap(), root, value),
        "propertyNames" => value
            .as_object()
            .is_none_or(|object| object.keys().all(|key| accepts(rule, root, &Value::from(key.as_str())))),
        "type" => has_type(rule.as_str().unwrap(), value),
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "not" => !accepts(rule, root, value),
        "anyOf" => rule.as_array().unwrap().iter().any(|one| accepts(one, root, value)),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= size(rule)),
        "pattern" => value.as_str().is_none_or(|text| matches_pattern(rule.as_str().unwrap(), text)),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| accepts(rule, root, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() >= size(rule)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() <= size(rule)),
        "minProperties" => value.as_object().is_none_or(|object| object.len() >= size(rule)),
        "maxProperties" => value.as_object().is_none_or(|object| object.len() <= size(rule)),
        "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => rule
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, one)| value.get(key).is_none_or(|inner| accepts(one, root, inner))),
        "additionalProperties" => {
            let known = |key: &str| rules.get("properties").is_some_and(|all| all.get(key).is_some());
            value
                .as_object()
                .is_none_or(|all| all.iter().all(|(key, one)| known(key) || accepts(rule, root, one)))
        }
        other => panic!("the schema uses a keyword that this test does not know: {other}"),
    })
}

fn size(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}

/// The schema's few patterns, by hand.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[A-Za-z0-9][A-Za-z0-9_.-]*$" => {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        }
        "^[^-]*[0-9][^-]*$" => text.contains(|c: char| c.is_ascii_digit()) && !text.contains('-'),
        r"^[^\u0000-\u001f\u007f-\u009f]*$" => !text.contains(char::is_control),
        other => panic!("unknown pattern {other}"),
    }
}

/// A TOML text as the JSON that an editor's plugin hands to the schema.
fn json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn the_schema_accepts_what_the_parser_accepts() {
    let printed = Schema { format: Format::Scenario }.exec().unwrap();
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema, schema::scenario());
    let everything = include_str!("../data/everything.toml").to_owned();
    let mut texts = vec![STARTER.to_owned(), everything];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for name in ["compare.toml", "smoke.toml", "isolation.toml", "managers.toml"] {
        texts.push(fs::read_to_string(folder.join(name)).unwrap());
    }
    for text in texts {
        Document::parse("x.toml", &text, &[]).unwrap();
        assert!(valid(&schema, &json(&text)), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_parser_refuses_in_a_single_value() {
    let schema = schema::scenario();
    let everything = include_str!("../data/everything.toml");
    for (right, wrong) in [
        ("seed = 42", "sede = 42"),
        ("seed = 42", "seed = -1"),
        ("name = \"paced\"", "name = \"a b\""),
        ("name = \"paced\"", "name = \"all\""),
        ("model = \"open\"", "model = \"opne\""),
        ("model = \"open\"\n", ""),
        ("rate = 4000", "rate = { shares = 0.4 }"),
        ("rate = 4000", "rate = { share = 1.5 }"),
        ("rate = [1000, 9000]", "rate = [1000]"),
        ("warmup = \"2s\"", "warmup = 2"),
        ("warmup = \"2s\"", "warmup = \"-2s\""),
        ("count = 90", "count = 0"),
        ("put = 30", "putt = 30"),
        ("exponent = 1.2", "exponent = 0"),
        ("size = 64", "size = 8"),
        ("every = 500", "every = 0"),
        ("manager-share = [0, 50.5]", "manager-share = 5"),
        ("op = \"get\"", "op = \"got\""),
        ("metric = \"rate\"", "metric = \"rates\""),
        ("abort = true", "abort = 1"),
    ] {
        assert!(everything.contains(right), "{right}");
        let text = everything.replacen(right, wrong, 1);
        assert!(Document::parse("x.toml", &text, &[]).is_err(), "the parser takes {wrong}");
        assert!(!valid(&schema, &json(&text)), "the schema takes {wrong}");
    }
}

#[test]
fn the_schema_of_cases_accepts_what_their_parser_accepts_and_refuses_what_it_refuses_in_a_single_value() {
    let printed = Schema { format: Format::Cases }.exec().unwrap();
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let everything = include_str!("../data/cases.toml");
    Cases::parse("x.toml", everything).unwrap();
    assert!(valid(&schema, &json(everything)));
    for (right, wrong) in [
        ("id = \"frames\"", "id = \"fr ames\""),
        ("rules = [\"ROLE-2\"]", "rules = [\"ROLE-22\"]"),
        ("level = \"core\"", "level = \"basic\""),
        ("a = { login = false }", "\"a b\" = { login = false }"),
        ("a = { login = false }", "a = { logins = false }"),
        ("expect = \"done\"", "expect = 5"),
        ("client = \"bob\", send", "clint = \"bob\", send"),
        ("connect = true", "connect = 1"),
        ("success = 1", "success = -1"),
        ("cut = [3, 7, 1012]", "cut = [0]"),
        ("repeat = 3", "repeat = 0"),
        ("send = \"put k{i} {{v{i}}}\"", "send = 5"),
        ("rsv = 0", "rsv = 8"),
        ("close = 1000,", "close = -1,"),
        ("closed = \"clean\"", "closed = \"maybe\""),
        ("silence = \"200ms\"", "silence = 200"),
        ("http = \"1.1\"", "http = \"2\""),
    ] {
        assert!(everything.contains(right), "{right}");
        let text = everything.replacen(right, wrong, 1);
        assert!(Cases::parse("x.toml", &text).is_err(), "the parser takes {wrong}");
        assert!(!valid(&schema, &json(&text)), "the schema takes {wrong}");
    }
}

#[test]
fn the_schema_of_profiles_accepts_what_their_parser_accepts_and_refuses_what_it_refuses_in_a_single_value() {
    let printed = Schema { format: Format::Profile }.exec().unwrap();
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let parse = |text: &str| Profile::parse("x.toml", text, |_| Some("secret".into()));
    let everything = include_str!("../data/profile.toml");
    parse(everything).unwrap();
    for right in [everything, include_str!("../../../scenarios/profiles/original.toml")] {
        assert!(valid(&schema, &json(right)));
    }
    for (right, wrong) in [
        ("name = \"mine\"", "name = \"m ine\""),
        ("\"wss\"", "\"wsss\""),
        ("shared-registry = false", "shared-registry = 0"),
        ("upgrade = \"secret\"", "upgrade = \"maybe\""),
        ("message-max = 1024", "message-max = 127"),
        ("name-max = 32", "name-max = 0"),
        ("jobs = 1", "jobs = 0"),
        ("connections = 100", "connections = -1"),
        ("idle-timeout = \"1m\"", "idle-timeout = 60"),
        ("\"--user={user}\"", "5"),
        ("rule = \"WS-4\"", "rule = \"WS-44\""),
        ("reason = \"Nor this.\"", "raeson = \"Nor this.\""),
        ("case = \"role-guest-denied\"", "rule = \"ROLE-2\""),
    ] {
        assert!(everything.contains(right), "{right}");
        let text = everything.replacen(right, wrong, 1);
        assert!(parse(&text).is_err(), "the parser takes {wrong}");
        assert!(!valid(&schema, &json(&text)), "the schema takes {wrong}");
    }
}
