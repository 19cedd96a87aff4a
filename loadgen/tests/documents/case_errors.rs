//! What a wrong file of scripted cases is answered with: every rule of the format has a case here. The text of the errors
//! is pinned by a few snapshots; the rules are checked by their message alone.

use twinwire::conform::case::Cases;

/// A case over any transport with clients `alice`, `bob` and `late`, which is not connected, and these steps.
fn steps(steps: &str) -> String {
    with("", steps)
}

/// The same with more lines before the clients.
fn with(lines: &str, steps: &str) -> String {
    format!(
        "[[case]]\nid = \"x\"\nrules = [\"FORM-3\"]\n{lines}\n\
         clients = {{ alice = {{}}, bob = {{}}, late = {{ connect = false }} }}\nsteps = [\n{steps}\n]\n"
    )
}

fn clients(clients: &str) -> String {
    format!(
        "[[case]]\nid = \"x\"\nrules = [\"FORM-3\"]\nclients = {{ {clients} }}\nsteps = [{{ wait = \"1s\" }}]\n"
    )
}

fn messages(text: &str) -> Vec<String> {
    match Cases::parse("x.toml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.messages().map(str::to_owned).collect(),
    }
}

/// The file has exactly one error, with this message.
#[track_caller]
fn wrong(text: &str, message: &str) {
    assert_eq!(messages(text), [message], "in\n{text}");
}

#[track_caller]
fn right(text: &str) {
    assert_eq!(messages(text), [""; 0], "in\n{text}");
}

/// One step of alice is wrong in exactly this way.
#[track_caller]
fn wrong_step(rest: &str, message: &str) {
    wrong(&steps(&format!("{{ client = \"alice\", {rest} }}")), message);
}

#[track_caller]
fn right_step(rest: &str) {
    right(&steps(&format!("{{ client = \"alice\", {rest} }}")));
}

#[track_caller]
fn wrong_frame(rest: &str, message: &str) {
    let step = format!("{{ client = \"alice\", {rest} }}");
    wrong(&with("transports = [\"websocket\"]", &step), message);
}

