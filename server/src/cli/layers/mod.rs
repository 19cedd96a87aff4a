//! The sources of an option's value: the command line, else the environment, else the file, else its default.
//!
//! Each option is declared once, in [`super::args`]. Its key in the file and its variable are derived from its name,
//! and their values are put in front of the command line and parsed like it: by the same parsers, with the same
//! messages. An option that is given in a stronger source replaces all of its values from weaker ones, and the options
//! that it conflicts with.

mod effective;
mod file;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, error::ContextKind,
    parser::ValueSource,
};

pub(super) use self::{effective::Effective, file::FileError};
use super::{args::Args, error::SECRET_VARIABLE};

/// What all variables begin with.
const PREFIX: &str = "TWINWIRE_";

/// Options that make sense on the command line alone.
const COMMAND_LINE_ONLY: [&str; 4] = ["help", "version", "check-config", "until-stdin-closes"];

/// The option that chooses the policy, and the one that only the policy `secret` uses.
const POLICY: &str = "upgrade";
const SECRET_FILE: &str = "upgrade-secret-file";

/// The option that names the file. It cannot be set in it.
const FILE_OPTION: &str = "config";

/// The environment, as from [`std::env::vars_os`].
pub(super) type Environment = BTreeMap<OsString, OsString>;

#[derive(Debug, thiserror::Error)]
pub(super) enum LayerError {
    /// Help and version are reported this way too.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    #[error("{variable}: {message}")]
    Environment { variable: String, message: String },
    #[error(transparent)]
    File(#[from] FileError),
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    CommandLine,
    Environment { variable: String },
    File { path: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment { variable } => write!(f, "environment, {variable}"),
            Self::File { path, line } => write!(f, "file, {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// An option's value before it is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Raw {
    /// For an option that is on or off.
    Flag(bool),
    /// One, or several for an option that may be repeated.
    Texts(Vec<String>),
}

/// A variable that begins like this program's but is not one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnknownVariable {
    name: String,
    /// The variable whose name it resembles.
    suggestion: Option<String>,
}

/// The options with their names, ready to parse values.
struct Options {
    command: Command,
}

/// The values found so far, the strongest source first.
#[derive(Default)]
struct Settings {
    sources: BTreeMap<String, Source>,
    /// The same as words of a command line.
    words: Vec<OsString>,
    /// The name of the upgrade policy, if one has been found.
    policy: Option<OsString>,
}

/// Parses `args`, which begin with the program's name, and adds what `environment` and the file set. A subcommand has
/// only the command line.
pub(super) fn resolve(args: &[OsString], environment: &Environment) -> Result<(Args, Effective), LayerError> {
    let mut options = Options { command: Args::command() };
    // Names, conflicts and headings are known from here on.
    options.command.build();
    let given = options.command.clone().try_get_matches_from(args)?;
    let mut settings = Settings::default();
    if given.subcommand().is_none() {
        for arg in options.all() {
            if given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
                settings.sources.insert(arg.get_id().to_string(), Source::CommandLine);
            }
        }
        settings.policy = given.get_raw(POLICY).and_then(|mut raw| raw.next()).map(Into::into);
        options.apply(&mut settings, options.in_environment(environment)?);
        if let Some(path) = Options::file(&given, environment) {
            options.apply(&mut settings, file::read(Path::new(&path), &options)?);
        }
    }
    let (program, rest) = args.split_at(args.len().min(1));
    let words = program.iter().chain(&settings.words).chain(rest);
    let matches = options.command.clone().try_get_matches_from(words)?;
    let effective = Effective::new(&options, &matches, &settings.sources, environment);
    Ok((Args::from_arg_matches(&matches)?, effective))
}

impl Options {
    /// Every option that may be set in more than one source.
    fn all(&self) -> impl Iterator<Item = &Arg> {
        self.command
            .get_arguments()
            .filter(|arg| arg.get_long().is_some_and(|name| !COMMAND_LINE_ONLY.contains(&name)))
    }

    fn named(&self, name: &str) -> Option<&Arg> {
        self.all().find(|arg| arg.get_long() == Some(name) && name != FILE_OPTION)
    }

    /// The option whose name resembles `name`, as the argument parser suggests it.
    fn resembling(&self, name: &str) -> Option<&str> {
        let alone = [self.command.get_name().to_owned(), format!("--{name}=")];
        let error = self.command.clone().try_get_matches_from(alone).err()?;
        let suggested = error.get(ContextKind::SuggestedArg)?.to_string();
        let suggested = suggested.trim_start_matches('-').split([' ', '=']).next()?;
        self.named(suggested)?.get_long()
    }

    /// The path of the file of options, if one is given.
    fn file(given: &ArgMatches, environment: &Environment) -> Option<OsString> {
        let variable = environment.get(OsStr::new(&variable(FILE_OPTION))).filter(|path| !path.is_empty());
        given
            .get_raw(FILE_OPTION)
            .and_then(|mut raw| raw.next())
            .or(variable.map(AsRef::as_ref))
            .map(Into::into)
    }

