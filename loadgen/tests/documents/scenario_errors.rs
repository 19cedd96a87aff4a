//! What a wrong scenario is answered with: every rule of the format has a case here. The text of the errors is pinned by
//! a few snapshots; the rules are checked by their message alone.

use twinwire::scenario::Document;

/// A correct scenario with more lines for its load and its first group; `rest` is appended. What the lines say
/// replaces what would stand there.
fn document(load: &str, guests: &str, rest: &str) -> String {
    let unless = |lines: &str, keys: &[&str], line: &'static str| {
        let said =
            keys.iter().any(|key| lines.lines().any(|line| line.trim_start_matches("# ").starts_with(key)));
        if said { "" } else { line }
    };
    let model = unless(load, &["model"], "model = \"closed\"\n");
    let duration = unless(load, &["duration", "phases"], "duration = \"1s\"\n");
    let count = unless(guests, &["count"], "count = 9\n");
    let mix = unless(guests, &["mix"], "mix = { put = 1, get = 1 }\n");
    format!(
        "name = \"x\"\n[[load]]\nname = \"main\"\n{model}{duration}{load}\n\
         [[clients]]\nname = \"guests\"\nrole = \"guest\"\n{count}{mix}{guests}\n\
         [[clients]]\nname = \"managers\"\nrole = \"manager\"\ncount = 1\nmix = {{ get-other = 1 }}\n{rest}\n"
    )
}

fn messages(text: &str) -> Vec<String> {
    match Document::parse("x.toml", text, &[]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.messages().map(str::to_owned).collect(),
    }
}

/// The document has exactly one error, with this message.
#[track_caller]
fn wrong(text: &str, message: &str) {
    assert_eq!(messages(text), [message], "in\n{text}");
}

#[track_caller]
fn right(text: &str) {
    assert_eq!(messages(text), [""; 0], "in\n{text}");
}

fn load(lines: &str) -> String {
    document(lines, "", "")
}

fn guests(lines: &str) -> String {
    document("", lines, "")
}

fn rest(lines: &str) -> String {
    document("", "", lines)
}

fn transports(list: &str, load: &str, guests: &str) -> String {
    format!("transports = {list}\n{}", document(load, guests, ""))
}

#[test]
fn an_error_in_a_set_value_shows_the_argument() {
    let sets = ["clients.guests.count=ten", "load.main.cout=5", "load.mian.trials=2", "timeout", "timeout=9"];
    let errors = Document::parse("x.toml", &document("", "", ""), &sets.map(str::to_owned)).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    error: expected a whole number, found text
     --> --set
      |
      | clients.guests.count=ten
      |                      ^^^

    error: `load.main.cout` leads nowhere: there is no `cout`
     --> --set
      |
      | load.main.cout=5
      | ^^^^^^^^^^^^^^ there is `name`, `model`, `rate`, `arrivals`, `think`, `in-flight`, `warmup`, `duration`, `phases`, `trials`, `interleave`, `headline`, `timing`
      = help: name a key by its name, and an element of a list by its name or its number (from 0)

    error: `load.mian.trials` leads nowhere: there is no `mian`
     --> --set
      |
      | load.mian.trials=2
      | ^^^^^^^^^^^^^^^^ there is `main`
      = help: name a key by its name, and an element of a list by its name or its number (from 0)

    error: not an assignment
     --> --set
      |
      | timeout
      | ^^^^^^^ KEY=VALUE expected
      = help: write --set load.paced.rate=500, or --set seed=7

    error: expected a duration like "5s", found a whole number
     --> --set
      |
      | timeout=9
      |         ^
    "#);
}

#[test]
fn an_error_of_a_variant_shows_the_swept_value() {
    let text = rest("[sweep]\n\"clients.guests.values.size\" = [64, 8, 20000000]\n");
    let errors = Document::parse("x.toml", &text, &[]).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    error: variant `clients.guests.values.size=8` is not valid: 8 is out of bounds
      --> x.toml:19:37
       |
    19 | "clients.guests.values.size" = [64, 8, 20000000]
       |                                     ^ allowed are 16 to 16,777,195

    error: variant `clients.guests.values.size=20000000` is not valid: 20000000 is out of bounds
      --> x.toml:19:40
       |
    19 | "clients.guests.values.size" = [64, 8, 20000000]
       |                                        ^^^^^^^^ allowed are 16 to 16,777,195
    "#);
}

#[test]
fn an_empty_file_lacks_the_required_keys() {
    assert_eq!(messages(""), ["missing key `name`", "missing key `load`", "missing key `clients`"]);
}

