//! Which case notices which fault: `reports/conformance-kills.csv`, and in short `reports/conformance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use twinwire::conform::built_in;
use twinwire_server::faults::{Fault, ShownBy};

use super::fleet::{citing, kills, run};
use super::shown_by;

pub(crate) fn write() {
    let mut killers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut csv = String::from("fault,rule,case,transport,place\n");
    let results = run(shown_by(&[ShownBy::Cases, ShownBy::Cuttings]), citing);
    for (fault, result) in &results {
        let of_fault = killers.entry(fault.name()).or_default();
        let mut rows = BTreeSet::new();
        for case in result.cases.iter().filter(|case| kills(*fault, case)) {
            let transport = case.transport.map_or("", twinwire::domain::Transport::name);
            let place = case.failure.as_ref().map_or("", |failure| failure.place.as_str());
            rows.insert(format!("{},{},{},{transport},\"{place}\"\n", fault.name(), fault.rule(), case.id));
            of_fault.insert(case.id.clone());
        }
        csv.extend(rows);
    }
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports");
    fs::write(reports.join("conformance-kills.csv"), csv).unwrap();
    fs::write(reports.join("conformance.md"), summary(&killers)).unwrap();
    let missed: Vec<_> =
        killers.iter().filter(|(_, cases)| cases.is_empty()).map(|(name, _)| *name).collect();
    assert!(missed.is_empty(), "nothing kills {missed:?}");
}

fn summary(killers: &BTreeMap<&str, BTreeSet<String>>) -> String {
    let all = built_in::all();
    let enough = small_cover(killers);
    let used: BTreeSet<&String> = killers.values().flatten().collect();
    let idle: Vec<&str> =
        all.iter().map(|case| case.case.id.as_str()).filter(|id| !used.contains(&(*id).to_owned())).collect();
    let mut text = format!(
        "# Which faults the conformance suite notices\n\n\
         Made by `cargo test -p twinwire --test faults -- --ignored writes`. A fault is a way in which the reference\n\
         server is made to break one rule; it counts as noticed where a case that cites this rule fails at one of its\n\
         own expectations. Each fault was tried with the cases that cite its rule; `conformance-kills.csv` has every\n\
         pair of fault and case.\n\n\
         - {} of {} faults are noticed; {} of {} cases notice one.\n\
         - {} cases are enough to notice all.\n\
         - {} faults that show only in a race, or once in a hundred times, are for storms and not in this table.\n\n\
         | fault | rule | what the server does | cases that notice it |\n|---|---|---|---|\n",
        killers.values().filter(|cases| !cases.is_empty()).count(),
        killers.len(),
        used.len(),
        all.len(),
        enough.len(),
        shown_by(&[ShownBy::Storms]).count(),
    );
    for fault in shown_by(&[ShownBy::Cases, ShownBy::Cuttings]) {
        let cases = killers.get(fault.name()).map_or(0, BTreeSet::len);
        let _ = writeln!(text, "| {} | {} | {} | {cases} |", fault.name(), fault.rule(), fault.about());
    }
    let list = |text: &mut String, title: &str, ids: &mut dyn Iterator<Item = &str>| {
        let _ = write!(text, "\n## {title}\n\n");
        for id in ids {
            let _ = writeln!(text, "- {id}");
        }
    };
    list(&mut text, "Cases that are enough", &mut enough.iter().map(String::as_str));
    list(&mut text, "Cases that notice none of these faults", &mut idle.into_iter());
    let storms: Vec<Fault> = shown_by(&[ShownBy::Storms]).collect();
    list(&mut text, "Faults that need a storm", &mut storms.iter().map(|fault| fault.name()));
    text
}

/// A small set of cases that kills every fault: always the case that kills most of what is left, then without those
/// that the others make superfluous.
fn small_cover(killers: &BTreeMap<&str, BTreeSet<String>>) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    let is_killed = |cases: &BTreeSet<String>, chosen: &BTreeSet<String>| !cases.is_disjoint(chosen);
    loop {
        let mut gains: BTreeMap<&String, usize> = BTreeMap::new();
        for case in killers.values().filter(|cases| !is_killed(cases, &chosen)).flatten() {
            *gains.entry(case).or_default() += 1;
        }
        let Some((best, _)) = gains.into_iter().max_by_key(|(_, gain)| *gain) else { break };
        chosen.insert(best.clone());
    }
    for case in chosen.clone() {
        let mut without = chosen.clone();
        without.remove(&case);
        if killers.values().all(|cases| cases.is_empty() || is_killed(cases, &without)) {
            chosen = without;
        }
    }
    chosen
}
