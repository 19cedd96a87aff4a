//! A format's description as a JSON schema (draft 7, which editors' TOML plugins know): the same that the parser uses.
//! Rules between keys are left to `check`.

use serde_json::{Map, Value, json};

use super::format::SCENARIO;
use super::grammar::{Key, Kind, Presence, Table};
use super::limits::NAME_MAX;

/// The schema of a load scenario.
#[must_use]
pub fn scenario() -> Value {
    document(&SCENARIO, "Twinwire load scenario", &[])
}

/// The schema of a whole document; `shared` are the tables that it refers to by name.
pub(crate) fn document(root: &Table, title: &str, shared: &[(&str, &Table)]) -> Value {
    let mut schema = table(root);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(title);
    for (name, inner) in shared {
        schema["definitions"][name] = table(inner);
    }
    schema
}

fn table(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        properties.insert(key.name.to_owned(), property(key));
    }
    let required: Vec<_> =
        table.keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = json!(key.about);
    if let Presence::Default(text) = key.presence {
        schema["default"] = default_value(text);
    }
    schema
}

/// A default of the format as JSON.
fn default_value(text: &str) -> Value {
    let document: toml::Table =
        format!("default = {text}").parse().expect("a default of the format is valid TOML");
    serde_json::to_value(&document["default"]).expect("TOML of the format has a JSON form")
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::OneLine => json!({ "type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Name => json!({
            "type": "string",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
            "maxLength": NAME_MAX,
            "not": { "const": "all" },
        }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { zero, max } => {
            let minimum = if *zero { "minimum" } else { "exclusiveMinimum" };
            let mut schema = json!({ "type": "number", minimum: 0 });
            if *max < f64::MAX {
                schema["maximum"] = json!(max);
            }
            schema
        }
        Kind::Boolean => json!({ "type": "boolean" }),
        // Lengths of time have too many spellings for a pattern; a digit they all have, a minus none.
        Kind::Duration { .. } => {
            json!({ "type": "string", "pattern": "^[^-]*[0-9][^-]*$", "examples": ["500ms", "5s", "1m 30s"] })
        }
        Kind::Choice(names) => json!({ "type": "string", "enum": names }),
        Kind::List { of, min, max } => {
            json!({ "type": "array", "items": self::kind(of), "minItems": min, "maxItems": max })
        }
        Kind::Table(inner) => table(inner),
        Kind::Map { keys, of } => {
            let properties: Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), self::kind(of))).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1 })
        }
        Kind::Nested(name, _) => json!({ "$ref": format!("#/definitions/{name}") }),
        Kind::Free { named, of } => {
            let mut schema =
                json!({ "type": "object", "additionalProperties": self::kind(of), "minProperties": 1 });
            if *named {
                schema["propertyNames"] = self::kind(&Kind::Name);
            }
            schema
        }
        Kind::Sweep => json!({
            "type": "object",
            "additionalProperties": { "type": "array", "minItems": 1 },
            "maxProperties": 2,
        }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::Any => json!(true),
    }
}
