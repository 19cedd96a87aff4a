//! The report's files as their readers see them.

mod mixed;
mod text;
mod violations;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;
use crate::record::fixture;
use crate::record::{Interval, Processes, RunRecord, Status};
use crate::text::Paint;

/// Writes a whole report as a run does, into a folder that may hold an earlier one.
fn write_folder(record: &RunRecord, plots: &[Plot], dir: &Path) -> Result<(), ReportError> {
    let contents = contents::Contents::new(record);
    let names = contents.names(plots.iter().map(|plot| plot.name.as_str()));
    let mut folder = Folder::claim(dir)?;
    folder.check(&names)?;
    folder.clear()?;
    folder.begin_log("# log")?;
    folder.write(folder::RECORD, folder::record_text(record, &names)?.as_bytes())?;
    for (name, bytes) in &contents.files {
        folder.write(name, bytes)?;
    }
    for (name, bytes) in plots.iter().flat_map(contents::plot_files) {
        folder.write(&name, bytes)?;
    }
    let (name, text) = contents::text_file(record, plots);
    folder.write(name, &text)
}

fn lines(bytes: Vec<u8>) -> Vec<String> {
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn hostile() -> RunRecord {
    let mut record = fixture::record();
    record.outcome.status = Status::Violated;
    record.violations = vec![fixture::violation(); 5];
    record.violations_total = 12;
    record
}

/// Two transports in three variants.
fn swept() -> RunRecord {
    let mut record = fixture::record();
    record.loads.truncate(1);
    record.loads[0].variants =
        ["0", "50", "100"].map(|share| fixture::variant(&[("manager-share", share)])).to_vec();
    record.passes.truncate(2);
    let passes = std::mem::take(&mut record.passes);
    for variant in &record.loads[0].variants {
        for pass in &passes {
            record.passes.push(crate::record::Pass { variant: variant.label.clone(), ..pass.clone() });
        }
    }
    record
}

fn plot(name: &str) -> Plot {
    Plot { name: name.into(), caption: "latency by percentile".into(), svg: "<svg/>".into(), png: vec![1, 2] }
}

#[test]
fn summary_has_the_columns_of_the_contract_and_empty_fields_for_what_does_not_apply() {
    let lines = lines(csv::summary(&fixture::record()).unwrap());
    insta::assert_snapshot!(lines[0], @"load,variant,trial,transport,group,role,op,requests,errors,violations,unfinished,rate,lag_mean,lag_p50,lag_p90,lag_p99,lag_p99_9,lag_max,service_mean,service_p50,service_p90,service_p99,service_p99_9,service_max,response_mean,response_p50,response_p90,response_p99,response_p99_9,response_max");
    let of = |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap().as_str();
    insta::assert_snapshot!(of("paced,,1,tcp,guests,guest,get,"), @"paced,,1,tcp,guests,guest,get,1260,0,0,0,630.000,9.516,8.767,12.607,17.279,,23.455,95.061,87.423,124.991,183.679,,255.231,104.734,97.855,136.319,198.015,,299.263");
    insta::assert_snapshot!(of("saturated,,all,websocket,all,all,all,"), @"saturated,,all,websocket,all,all,all,16000,0,0,0,4000.000,,,,,,,1314.438,1217.535,1726.463,2461.695,3205.119,4222.975,1317.724,1218.559,1724.415,2480.127,3201.023,4184.063");
    // 90 requests: no p99, and a closed load has no lag.
    assert!(of("paced,,1,tcp,guests,guest,get-other,").contains(",,"));
    assert!(of("saturated,,1,tcp,guests,guest,put,").contains(",,,,,,"));
}

#[test]
fn summary_rows_of_a_run_have_no_other_transport_than_those_that_ran() {
    let lines = lines(csv::summary(&fixture::record()).unwrap());
    let transports: std::collections::BTreeSet<_> =
        lines[1..].iter().map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(transports.into_iter().collect::<Vec<_>>(), ["tcp", "websocket"]);
}

#[test]
fn intervals_have_the_columns_of_the_contract() {
    let lines = lines(csv::intervals(&fixture::record()).unwrap());
    insta::assert_snapshot!(lines[..2].join("\n"), @"
    load,variant,trial,transport,second,offered,achieved,errors,violations,response_p50,response_p99,service_p50,service_p99,dispatch_lag_p99,server_cpu,generator_cpu,steal,server_rss_kib,generator_rss_kib,bytes_sent,bytes_received,server_descriptors,generator_descriptors,server_voluntary_switches,server_involuntary_switches,generator_voluntary_switches,generator_involuntary_switches,sampled_sockets,sampled_bytes_sent,sampled_bytes_received,sampled_segments_sent,sampled_segments_received,sampled_retransmits,length_s
    paced,,1,tcp,0,1000,1000,0,0,90.000,180.000,81.000,,25.000,0.312,0.401,0.00456,8200,31000,42000,37000,112,140,900,9,1000,10,32,21000,18500,510,500,0,1.000
    ");
    assert_eq!(lines.len(), 1 + 8 * 2);
    let contract = "load,variant,trial,transport,second,offered,achieved,errors,violations,response_p50,response_p99,\
                    service_p50,service_p99,dispatch_lag_p99,server_cpu,generator_cpu,steal,server_rss_kib,\
                    generator_rss_kib,bytes_sent,bytes_received,";
    assert!(lines[0].starts_with(contract), "new columns come after these: {}", lines[0]);
}

#[test]
fn what_is_not_known_of_an_interval_is_empty_and_never_0() {
    let mut record = fixture::record();
    let known = record.passes[0].intervals[0].clone();
    record.passes[0].intervals[0] = Interval {
        server_cpu: None,
        server_rss_kib: None,
        server_processes: Processes::default(),
        generator_processes: Processes::default(),
        sockets: None,
        ..known
    };
    let lines = lines(csv::intervals(&record).unwrap());
    let unknown = ["server_cpu", "server_rss_kib"]
        .into_iter()
        .chain(lines[0].split(',').skip(21).filter(|name| *name != "length_s"));
    let cells: Vec<&str> = lines[1].split(',').collect();
    for column in unknown {
        let at = lines[0].split(',').position(|name| name == column).unwrap();
        assert_eq!(cells[at], "", "{column}");
    }
}

#[test]
fn the_interval_log_is_read_back_by_hdrhistogram_with_every_count() {
    let record = fixture::record();
    let bytes = histograms::log(&record).unwrap();
    let mut start = None;
    let mut entries = Vec::new();
    for entry in IntervalLogIterator::new(&bytes) {
        match entry.unwrap() {
            LogEntry::StartTime(time) | LogEntry::BaseTime(time) => start = Some(time.as_secs()),
            LogEntry::Interval(interval) => {
                let packed = BASE64.decode(interval.encoded_histogram()).unwrap();
                let histogram: Histogram<u64> =
                    Deserializer::new().deserialize(&mut packed.as_slice()).unwrap();
                let tag = interval.tag().unwrap().as_str().to_owned();
                entries.push((tag, interval.start_timestamp(), interval.duration(), histogram.len()));
            }
        }
    }
    assert_eq!(start, Some(1_795_514_400));
    let (tag, from, length, count) = &entries[1];
    assert_eq!(tag, "paced/tcp/guest/put/service");
    assert_eq!((from.as_millis(), length.as_secs(), *count), (400, 2, 450));
    let responses: u64 = entries.iter().filter(|e| e.0.ends_with("/response")).map(|e| e.3).sum();
    let requests: u64 = record.passes.iter().flat_map(|p| &p.cells).map(|cell| cell.counts.requests).sum();
    assert_eq!(responses, requests);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.starts_with("#[Histogram log format version 1.3]\n#[twinwire 0.1.0: compare]\n#[Started 2026-11-24T10:00:00Z]\n"),
        "{}",
        &text[..200]
    );
}

#[test]
fn the_interval_log_keeps_variants_and_odd_names_apart_in_tags() {
    let mut record = swept();
    let odd = "a b,c/d\n";
    record.loads[0].name = odd.into();
    record.passes.iter_mut().for_each(|pass| pass.load = odd.into());
    let bytes = histograms::log(&record).unwrap();
    let tags: Vec<String> = IntervalLogIterator::new(&bytes)
        .filter_map(|entry| match entry.unwrap() {
            LogEntry::Interval(interval) => Some(interval.tag().unwrap().as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(tags[0], "a-b-c-d-:manager-share=0/tcp/guest/put/lag");
    assert!(tags.iter().all(|tag| tag.split('/').count() == 5));
}

#[test]
fn percentile_distributions_have_the_java_format_in_microseconds() {
    let files = histograms::files(&fixture::record());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"paced-websocket-guest-get-response.hgrm"), "{names:?}");
    assert!(names.contains(&"saturated-tcp-all-all-service.hgrm"), "{names:?}");
    let (_, text) = files.iter().find(|(name, _)| name == "paced-tcp-manager-put-response.hgrm").unwrap();
    insta::assert_snapshot!(text, @"
           Value     Percentile TotalCount 1/(1-Percentile)

          79.487 0.000000000000          1           1.00
          80.575 0.100000000000          4           1.11
          81.855 0.200000000000          9           1.25
          82.623 0.300000000000         13           1.43
          86.143 0.400000000000         16           1.67
          89.919 0.500000000000         20           2.00
          90.559 0.550000000000         22           2.22
          93.631 0.600000000000         25           2.50
          95.679 0.650000000000         27           2.86
          96.639 0.700000000000         29           3.33
          97.535 0.750000000000         31           4.00
         100.543 0.775000000000         32           4.44
         103.039 0.800000000000         33           5.00
         104.895 0.825000000000         34           5.71
         106.367 0.850000000000         35           6.67
         115.327 0.875000000000         36           8.00
         115.327 0.887500000000         36           8.89
         116.159 0.900000000000         37          10.00
         116.159 0.912500000000         37          11.43
         123.455 0.925000000000         38          13.33
         123.455 0.937500000000         38          16.00
         123.455 0.943750000000         38          17.78
         158.079 0.950000000000         39          20.00
         158.079 0.956250000000         39          22.86
         158.079 0.962500000000         39          26.67
         158.079 0.968750000000         39          32.00
         158.079 0.971875000000         39          35.56
         167.935 0.975000000000         40          40.00
         167.935 1.000000000000         40
    #[Mean    =       94.891, StdDeviation   =       18.912]
    #[Max     =      167.935, Total count    =           40]
    #[Buckets =           32, SubBuckets     =         2048]
    ");
}

#[test]
fn a_percentile_distribution_rises_to_all_samples() {
    for (name, text) in histograms::files(&fixture::record()) {
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|field| field.parse().unwrap()).collect())
            .collect();
        assert!(
            rows.windows(2).all(|two| two[0][..3].iter().zip(&two[1][..3]).all(|(a, b)| a <= b)),
            "{name}"
        );
        let total = text.split("Total count    =").nth(1).unwrap().trim_start().split(']').next().unwrap();
        assert!((rows.last().unwrap()[2] - total.parse::<f64>().unwrap()).abs() < 0.5, "{name}");
    }
}

#[test]
fn json_has_the_rows_of_the_summary_without_histograms() {
    let record = fixture::record();
    let json = serde_json::to_value(json::run(&record, "out")).unwrap();
    assert_eq!(json["exit_code"], 0);
    assert_eq!(json["status"], "passed");
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), lines(csv::summary(&record).unwrap()).len() - 1);
    let last = rows.last().unwrap();
    assert_eq!((&last["trial"], &last["op"]), (&"all".into(), &"all".into()));
    assert_eq!(last["lag"]["p50"], serde_json::Value::Null);
    insta::assert_snapshot!(json["cost"][0], @r#"{"bytes_received":37.0,"bytes_sent":42.0,"cpu_us":40.8,"generator_cores":0.021,"generator_cpu_us":20.7,"generator_switches":2.02,"load":"paced","others":0.012,"retransmits":0,"segments":2.015,"server_cores":0.02,"server_cpu_us":20.1,"server_switches":1.01,"steal":0.004,"transport":"tcp","variant":""}"#);
    assert!(!json.to_string().contains("\"hdr\""));
}

