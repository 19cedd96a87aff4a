//! `twinwire explain RULE|CASE`.

use clap::Parser;

use super::{CommandError, CommandOutput};
use crate::conform::report::Subject;
use crate::report::ReportError;
use crate::scenario::shape::nearest;
use crate::text::{self, Paint};

/// Show a rule of the protocol with its reason and its cases, or a case with its steps
///
/// `twinwire conform --list` shows the ids of all cases.
#[derive(Debug, Parser)]
pub struct Explain {
    /// A rule's id, such as LOGIN-4, or a case's
    #[arg(value_name = "RULE|CASE")]
    pub id: String,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

impl Explain {
    /// The explanation. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// Where there is no such rule or case.
    pub fn exec(self, colour: bool) -> Result<CommandOutput, CommandError> {
        let subject = Subject::named(&self.id).map_err(|known| unknown(&self.id, &known))?;
        Ok(CommandOutput::success(if self.json {
            subject.json().map_err(ReportError::from)?
        } else {
            subject.text(Paint { colour })
        }))
    }
}

fn unknown(id: &str, known: &[String]) -> CommandError {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let part = || known.iter().copied().find(|known| id.len() > 2 && known.contains(id));
    let near = nearest(id, &known).or_else(|| nearest(&id.to_uppercase(), &known)).or_else(part);
    let hint = near.map_or_else(
        || "`twinwire conform --list` shows the cases with their rules".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    CommandError::Usage(format!("no rule and no built-in case is called `{}`; {hint}", text::excerpt(id)))
}