#[test]
fn all_errors_come_at_once_each_with_its_line_and_a_mark() {
    let text = r#"[[case]]
id = "one two"
rules = ["ROLE-22"]
transport = ["tcp"]
clients = { alice = {}, bob = { role = "boss" } }
steps = [
  { client = "alice", send = "get {alcie} k", expct = "done" },
  { client = "bobb", send = "q", close = 1000 },
  { client = "alice", send = "get k", cut = [2, 99] },
  { client = "alice", send = "get k", expect = 7 },
]

[[case]]
id = "empty"
rules = ["LIFE-1"]
clients = { alice = {} }
steps = []
"#;
    let errors = Cases::parse("x.toml", text).unwrap_err();
    insta::assert_snapshot!(errors, @r##"
    error: not a good name
     --> x.toml:2:6
      |
    2 | id = "one two"
      |      ^^^^^^^^^ a name has only letters (A-Z, a-z), digits, `-`, `_` and `.`

    error: unknown value "ROLE-22"
     --> x.toml:3:10
      |
    3 | rules = ["ROLE-22"]
      |          ^^^^^^^^^ did you mean "ROLE-2"?

    error: unknown key `transport`
     --> x.toml:4:1
      |
    4 | transport = ["tcp"]
      | ^^^^^^^^^ did you mean `transports`?

    error: unknown value "boss"
     --> x.toml:5:40
      |
    5 | clients = { alice = {}, bob = { role = "boss" } }
      |                                        ^^^^^^ expected one of "guest", "manager"

    error: `{alcie}` is no client of this case
     --> x.toml:7:30
      |
    7 |   { client = "alice", send = "get {alcie} k", expct = "done" },
      |                              ^^^^^^^^^^^^^^^ did you mean `{alice}`?

    error: unknown key `expct`
     --> x.toml:7:47
      |
    7 |   { client = "alice", send = "get {alcie} k", expct = "done" },
      |                                               ^^^^^ did you mean `expect`?

    error: the case has no client `bobb`
     --> x.toml:8:14
      |
    8 |   { client = "bobb", send = "q", close = 1000 },
      |              ^^^^^^ did you mean "bob"?

    error: a step with 2 actions
     --> x.toml:8:34
      |
    8 |   { client = "bobb", send = "q", close = 1000 },
      |                                  ^^^^^ this step has `send`, `close`: one only
      = help: write a step for each; `together` starts several at once

    error: a cut at 99 beyond the message
     --> x.toml:9:49
      |
    9 |   { client = "alice", send = "get k", cut = [2, 99] },
      |                                                 ^^ the message has 6 bytes on the wire

    error: expected text or a list of texts or a table, found a whole number
      --> x.toml:10:48
       |
    10 |   { client = "alice", send = "get k", expect = 7 },
       |                                                ^

    error: a list of 0 elements
      --> x.toml:17:9
       |
    17 | steps = []
       |         ^^ at least 1 expected
    "##);
}

#[test]
fn a_lone_brace_and_odd_digits_are_explained() {
    let text = steps("{ client = \"alice\", send = \"put k {\" },\n{ client = \"alice\", bytes = \"abc\" },");
    insta::assert_snapshot!(Cases::parse("x.toml", &text).unwrap_err(), @r##"
    error: a lone `{`
     --> x.toml:7:28
      |
    7 | { client = "alice", send = "put k {" },
      |                            ^^^^^^^^^ write `{{` for a brace

    error: 3 hexadecimal digits
     --> x.toml:8:29
      |
    8 | { client = "alice", bytes = "abc" },
      |                             ^^^^^ two for each byte, and one byte at least
    "##);
}

#[test]
fn cases_and_a_scenario_do_not_share_a_file() {
    let text = format!("{}\n[[load]]\nname = \"a\"\n", steps("{ wait = \"1s\" }"));
    insta::assert_snapshot!(Cases::parse("x.toml", &text).unwrap_err(), @r##"
    error: scripted cases and a load scenario in one file
      --> x.toml:10:3
       |
    10 | [[load]]
       |   ^^^^ this is a scenario's key, and the file has [[case]]
       = help: put the cases into a file of their own
    "##);
}

#[test]
fn a_case_needs_an_id_rules_clients_and_steps() {
    assert_eq!(
        messages("[[case]]\n"),
        ["missing key `id`", "missing key `rules`", "missing key `clients`", "missing key `steps`"]
    );
    wrong(&steps(""), "a list of 0 elements");
    wrong(&clients(""), "an empty table");
    assert_eq!(messages(""), ["missing key `case`"]);
    wrong("case = []", "a list of 0 elements");
    wrong("case = 3", "expected a list of tables ([[…]]), found a whole number");
}

#[test]
fn ids_are_unique_names() {
    let twice = steps("{ wait = \"1s\" }").repeat(2);
    wrong(&twice, "two cases with the id `x`");
    wrong(&steps("{ wait = \"1s\" }").replace("\"x\"", "\"../x\""), "not a good name");
}

#[test]
fn rules_levels_and_transports_are_known_ones() {
    let step = "{ wait = \"1s\" }";
    wrong(&steps(step).replace("FORM-3", "FORM-4"), "unknown value \"FORM-4\"");
    wrong(&steps(step).replace("[\"FORM-3\"]", "[]"), "a list of 0 elements");
    wrong(&with("level = \"basic\"", step), "unknown value \"basic\"");
    wrong(&with("transports = [\"udp\"]", step), "unknown value \"udp\"");
    wrong(&with("transports = []", step), "a list of 0 elements");
    wrong(&with("transports = [\"tcp\", \"tcp\"]", step), "transport \"tcp\" is listed twice");
}

#[test]
fn clients_are_possible_ones() {
    right(&clients("a = { connect = false, login = false }"));
    right(&clients("a = { transport = \"other\", role = \"manager\" }"));
    wrong(&clients("a = { connect = false, login = true }"), "`a` is logged in without a connection");
    wrong(&clients("a = { connect = false, role = \"manager\" }"), "`a` is a manager without a login");
    wrong(&clients("a = { login = false, role = \"manager\" }"), "`a` is a manager without a login");
    wrong(&clients("a = { transport = \"others\" }"), "unknown value \"others\"");
    wrong(&clients("a = { colour = 1 }"), "unknown key `colour`");
    wrong(&clients("a = 1"), "expected a table, found a whole number");
    wrong(&clients("i = {}"), "a client named `i`");
    wrong(&clients("fill = {}"), "a client named `fill`");
    wrong(&clients(&format!("{} = {{}}", "a".repeat(65))), "not a good name");
    wrong(&clients("\"a b\" = {}"), "not a good name");
}

#[test]
fn a_step_has_one_client_and_one_action() {
    right(&steps("{ wait = \"1s\" }"));
    right_step("wait = \"1s\", expect = { silence = \"1s\" }");
    wrong(&steps("{ send = \"q\" }"), "a step without a client");
    wrong(&steps("{ wait = \"1s\", expect = \"x\" }"), "a step without a client");
    wrong(&steps("{ client = \"carol\", send = \"q\" }"), "the case has no client `carol`");
    wrong_step("expect = \"done\"", "a step without an action");
    wrong_step("send = \"q\", reset = true", "a step with 2 actions");
    wrong_step("sent = \"q\", reset = true", "unknown key `sent`");
    wrong_step("sned = \"q\"", "unknown key `sned`");
    wrong_step("repeat = 2, steps = [{ wait = \"1s\" }]", "`client` beside `repeat`");
    wrong_step("together = [{ wait = \"1s\" }]", "`client` beside `together`");
    wrong(&steps("{ client = \"late\", send = \"q\" }"), "`late` acts but is never connected");
    right(&steps("{ client = \"late\", connect = true },\n{ client = \"late\", send = \"q\" }"));
}

#[test]
fn actions_have_possible_values() {
    wrong_step("reset = false", "`reset = false` does nothing");
    wrong_step("half-close = false", "`half-close = false` does nothing");
    wrong(&steps("{ client = \"late\", connect = false }"), "`connect = false` does nothing");
    wrong_step("close = 70000", "70000 is out of bounds");
    wrong_step("close = true", "expected a whole number, found true or false");
    wrong_step("wait = \"soon\"", "\"soon\" is not a duration");
    wrong_step("send = 7", "expected text or a list of texts, found a whole number");
    wrong_step("send = []", "a list of 0 elements");
    right_step("login = \"{alice}\"");
    right_step("login = \"{fill:64}\"");
    wrong_step("login = \"{fill:65}\"", "no user name");
    wrong_step("login = \"two words\"", "no user name");
    wrong_step("login = \"\"", "no user name");
}

#[test]
fn placeholders_mean_something() {
    wrong_step("send = \"get {carol} k\"", "`{carol}` is no client of this case");
    wrong_step("send = \"put k {i}\"", "`{i}` outside `repeat`");
    wrong_step("send = \"put k {fill:9999999}\"", "`{fill:9999999}` fills nothing");
    wrong_step("send = \"q\", expect = \"{x}\"", "`{x}` is no client of this case");
    wrong_step("send = \"put k }\"", "a lone `}`");
    right_step("send = \"put k {{}}\"");
    assert_eq!(messages(&steps("{ client = \"alice\", send = [\"{a}\", \"{b} {c}\"] }")).len(), 3);
}

#[test]
fn cuts_lie_inside_the_message_and_rise() {
    right_step("send = \"get k\", cut = [1, 5]");
    wrong_step("send = \"get k\", cut = [1, 6]", "a cut at 6 beyond the message");
    wrong_step("send = \"get k\", cut = [0]", "0 is out of bounds");
    wrong_step("send = \"get k\", cut = [3, 3]", "a cut at 3 after one further on");
    wrong_step("send = \"get k\", cut = \"each-bit\"", "unknown value \"each-bit\"");
    wrong_step("reset = true, cut = [1]", "`cut` without `send`");
    right_step("send = [\"get k\", \"get k\"], cut = [11]");
    wrong_step("send = [\"get k\", \"get k\"], cut = [12]", "a cut at 12 beyond the message");
    let websocket = |cut: u32| {
        with(
            "transports = [\"websocket\"]",
            &format!("{{ client = \"alice\", send = \"get k\", cut = [{cut}] }}"),
        )
    };
    right(&websocket(10));
    wrong(&websocket(11), "a cut at 11 beyond the message");
}

#[test]
fn unframed_messages_are_neither_cut_nor_joined() {
    let raw = |step: &str| with("transports = [\"tcp-raw\"]", &format!("{{ client = \"alice\", {step} }}"));
    right(&raw("send = \"get k\""));
    wrong(&raw("send = \"get k\", cut = \"each-byte\""), "a cut message over \"tcp-raw\"");
    wrong(&raw("send = [\"get k\", \"q\"]"), "several messages in one write over \"tcp-raw\"");
}

#[test]
fn bytes_are_pairs_of_hexadecimal_digits() {
    right_step("bytes = \"00 fF\"");
    wrong_step("bytes = \"0g\"", "`g` is no hexadecimal digit");
    wrong_step("bytes = \"012\"", "3 hexadecimal digits");
    wrong_step("bytes = \"\"", "0 hexadecimal digits");
}

#[test]
fn frames_and_handshakes_need_websocket() {
    wrong_step("frame = {}", "a frame over \"tcp\"");
    wrong(&steps("{ client = \"late\", handshake = {} }"), "a handshake over \"tcp\"");
    let pinned =
        steps("{ client = \"bob\", frame = {} }").replace("bob = {}", "bob = { transport = \"wss\" }");
    right(&pinned);
    wrong_frame("frame = { opcode = 16 }", "16 is out of bounds");
    wrong_frame("frame = { rsv = 8 }", "8 is out of bounds");
    wrong_frame("frame = { length = -1 }", "-1 is out of bounds");
    wrong_frame("frame = { length = \"7e00\" }", "no length of a frame");
    wrong_frame("frame = { length = \"7d01\" }", "no length of a frame");
    wrong_frame("frame = { payload = { bytes = \"x\" } }", "`x` is no hexadecimal digit");
    wrong_frame("frame = { payload = 3 }", "expected text or { bytes = … }, found a whole number");
    wrong_frame("handshake = { method = \"GET /\" }", "no method of a request");
    wrong_frame("handshake = { http = \"2\" }", "unknown value \"2\"");
    wrong_frame("handshake = { headers = { \"a b\" = \"c\" } }", "no name of a header");
    wrong_frame("handshake = { headers = { Host = true } }", "a header without a value");
}

#[test]
fn together_and_repeat_hold_steps() {
    wrong(&steps("{ together = [] }"), "a list of 0 elements");
    wrong(&steps("{ repeat = 2 }"), "`repeat` without steps");
    wrong(&steps("{ repeat = 0, steps = [{ wait = \"1s\" }] }"), "0 is out of bounds");
    wrong_step("send = \"q\", steps = [{ wait = \"1s\" }]", "`steps` without `repeat`");
    wrong(&steps("{ together = [{ together = [{ wait = \"1s\" }] }] }"), "`together` inside `together`");
    right(&steps("{ repeat = 2, steps = [{ together = [{ client = \"bob\", send = \"get {i}\" }] }] }"));
    wrong(
        &steps("{ repeat = 2, steps = [{ client = \"bob\", sent = \"q\", reset = true }] }"),
        "unknown key `sent`",
    );
    wrong(
        &steps("{ repeat = 1000000, steps = [{ repeat = 1000000, steps = [{ wait = \"1s\" }] }] }"),
        "1,000,000,000,000 steps with all repeats",
    );
}

#[test]
fn expectations_are_of_one_kind_and_fit_the_action() {
    right_step("send = \"q\", expect = [\"exiting\"]");
    right_step("send = \"q\", expect = { closed = \"clean\", code = 1000 }");
    wrong_step("send = \"q\", expect = []", "a list of 0 elements");
    wrong_step(
        "send = \"q\", expect = true",
        "expected text or a list of texts or a table, found true or false",
    );
    wrong_step("send = \"q\", expect = {}", "not one expectation");
    wrong_step("send = \"q\", expect = { any = [\"a\"], silence = \"1s\" }", "not one expectation");
    wrong_step("send = \"q\", expect = { al = [\"a\"] }", "unknown key `al`");
    wrong_step("send = \"q\", expect = { code = 1000 }", "`code` without `closed`");
    wrong_step("send = \"q\", expect = { closed = \"reset\", code = 1000 }", "a close code of a reset");
    wrong_step("send = \"q\", expect = { closed = \"maybe\" }", "unknown value \"maybe\"");
    wrong_step("send = \"q\", expect = { closed = \"any\", code = 7 }", "7 is out of bounds");
    wrong_step("send = \"q\", expect = { count = { done = 1 } }", "`count` without `together`");
    wrong_step("reset = true, expect = \"x\"", "`expect` beside `reset`");
    let beside = |action: &str, expect: &str| steps(&format!("{{ {action}, expect = {expect} }}"));
    let together = "together = [{ client = \"bob\", send = \"q\" }]";
    right(&beside(together, "{ count = { exiting = 1 } }"));
    wrong(&beside(together, "\"exiting\""), "`expect` of replies beside `together`");
    wrong(&beside(together, "{ count = {} }"), "an empty table");
    wrong(&beside(together, "{ count = { done = -1 } }"), "-1 is out of bounds");
    wrong(&beside("repeat = 2, steps = [{ wait = \"1s\" }]", "\"x\""), "`expect` beside `repeat`");
}