#[test]
fn the_folder_holds_every_file_and_nothing_of_an_earlier_drawing() {
    let dir = tempfile::tempdir().unwrap();
    let record = fixture::record();
    write_folder(&record, &[plot("old")], dir.path()).unwrap();
    std::fs::write(dir.path().join("plots/notes.txt"), "kept").unwrap();
    write_folder(&record, &[plot("new")], dir.path()).unwrap();
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(dir.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("plots"), ["new.png", "new.svg", "notes.txt"]);
    assert_eq!(
        names(""),
        [
            "histograms",
            "intervals.csv",
            "latencies.hlog",
            "plots",
            "report.md",
            "run.json",
            "scenario.toml",
            "server.log",
            "summary.csv"
        ]
    );
    assert_eq!(std::fs::read_to_string(dir.path().join("scenario.toml")).unwrap(), record.scenario.text);
}

#[cfg(unix)]
#[test]
fn the_files_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    write_folder(&fixture::record(), &[], dir.path()).unwrap();
    let mode = std::fs::metadata(dir.path().join("run.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    // Group and others as the user's umask lets them: as with a file made in the ordinary way.
    std::fs::write(dir.path().join("ordinary"), "").unwrap();
    let ordinary = std::fs::metadata(dir.path().join("ordinary")).unwrap().permissions().mode();
    assert_eq!(mode & 0o044, ordinary & 0o044);
}

#[test]
fn a_report_drawn_again_from_its_record_is_the_same() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_folder(&fixture::record(), &[], first.path()).unwrap();
    let again = RunRecord::read(&first.path().join("run.json")).unwrap();
    write_folder(&again, &[], second.path()).unwrap();
    for name in ["run.json", "summary.csv", "intervals.csv", "latencies.hlog", "report.md"] {
        let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
        assert!(read(first.path()) == read(second.path()), "{name} differs");
    }
}

#[test]
fn a_record_without_a_single_pass_still_makes_a_report() {
    let mut record = fixture::record();
    record.passes.clear();
    record.outcome.status = Status::TargetLost;
    record.outcome.message = Some("no server on 127.0.0.1:1601".into());
    let dir = tempfile::tempdir().unwrap();
    write_folder(&record, &[], dir.path()).unwrap();
    let text = terminal::render(&record, Path::new("out"), Paint::default());
    assert!(text.contains("NO TARGET") && text.contains("no server on 127.0.0.1:1601"), "{text}");
}
