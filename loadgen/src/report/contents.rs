//! What a report folder holds besides the record: every file's name and bytes.

use std::collections::BTreeSet;

use super::folder::{HISTOGRAMS, LOG, PLOTS};
use super::{Plot, ReportError, csv, histograms, markdown, violations};
use crate::record::RunRecord;
use crate::text;

/// The files of a folder whose names are always the same, without the record's own and the log.
const FIXED: [&str; 5] = [SCENARIO, SUMMARY, INTERVALS, LATENCIES, TEXT];
const SCENARIO: &str = "scenario.toml";
const SUMMARY: &str = "summary.csv";
const INTERVALS: &str = "intervals.csv";
const LATENCIES: &str = "latencies.hlog";
const TEXT: &str = "report.md";

/// Every file but the record, the charts and the text around them.
#[derive(Debug)]
pub struct Contents {
    /// Names within the folder, and bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// What could not be made.
    pub failed: Vec<ReportError>,
}

impl Contents {
    /// Makes them.
    #[must_use]
    pub fn new(record: &RunRecord) -> Self {
        let mut contents = Self { files: Vec::new(), failed: Vec::new() };
        contents.add(SCENARIO, Ok(record.scenario.text.clone().into_bytes()));
        contents.add(SUMMARY, csv::summary(record));
        contents.add(INTERVALS, csv::intervals(record));
        contents.add(LATENCIES, histograms::log(record));
        let in_folder = |folder: &str, files: Vec<(String, String)>| {
            let file = |(name, text): (String, String)| (format!("{folder}/{name}"), text.into_bytes());
            files.into_iter().map(file).collect::<Vec<_>>()
        };
        contents.files.extend(in_folder(HISTOGRAMS, histograms::files(record)));
        contents.files.extend(in_folder(violations::FOLDER, violations::files(record)));
        contents
    }

    fn add(&mut self, name: &str, bytes: Result<Vec<u8>, ReportError>) {
        match bytes {
            Ok(bytes) => self.files.push((name.to_owned(), bytes)),
            Err(error) => self.failed.push(error),
        }
    }

    /// The names of all files that a run with these charts writes, except the record's.
    pub fn names<'a>(&self, plots: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.files.iter().map(|(name, _)| name.clone()).collect();
        names.extend(plots.into_iter().flat_map(plot_names));
        names.extend([LOG, TEXT].map(str::to_owned));
        names
    }
}

/// The files of a chart, both formats.
#[must_use]
pub fn plot_files(plot: &Plot) -> [(String, &[u8]); 2] {
    let [svg, png] = plot_names(&plot.name);
    [(svg, plot.svg.as_bytes()), (png, &plot.png)]
}

/// The names of a chart's files.
#[must_use]
pub fn plot_names(plot: &str) -> [String; 2] {
    let stem = text::file_name(plot);
    [format!("{PLOTS}/{stem}.svg"), format!("{PLOTS}/{stem}.png")]
}

/// Name and bytes of the text that shows the charts.
#[must_use]
pub fn text_file(record: &RunRecord, plots: &[Plot]) -> (&'static str, Vec<u8>) {
    (TEXT, markdown::report(record, plots).into_bytes())
}

/// The names that every report folder has.
#[must_use]
pub fn fixed_names() -> BTreeSet<String> {
    FIXED.into_iter().chain([LOG]).map(str::to_owned).collect()
}
