//! The options in force and where each value comes from: what `--check-config` prints, itself a file of options.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

use clap::{Arg, ArgAction, ArgMatches};

use super::{Environment, FILE_OPTION, Options, SECRET_VARIABLE, Source, UnknownVariable, unknown_variables};

/// Every option with its value and origin, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Effective {
    lines: Vec<OptionLine>,
    has_secret: bool,
    unknown_variables: Vec<UnknownVariable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OptionLine {
    heading: String,
    name: String,
    /// In TOML; `None` if the option is not set, and its help says what that means.
    value: Option<String>,
    source: Source,
    /// What happens without a value.
    otherwise: Option<String>,
}

impl Effective {
    pub(super) fn new(
        options: &Options,
        matches: &ArgMatches,
        sources: &BTreeMap<String, Source>,
        environment: &Environment,
    ) -> Self {
        let shown = options.all().filter(|arg| arg.get_long() != Some(FILE_OPTION));
        let lines = shown.map(|arg| OptionLine {
            heading: arg.get_help_heading().unwrap_or("Options").to_owned(),
            name: arg.get_long().unwrap_or_default().to_owned(),
            value: value(arg, matches),
            source: sources.get(arg.get_id().as_str()).cloned().unwrap_or(Source::Default),
            otherwise: documented_default(arg),
        });
        Self {
            lines: lines.collect(),
            has_secret: environment.contains_key(std::ffi::OsStr::new(SECRET_VARIABLE)),
            unknown_variables: unknown_variables(options, environment),
        }
    }

    /// Warns of possible mistakes. Not part of [`Self::new`], since nothing can be logged before the level is known.
    pub(in crate::cli) fn warn_of_unknown_variables(&self) {
        for UnknownVariable { name, suggestion } in &self.unknown_variables {
            let suggestion = suggestion
                .as_deref()
                .map(|suggestion| format!(": did you mean {suggestion}?"))
                .unwrap_or_default();
            tracing::warn!("the environment variable {name} has no effect{suggestion}");
        }
    }
}

/// An option's value as TOML.
fn value(arg: &Arg, matches: &ArgMatches) -> Option<String> {
    let id = arg.get_id().as_str();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Some(matches.get_flag(id).to_string());
    }
    let texts: Vec<_> = matches.get_raw(id)?.map(|raw| toml_text(&raw.to_string_lossy())).collect();
    match arg.get_action() {
        ArgAction::Append => Some(format!("[{}]", texts.join(", "))),
        _ => texts.into_iter().next(),
    }
}

fn toml_text(text: &str) -> String {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => text.to_owned(),
        _ => toml::Value::from(text).to_string(),
    }
}

/// What happens without a value, which the help of an option without a default says.
pub(super) fn documented_default(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, rest) = help.split_once("[default: ")?;
    Some(rest.split_once(']')?.0.split_whitespace().collect::<Vec<_>>().join(" "))
}

impl Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = "";
        for line in &self.lines {
            if line.heading != heading {
                let gap = if heading.is_empty() { "" } else { "\n" };
                heading = &line.heading;
                writeln!(f, "{gap}# {heading}")?;
            }
            let OptionLine { name, source, .. } = line;
            match (&line.value, &line.otherwise) {
                (Some(value), _) => writeln!(f, "{:<40} # {source}", format!("{name} = {value}"))?,
                (None, Some(otherwise)) => {
                    writeln!(f, "{:<40} # {source}: {otherwise}", format!("# {name} ="))?;
                }
                (None, None) => writeln!(f, "{:<40} # {source}", format!("# {name} ="))?,
            }
        }
        if self.has_secret {
            writeln!(f, "\n# {SECRET_VARIABLE} is set; it is not shown")?;
        }
        for UnknownVariable { name, .. } in &self.unknown_variables {
            writeln!(f, "\n# {name} is set and has no effect")?;
        }
        Ok(())
    }
}
