//! `twinwire completions SHELL` and `twinwire man`: what shells and `man` want to know of the three programs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Command, Parser, ValueEnum};
use clap_complete::Shell;

use super::CommandError;

/// A program of this package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// The load generator and conformance harness
    Twinwire,
    /// The client
    TwinwireClient,
    /// The server
    TwinwireServer,
}

/// Print a shell's completions
///
/// The shell reads the script when it starts: with bash, for example, add `source <(twinwire completions bash)` to
/// `~/.bashrc`; with zsh, write it to a file `_twinwire` in a folder of `$fpath`; with fish, to
/// `~/.config/fish/completions/twinwire.fish`. `twinwire-client` and `twinwire-server` have scripts of their own.
#[derive(Debug, Parser)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
    /// The program whose command line is completed
    #[arg(value_enum, value_name = "PROGRAM", default_value_t = Program::Twinwire)]
    pub program: Program,
}

impl Completions {
    /// The script. `command` gives a program's command line.
    ///
    /// # Errors
    /// None; all commands have this type.
    pub fn exec(&self, command: impl Fn(Program) -> Command) -> Result<String, CommandError> {
        let mut command = command(self.program);
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, &name, &mut script);
        let mut script = String::from_utf8_lossy(&script).into_owned();
        if self.shell == Shell::Bash {
            // The generator spells the states of a program with a hyphen in two ways, and bash finds none of them:
            // https://github.com/clap-rs/clap/issues/6421
            script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
        }
        Ok(script)
    }
}

/// Write the man pages of the three programs
///
/// One page for each program and subcommand; older ones are replaced. `man DIR/twinwire.1` shows one where it is;
/// pages in the folder `man1` below a `man` or `share/man` are found by name.
#[derive(Debug, Parser)]
pub struct Man {
    /// Where to; made if it does not exist [default: the folder of this program]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl Man {
    /// Writes the pages; the text says which. `command` gives a program's command line.
    ///
    /// # Errors
    /// A page or the folder cannot be written.
    pub fn exec(self, command: impl Fn(Program) -> Command) -> Result<String, CommandError> {
        let dir = match self.dir {
            Some(dir) => dir,
            None => own_folder()?,
        };
        write_pages(&dir, command).map_err(|source| CommandError::Write { path: dir, source })
    }
}

/// Writes the pages of all programs and their subcommands into a folder; their paths, a line each.
fn write_pages(dir: &Path, command: impl Fn(Program) -> Command) -> io::Result<String> {
    fs::create_dir_all(dir)?;
    // Renamed into their places: nothing is written through a link, and no page is ever half a page.
    let staged = tempfile::tempdir_in(dir)?;
    for program in Program::value_variants() {
        clap_mangen::generate_to(command(*program).disable_help_subcommand(true), &staged)?;
    }
    let mut names =
        fs::read_dir(&staged)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    let mut written = String::new();
    for name in names {
        let page = dir.join(&name);
        fs::rename(staged.path().join(&name), &page)?;
        let _ = writeln!(written, "{}", page.display());
    }
    Ok(written)
}

/// The folder that this program is in.
fn own_folder() -> Result<PathBuf, CommandError> {
    let program = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    program.ok_or_else(|| CommandError::Usage("the folder of this program is unknown: name one".to_owned()))
}
