use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use super::*;
use crate::domain::{Rule, Transport};

fn variable(name: &str) -> Option<OsString> {
    match name {
        "SECRET" => Some("hunter22".into()),
        "EMPTY" => Some("".into()),
        "WORDS" => Some("hunter 22".into()),
        "BYTES" => Some(OsString::from_vec(vec![0xff])),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Profile, Diagnostics> {
    Profile::parse("x.toml", text, variable)
}

/// A profile with these lines.
fn with(lines: &str) -> Result<Profile, Diagnostics> {
    parse(&format!("name = \"x\"\n{lines}\n"))
}

/// These lines have exactly one error, with this message.
#[track_caller]
fn wrong(lines: &str, message: &str) {
    let errors = with(lines).expect_err(lines);
    assert_eq!(errors.messages().collect::<Vec<_>>(), [message], "in\n{lines}");
}

#[test]
fn every_key_of_the_format_arrives_in_the_profile() {
    let profile = parse(include_str!("../../../tests/data/profile.toml")).unwrap();
    assert_eq!(profile.upgrade, Policy::Secret("hunter22".to_owned()));
    let mut shown = format!("{profile:#?}");
    shown.truncate(shown.find("    written:").unwrap());
    insta::assert_snapshot!(shown, @r#"
    Profile {
        name: "mine",
        transports: Some(
            [
                Tcp,
                Wss,
            ],
        ),
        shared_registry: false,
        upgrade: Secret(…),
        message_max: 1024,
        name_max: 32,
        denial_binary: true,
        jobs: Some(
            1,
        ),
        limits: Limits {
            connections: Some(
                100,
            ),
            managers: Some(
                2,
            ),
            keys: Some(
                10,
            ),
            bytes: Some(
                4096,
            ),
            login_timeout: Some(
                1s,
            ),
            idle_timeout: Some(
                60s,
            ),
        },
        operator: Operator {
            promote: Some(
                [
                    "ctl",
                    "promote",
                    "{user}",
                ],
            ),
            demote: Some(
                [
                    "ctl",
                    "--user={user}",
                ],
            ),
            disconnect: None,
        },
        exceptions: [
            Exception {
                what: Rule(
                    Ws4,
                ),
                reason: "Not yet.",
            },
            Exception {
                what: Case(
                    "tcp-3-long-line",
                ),
                reason: "Nor this.",
            },
        ],
        known_failures: [
            KnownFailure {
                case: "role-guest-denied",
                reason: "A bug.",
            },
        ],
    "#);
}

#[test]
fn what_is_left_out_is_as_without_a_profile() {
    let shown = |mut profile: Profile| {
        profile.written = None;
        format!("{profile:?}")
    };
    assert_eq!(shown(parse("name = \"default\"").unwrap()), shown(Profile::default()));
}

#[test]
fn a_limit_of_0_and_an_empty_command_are_not_stated() {
    let limits =
        "connections = 0, managers = 0, keys = 0, bytes = 0, login-timeout = \"0s\", idle-timeout = \"0s\"";
    let operator = "promote = [], demote = [], disconnect = []";
    let profile = with(&format!("limits = {{ {limits} }}\noperator = {{ {operator} }}")).unwrap();
    assert_eq!(profile.limits, Limits::default());
    assert_eq!(profile.operator, Operator::default());
}

#[expect(clippy::too_many_lines, reason = "one snapshot of all errors")]
#[test]
fn all_errors_come_at_once_each_with_its_line_and_a_mark() {
    let text = r#"transports = ["tcp", "tpc", "tcp"]
shared-registy = false
upgrade = "secret"
message-max = 16
limits = { connections = -1, idle-timeout = "soon" }
operator = { promote = ["ctl", "promote"], demote = ["", "{user}"] }

[[except]]
rule = "WS-44"
reason = "Not yet."

[[except]]
rule = "WS-4"
case = "ws-4-binary"
reason = "Not yet."

[[except]]
reason = " "

[[except]]
case = "role-guest-denied"
reason = "Not yet."

[[known-failure]]
case = "role-guest-denied"
"#;
    insta::assert_snapshot!(parse(text).unwrap_err(), @r#"
    error: missing key `name`
     --> x.toml:1:1
      |
    1 | transports = ["tcp", "tpc", "tcp"]
      | ^ `name` is required here
      = help: Its name in reports

    error: unknown value "tpc"
     --> x.toml:1:22
      |
    1 | transports = ["tcp", "tpc", "tcp"]
      |                      ^^^^^ did you mean "tcp"?

    error: transport "tcp" is listed twice
     --> x.toml:1:29
      |
    1 | transports = ["tcp", "tpc", "tcp"]
      |                             ^^^^^ already in the list

    error: unknown key `shared-registy`
     --> x.toml:2:1
      |
    2 | shared-registy = false
      | ^^^^^^^^^^^^^^ did you mean `shared-registry`?

    error: upgrade = "secret" without `secret-env`
     --> x.toml:3:11
      |
    3 | upgrade = "secret"
      |           ^^^^^^^^ which secret?
      = help: write secret-env = "NAME", the environment variable that has it

    error: 16 is out of bounds
     --> x.toml:4:15
      |
    4 | message-max = 16
      |               ^^ allowed are 128 to 16,777,216

    error: -1 is out of bounds
     --> x.toml:5:26
      |
    5 | limits = { connections = -1, idle-timeout = "soon" }
      |                          ^^ allowed are 0 to 250,000

    error: "soon" is not a duration
     --> x.toml:5:45
      |
    5 | limits = { connections = -1, idle-timeout = "soon" }
      |                                             ^^^^^^ write it like "500ms", "5s" or "1m 30s"

    error: `promote` does not say which user
     --> x.toml:6:24
      |
    6 | operator = { promote = ["ctl", "promote"], demote = ["", "{user}"] }
      |                        ^^^^^^^^^^^^^^^^^^ no argument contains {user}
      = help: write ["PROGRAM", "ARGUMENT", "{user}"]

    error: `demote` without a program
     --> x.toml:6:53
      |
    6 | operator = { promote = ["ctl", "promote"], demote = ["", "{user}"] }
      |                                                     ^^^^^^^^^^^^^^ the first text names it

    error: unknown value "WS-44"
     --> x.toml:9:8
      |
    9 | rule = "WS-44"
      |        ^^^^^^^ did you mean "WS-4"?

    error: an exception for both a rule and a case
      --> x.toml:14:1
       |
    14 | case = "ws-4-binary"
       | ^^^^ one of the two
       = help: write two [[except]], one for each

    error: an exception for nothing
      --> x.toml:17:1
       |
    17 | [[except]]
       | ^^^^^^^^^^ `rule` or `case` is required here

    error: an empty reason
      --> x.toml:18:10
       |
    18 | reason = " "
       |          ^^^ reports show it: one sentence expected

    error: missing key `reason`
      --> x.toml:24:1
       |
    24 | [[known-failure]]
       | ^^^^^^^^^^^^^^^^^ `reason` is required here
       = help: Why, in one sentence

    error: the case "role-guest-denied" is listed twice
      --> x.toml:25:8
       |
    25 | case = "role-guest-denied"
       |        ^^^^^^^^^^^^^^^^^^^ already listed
    "#);
}

#[test]
fn a_secret_comes_from_the_environment_and_is_never_shown() {
    let secret = |name: &str| format!("upgrade = \"secret\"\nsecret-env = \"{name}\"");
    let profile = with(&secret("SECRET")).unwrap();
    assert!(!format!("{profile:?}").contains("hunter22"));
    insta::assert_snapshot!(with(&secret("ABSENT")).unwrap_err(), @r#"
    error: the environment variable `ABSENT` is not set
     --> x.toml:3:14
      |
    3 | secret-env = "ABSENT"
      |              ^^^^^^^^ the upgrade secret is read from it
      = help: set it to the secret that the target was started with: export ABSENT=…
    "#);
    wrong(&secret("EMPTY"), "the environment variable `EMPTY` is empty");
    for name in ["WORDS", "BYTES"] {
        wrong(&secret(name), &format!("the environment variable `{name}` is not one word of UTF-8 text"));
        assert!(!with(&secret(name)).unwrap_err().to_string().contains("hunter"));
    }
}

#[test]
fn a_secret_and_its_policy_need_each_other() {
    wrong("upgrade = \"secret\"", "upgrade = \"secret\" without `secret-env`");
    wrong("secret-env = \"SECRET\"", "a secret with upgrade = \"open\"");
    wrong("upgrade = \"closed\"\nsecret-env = \"SECRET\"", "a secret with upgrade = \"closed\"");
}

#[test]
fn a_name_fits_into_a_message() {
    wrong("name-max = 200\nmessage-max = 128", "a name longer than the longest message");
}

#[test]
fn a_rule_or_a_case_is_listed_once() {
    let except = |what: &str| format!("[[except]]\n{what}\nreason = \"Not yet.\"\n");
    wrong(&except("rule = \"WS-4\"").repeat(2), "the rule WS-4 is listed twice");
    wrong(&except("case = \"a\"").repeat(2), "the case \"a\" is listed twice");
    assert!(with(&[except("rule = \"WS-4\""), except("case = \"WS-4\"")].concat()).is_ok());
}

#[test]
fn cases_are_checked_against_the_suite() {
    let entry = |kind: &str, case: &str| format!("[[{kind}]]\ncase = \"{case}\"\nreason = \"A bug.\"\n");
    let text =
        [entry("except", "role-guest-denid"), entry("known-failure", "b"), entry("except", "c")].concat();
    let profile = with(&text).unwrap();
    let errors = profile.check_cases(&["role-guest-denied", "b"]).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    error: unknown case "role-guest-denid"
     --> x.toml:3:8
      |
    3 | case = "role-guest-denid"
      |        ^^^^^^^^^^^^^^^^^^ did you mean "role-guest-denied"?

    error: unknown case "c"
     --> x.toml:9:8
      |
    9 | case = "c"
      |        ^^^ the suite has no such case
    "#);
    assert!(profile.check_cases(&["role-guest-denid", "b", "c"]).is_ok());
    assert!(Profile::default().check_cases(&[]).is_ok());
}

#[test]
fn built_in_profiles_are_found_by_the_name_that_they_have() {
    for (name, _) in BUILT_IN {
        assert_eq!(Profile::named(name).unwrap().name, name);
    }
    let original = Profile::named("original").unwrap();
    assert_eq!(original.transports, Some(vec![Transport::TcpRaw, Transport::WebSocket]));
    assert_eq!(original.jobs, Some(1));
    assert!(!original.shared_registry && original.denial_binary);
}

#[test]
fn any_other_profile_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "name = \"mine\"\nlimits = { idle-timeout = \"3s\" }\n").unwrap();
    let profile = Profile::named(file.to_str().unwrap()).unwrap();
    assert_eq!(profile.limits.idle_timeout, Some(Duration::from_secs(3)));
    insta::assert_snapshot!(Profile::named("orignal").unwrap_err(), @r#"
    error: no built-in profile has this name, and there is no such file
      --> orignal
       = help: did you mean `original`?
    "#);
    insta::assert_snapshot!(Profile::named("no/such.toml").unwrap_err(), @r#"
    error: no built-in profile has this name, and there is no such file
      --> no/such.toml
       = help: built in: `original`; anything else is the path of a TOML file
    "#);
}

#[test]
fn a_profile_is_told_from_a_scenario_and_from_cases() {
    for text in ["name = \"x\"", "name = \"x\"\njobs = 1", "jobs = 1\nunknown = 2", "[[except]]\n"] {
        assert!(Profile::is_meant_by(text), "{text}");
    }
    for text in
        ["", "name =", "name = \"x\"\n[[laod]]\n", "name = \"x\"\n[[load]]\njobs = 1", "jobs = 1\n[[case]]"]
    {
        assert!(!Profile::is_meant_by(text), "{text}");
    }
    assert!(!Profile::is_meant_by(crate::scenario::STARTER));
}

#[test]
fn exceptions_name_rules_and_cases() {
    let profile =
        with("except = [{ rule = \"WS-2a\", reason = \"a\" }, { case = \"b\", reason = \"c\" }]").unwrap();
    let what: Vec<_> = profile.exceptions.into_iter().map(|exception| exception.what).collect();
    assert_eq!(what, [Excluded::Rule(Rule::Ws2a), Excluded::Case("b".to_owned())]);
}