#[test]
fn names_are_unique_and_fit_for_file_names() {
    for bad in ["", "a b", "a/b", "ä", "..", "-x", "all", "a\\u0000"] {
        wrong(
            &rest(&format!("[[load]]\nname = \"{bad}\"\nmodel = \"closed\"\nduration = \"1s\"\n")),
            "not a good name",
        );
    }
    right(&rest("[[load]]\nname = \"A-z_0.9\"\nmodel = \"closed\"\nduration = \"1s\"\n"));
    wrong(
        &rest("[[load]]\nname = \"main\"\nmodel = \"closed\"\nduration = \"1s\"\n"),
        "two loads named `main`",
    );
    wrong(
        &rest("[[clients]]\nname = \"guests\"\nrole = \"guest\"\ncount = 1\nmix = { get = 1 }\n"),
        "two groups named `guests`",
    );
}

#[test]
fn a_load_has_a_duration_or_phases_but_not_both() {
    wrong(&load("duration = \"1s\"\nphases = [{ duration = \"1s\" }]"), "both `duration` and `phases`");
    wrong(&load("# duration\n"), "a load without a length");
    wrong(&load("duration = \"0s\""), "\"0s\" is too short");
    wrong(&load("duration = \"-3s\""), "\"-3s\" is not a duration");
    wrong(&load("duration = \"1000h\""), "\"1000h\" is too long");
    wrong(&load("phases = []"), "a list of 0 elements");
    right(&load("duration = \"1m 30s\"\nwarmup = \"0s\""));
    right(&load("duration = \"2min\""));
}

#[test]
fn open_and_closed_loads_have_keys_of_their_own() {
    wrong(&load("rate = 5"), "`rate` in a closed load");
    wrong(&load("arrivals = \"uniform\""), "`arrivals` in a closed load");
    wrong(&load("phases = [{ duration = \"1s\", rate = 5 }]"), "`rate` in a phase of a closed load");
    wrong(&load("model = \"open\"\nrate = 5\nthink = \"1ms\""), "`think` in an open load");
    wrong(&load("model = \"open\""), "an open load without a rate");
    wrong(
        &load("model = \"open\"\nphases = [{ duration = \"1s\", rate = 5 }, { duration = \"1s\" }]"),
        "an open load without a rate",
    );
    right(&load("model = \"open\"\nphases = [{ duration = \"1s\", rate = [0, 5.5] }]"));
    right(&load("model = \"open\"\nrate = { share = 0.4 }\narrivals = \"uniform\""));
    right(&load("think = { exponential = \"5ms\" }"));
    wrong(&load("model = \"open\"\nrate = 0"), "0 is out of bounds");
    wrong(&load("model = \"open\"\nrate = nan"), "NaN is out of bounds");
    wrong(&load("model = \"open\"\nrate = { share = 1.5 }"), "1.5 is out of bounds");
}

#[test]
fn phases_move_between_levels_that_exist() {
    wrong(&load("phases = [{ duration = \"1s\", clients = 11 }]"), "more active clients than there are");
    wrong(&load("phases = [{ duration = \"1s\", clients = [0, 0] }]"), "a phase with `clients` 0");
    wrong(&load("phases = [{ duration = \"1s\", clients = [1, 2, 3] }]"), "a list of 3 elements");
    right(&load("phases = [{ duration = \"1s\", clients = [0, 10] }]"));
}

#[test]
fn only_one_load_heads_the_report() {
    let second = "[[load]]\nname = \"b\"\nmodel = \"closed\"\nduration = \"1s\"\nheadline = true\n";
    wrong(&document("headline = true", "", second), "two headline loads");
    right(&rest(second));
}

#[test]
fn interleaving_goes_with_any_transports_but_not_with_pinned_groups() {
    right(&load("interleave = \"500ms\""));
    right(&transports("[\"tcp\"]", "interleave = \"500ms\"", ""));
    wrong(
        &document("interleave = \"500ms\"", "transport = \"tcp\"", ""),
        "`interleave` with groups that are pinned to a transport",
    );
    wrong(&load("interleave = \"2s\""), "`interleave` is longer than the load");
}