    /// What the environment sets. An empty variable counts as unset.
    fn in_environment(&self, environment: &Environment) -> Result<Vec<(&Arg, Source, Raw)>, LayerError> {
        let mut found = Vec::new();
        for arg in self.all() {
            let variable = variable(arg.get_long().unwrap_or_default());
            let Some(text) = environment.get(OsStr::new(&variable)).filter(|text| !text.is_empty()) else {
                continue;
            };
            let raw = text.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(|text| {
                let raw = from_text(arg, text)?;
                self.check(arg, &raw).map(|()| raw)
            });
            let raw =
                raw.map_err(|message| LayerError::Environment { variable: variable.clone(), message })?;
            found.push((arg, Source::Environment { variable }, raw));
        }
        Ok(found)
    }

    /// Fails with a message if the option's own parser does not take this value.
    fn check(&self, arg: &Arg, raw: &Raw) -> Result<(), String> {
        let words = words(arg, raw)?;
        let alone = std::iter::once(OsString::from(self.command.get_name())).chain(words);
        match self.command.clone().try_get_matches_from(alone) {
            Ok(_) => Ok(()),
            Err(error) => Err(plain(&error)),
        }
    }

    /// Adds a source: what has been found already is stronger, and so is what conflicts with it.
    fn apply(&self, settings: &mut Settings, layer: Vec<(&Arg, Source, Raw)>) {
        // Replacing the policy `secret` also removes its secret.
        let is_without_secret = settings.policy.as_ref().is_some_and(|policy| policy != "secret");
        let stronger: Vec<&Arg> =
            self.all().filter(|arg| settings.sources.contains_key(arg.get_id().as_str())).collect();
        for (arg, source, raw) in layer {
            let is_excluded = stronger.iter().any(|other| {
                let conflicts = |one, two: &Arg| {
                    self.command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == two.get_id())
                };
                other.get_id() == arg.get_id() || conflicts(other, arg) || conflicts(arg, other)
            });
            let is_moot = is_without_secret && arg.get_long() == Some(SECRET_FILE);
            if !is_excluded && !is_moot {
                if let (Some(POLICY), Raw::Texts(texts)) = (arg.get_long(), &raw) {
                    settings.policy = texts.first().map(Into::into);
                }
                settings.sources.insert(arg.get_id().to_string(), source);
                // It was parsed before, so it has words.
                settings.words.extend(words(arg, &raw).unwrap_or_default());
            }
        }
    }
}

/// The variable of an option: `max-connections` is `TWINWIRE_MAX_CONNECTIONS`.
fn variable(name: &str) -> String {
    PREFIX.to_owned() + &name.replace('-', "_").to_ascii_uppercase()
}

fn is_known(options: &Options, name: &OsStr) -> bool {
    name == SECRET_VARIABLE || options.all().any(|arg| *name == *variable(arg.get_long().unwrap_or_default()))
}

/// The variables that look as if they were meant for this program and are not, each with the one that resembles it.
///
/// They are not errors: a container platform makes variables of its own from the name of a service, such as
/// `TWINWIRE_PORT`.
fn unknown_variables(options: &Options, environment: &Environment) -> Vec<UnknownVariable> {
    let mine = environment.keys().filter(|name| name.to_string_lossy().starts_with(PREFIX));
    mine.filter(|name| !is_known(options, name))
        .map(|name| {
            let name = name.to_string_lossy();
            let key = name[PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
            UnknownVariable {
                suggestion: options.resembling(&key).map(variable),
                name: name.escape_debug().to_string(),
            }
        })
        .collect()
}

/// A value from a variable, in which several are separated by commas.
fn from_text(arg: &Arg, text: &str) -> Result<Raw, String> {
    if let (true, Ok(on)) = (may_be_bare(arg), text.parse()) {
        return Ok(Raw::Flag(on));
    }
    match arg.get_action() {
        ArgAction::SetTrue => match text {
            "true" | "1" => Ok(Raw::Flag(true)),
            "false" | "0" => Ok(Raw::Flag(false)),
            _ => Err(format!("expected true or false, not '{text}'")),
        },
        ArgAction::Append => Ok(Raw::Texts(text.split(',').map(|part| part.trim().to_owned()).collect())),
        _ => Ok(Raw::Texts(vec![text.to_owned()])),
    }
}

/// Whether the option may be given without a value.
fn may_be_bare(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() == 0)
}

/// The value as words of a command line.
fn words(arg: &Arg, raw: &Raw) -> Result<Vec<OsString>, String> {
    let flag = format!("--{}", arg.get_long().unwrap_or_default());
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    match raw {
        Raw::Flag(true) if is_switch || may_be_bare(arg) => Ok(vec![flag.into()]),
        Raw::Flag(false) if is_switch || may_be_bare(arg) => Ok(Vec::new()),
        Raw::Flag(on) => Err(format!("expected a value, not {on}")),
        Raw::Texts(_) if is_switch => Err("expected true or false".to_owned()),
        Raw::Texts(texts) if texts.len() != 1 && !matches!(arg.get_action(), ArgAction::Append) => {
            Err("expected one value, not a list".to_owned())
        }
        Raw::Texts(texts) => Ok(texts.iter().map(|text| format!("{flag}={text}").into()).collect()),
    }
}

/// A parser's message without what only a command line needs around it.
fn plain(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