#[test]
fn unframed_tcp_takes_one_small_message_at_a_time() {
    let raw = "[\"tcp\", \"tcp-raw\"]";
    wrong(&transports(raw, "in-flight = 2", ""), "more than one outstanding request over \"tcp-raw\"");
    wrong(&transports(raw, "", "values = { size = 1004 }"), "values of 1,004 bytes over \"tcp-raw\"");
    right(&transports(raw, "", "values = { size = 1003 }"));
    right(&transports(raw, "", "values = { size = 1004 }\ntransport = \"tcp\""));
    right(&load("in-flight = 2"));
}

#[test]
fn values_hold_the_tag_and_fit_a_message() {
    wrong(&guests("values = { size = 15 }"), "15 is out of bounds");
    wrong(&guests("values = { size = 16777196 }"), "16777196 is out of bounds");
    right(&guests("values = { min = 16, max = 16777195 }"));
    wrong(&guests("values = { min = 17, max = 16 }"), "the smallest value is larger than the largest");
    wrong(&guests("values = { min = 17 }"), "sizes of values are not clear");
    wrong(&guests("values = {}"), "sizes of values are not clear");
    wrong(&guests("values = { size = 64, max = 64 }"), "sizes of values are not clear");
}

#[test]
fn keys_and_preload_fit_each_other() {
    wrong(&guests("keys = { count = 0 }"), "0 is out of bounds");
    wrong(&guests("keys = { count = 5 }\npreload = 6"), "more keys to preload than there are");
    wrong(
        &guests("keys = { distribution = \"uniform\", exponent = 1.0 }"),
        "`exponent` with distribution \"uniform\"",
    );
    wrong(&guests("keys = { distribution = \"zipf\", exponent = 0 }"), "0 is out of bounds");
    right(&guests("keys = { distribution = \"sequential\" }\npreload = 0"));
}

#[test]
fn a_mix_has_a_weight() {
    wrong(&guests("mix = {}"), "a mix without any operation");
    wrong(&guests("mix = { put = 0, get = 0 }"), "a mix without any operation");
    wrong(&guests("mix = { get = -1 }"), "-1 is out of bounds");
    wrong(&guests("mix = { gett = 1, get = 1 }"), "unknown key `gett`");
    right(&guests("mix = { upgrade = 1, bad = 0 }"));
}

#[test]
fn clients_and_keys_are_bounded_in_all() {
    wrong(&guests("count = 0"), "0 is out of bounds");
    wrong(&guests("count = 250000"), "250,001 clients in all");
    wrong(&guests("count = 51\nkeys = { count = 1000000 }"), "51,000,100 keys over all clients");
    right(&guests("count = 249999"));
}

#[test]
fn a_pinned_transport_is_one_of_the_scenario() {
    wrong(&guests("transport = \"tls\""), "\"tls\" is not among the scenario's transports");
    wrong(&guests("transport = \"tpc\""), "unknown value \"tpc\"");
    wrong(&transports("[\"tcp\", \"tcp\"]", "", ""), "transport \"tcp\" is listed twice");
    wrong(&transports("[]", "", ""), "a list of 0 elements");
}

#[test]
fn reconnecting_goes_by_requests_or_by_time() {
    for good in ["{ every = 500 }", "{ every = \"2s\" }", "\"2s\""] {
        right(&guests(&format!("reconnect = {good}")));
    }
    wrong(&guests("reconnect = { every = 0 }"), "0 is out of bounds");
    wrong(
        &guests("reconnect = 500"),
        "expected { every = … } or a duration like \"5s\", found a whole number",
    );
}

#[test]
fn thresholds_have_one_bound_of_the_right_kind() {
    let threshold = |lines: &str| rest(&format!("[[thresholds]]\n{lines}\n"));
    right(&threshold("metric = \"response.p99.9\"\nmax = \"20ms\"\nabort = true"));
    right(&threshold("metric = \"rate\"\nmin = 100.5"));
    wrong(&threshold("metric = \"rate\"\nmin = \"3ms\""), "this metric's bound is a number");
    wrong(&threshold("metric = \"lag.max\"\nmax = 3"), "a latency's bound is a duration");
    wrong(&threshold("metric = \"errors\""), "a threshold without a bound");
    wrong(&threshold("metric = \"errors\"\nmax = 1\nmin = 0"), "a threshold with both `max` and `min`");
    wrong(&threshold("metric = \"response.p98\"\nmax = \"1s\""), "unknown value \"response.p98\"");
}

#[test]
fn lost_clients_are_judged_by_load_and_transport_and_only_at_the_end() {
    let threshold = |lines: &str| rest(&format!("[[thresholds]]\nmetric = \"lost\"\nmax = 0\n{lines}\n"));
    right(&threshold("where = { load = \"main\", transport = \"tcp\" }"));
    for key in ["group = \"guests\"", "role = \"guest\"", "op = \"put\""] {
        wrong(
            &threshold(&format!("where = {{ {key} }}")),
            &format!("`lost` by {}", key.split(' ').next().unwrap()),
        );
    }
    wrong(&threshold("abort = true"), "`abort` on a figure that is known only at the load's end");
    let by_transport = "[[thresholds]]\nmetric = \"lost\"\nmax = 0\nwhere = { transport = \"tcp\" }\n";
    let pinned = document("", "transport = \"tcp\"", by_transport);
    wrong(&pinned, "`lost` by transport, with groups that are pinned to a transport");
}

#[test]
fn latencies_of_a_load_whose_timing_is_unjudged_cannot_be_judged() {
    let threshold = |metric: &str, filter: &str| {
        let lines = format!("[[thresholds]]\nmetric = \"{metric}\"\nmax = {filter}\n");
        document("timing = \"unjudged\"", "", &lines)
    };
    let message = "a threshold on a latency of a load whose timing is unjudged";
    wrong(&threshold("response.p99", "\"1s\""), message);
    wrong(&threshold("lag.max", "\"1s\"\nwhere = { load = \"main\" }"), message);
    right(&threshold("errors", "0"));
    right(&threshold("unfinished", "0\nwhere = { load = \"main\" }"));
    let named = |timing: &str| threshold("response.p99", "\"1s\"").replace("unjudged", timing);
    right(&named("judged"));
    wrong(&load("timing = \"never\""), "unknown value \"never\"");
}

#[test]
fn a_threshold_names_only_what_the_scenario_has() {
    let threshold = |filter: &str| {
        rest(&format!("[[thresholds]]\nmetric = \"errors\"\nmax = 0\nwhere = {{ {filter} }}\n"))
    };
    right(&threshold(
        "load = \"main\", transport = \"tcp\", group = \"guests\", role = \"guest\", op = \"put\"",
    ));
    wrong(&threshold("load = \"paced\""), "the scenario has no load `paced`");
    wrong(&threshold("group = \"guest\""), "the scenario has no group `guest`");
    wrong(&threshold("transport = \"tls\""), "the scenario has no transport \"tls\"");
    for nothing in
        ["op = \"bad\"", "role = \"guest\", op = \"get-other\"", "group = \"guests\", role = \"manager\""]
    {
        wrong(&threshold(nothing), "a threshold on something that the scenario does not do");
    }
}

#[test]
fn a_sweep_has_at_most_two_known_keys_with_distinct_values() {
    let sweep = |lines: &str| rest(&format!("[sweep]\n{lines}\n"));
    right(&sweep("manager-share = [0, 10]\nseed = [1, 2]"));
    wrong(&sweep("manager-share = [0]\nseed = [1]\ntimeout = [\"1s\"]"), "3 swept keys");
    wrong(&sweep("seed = []"), "a list of 0 elements");
    wrong(&sweep("seed = 5"), "expected a list of values, found a whole number");
    wrong(&sweep("sede = [5]"), "`sede` leads nowhere: there is no `sede`");
    wrong(&sweep("clients.guests.count = [5]"), "`clients` is a table, not a list of values");
    wrong(&sweep("seed = [1, 1]"), "a swept value is listed twice");
    let mixes = |first: &str, second: &str| sweep(&format!("\"clients.guests.mix\" = [{first}, {second}]"));
    let mix = "{ put = 10, get = 10, get-missing = 10, bad = 20 }";
    right(&mixes(mix, "{ put = 10, get = 10, get-missing = 10, bad = 30 }"));
    wrong(&mixes(mix, "{ bad = 20, put=10, get=10.0, get-missing=10 }"), "a swept value is listed twice");
    wrong(&sweep("name = [\"a\"]"), "`name` cannot be swept");
    wrong(
        &sweep("manager-share = [101]\nseed = [1, 2]"),
        "variant `manager-share=101,seed=1` is not valid: not a share of managers",
    );
    wrong(
        &sweep("manager-share = [101]"),
        "variant `manager-share=101` is not valid: not a share of managers",
    );
    wrong(
        &sweep("manager-share = [50]").replace("\"manager\"", "\"guest\""),
        "variant `manager-share=50` is not valid: `manager-share` without a group of managers",
    );
}

#[test]
fn a_file_of_scripted_cases_is_told_so() {
    wrong("[[case]]\nid = \"a\"\n", "scripted cases are no load scenario");
}
