//! `twinwire quick`: load without a scenario file. It writes the scenario itself and runs it as `run` would.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;

use super::run::Options;
use super::target_args::{Plan, transport};
use super::{CommandError, CommandOutput};
use crate::domain::{Role, Transport};
use crate::scenario::{
    CLIENTS_MAX, DAY, Document, HOUR, MILLISECOND, RATE_MAX, RAW_VALUE_MAX, TAG_BYTES, VALUE_MAX,
    duration_within,
};
use crate::text;

/// The file name in errors that `--set` causes.
const SOURCE: &str = "the scenario of `quick`";

/// Trials of a closed load: in a drawn order, so that the machine's ups and downs hit the transports alike, and as many
/// as leave a difference visible if one trial went wrong.
const TRIALS: u32 = 10;

/// Shortest of these trials. A shorter load has fewer of them, and at last one, which compares nothing.
const TRIAL_MIN: Duration = Duration::from_millis(200);

/// Shortest warm-up of a trial, if it has one: caches and connections settle.
const TRIAL_WARMUP_MIN: Duration = Duration::from_millis(100);

/// Longest window of an open load that switches between the transports.
const WINDOW_MAX: Duration = Duration::from_millis(500);

/// Windows of each transport, at least, as far as the time reaches: pairs for a comparison.
const WINDOWS_MIN: u32 = 10;

/// Requests of a window, if the rate allows: enough for a median of the guests.
const WINDOW_REQUESTS: f64 = 50.0;

/// Shortest window.
const WINDOW_MIN: Duration = Duration::from_millis(10);

/// Keys of each client: enough for gets to meet many, few enough that preloading them takes no time.
const KEYS_MAX: u32 = 100;

/// Bytes of one client's entries, and of all clients': what the embedded server's stores hold, with room to spare.
/// Large values have fewer keys.
const USER_BYTES_MAX: u64 = 48 << 20;
const TOTAL_BYTES_MAX: u64 = 768 << 20;

/// What an entry counts for in addition to its value: the key, and what it costs the server.
const ENTRY_BYTES: u64 = 128;

/// Put a load on a target without a scenario file
///
/// Without -R each client sends, waits for the reply, and sends again at once (a closed load): the slower side is
/// saturated. With -R requests come at that rate, whatever the server does (an open load, Poisson arrivals).
///
/// The transports take turns, so that a slow moment of the machine is not mistaken for a difference between them. With
/// -R the load switches every half second or less. Without it, -d is divided into up to ten short trials in random
/// order, each on a fresh server. In all it takes -d and --warmup for each transport, and a moment to set up each
/// trial. Below two seconds there are fewer trials, and a single trial gives no ratio.
///
/// The report folder holds the scenario that was run: `twinwire run scenario.toml` in it runs it again, and it is a
/// starting point for your own.
#[derive(Debug, Parser)]
pub struct Quick {
    /// Clients, each with a connection of its own
    #[arg(short, long, value_name = "CLIENTS", default_value = "50", value_parser = clients(), allow_negative_numbers = true)]
    pub clients: u32,

    /// Measured time on each transport, in all trials together
    #[arg(short, long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub duration: Duration,

    /// Load before that, whose figures are discarded, in all trials together (at least 100ms in each)
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = warmup)]
    pub warmup: Duration,

    /// Requests a second over all clients [default: as many as clients that do not pause make]
    #[arg(short = 'R', long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Percentage of the clients that are managers; the others are guests
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent(), allow_negative_numbers = true)]
    pub managers: u32,

    /// Bytes of each value. Every server takes messages of 64 KiB, key and command included; the embedded one takes
    /// more if values are larger
    #[arg(long, value_name = "N", default_value = "64", value_parser = value_size(), allow_negative_numbers = true)]
    pub value_size: u32,

    /// Transports to compare: tcp, tcp-raw, websocket, tls, wss (repeatable) [default: those of the target]
    #[arg(long = "transport", value_name = "TRANSPORT", value_parser = transport)]
    pub transports: Vec<Transport>,

    /// Every random choice derives from it
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed(), allow_negative_numbers = true)]
    pub seed: u64,

    /// How to run it, and where the results go
    #[command(flatten)]
    pub options: Options,
}

fn clients() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(CLIENTS_MAX))
}

fn percent() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(0..=100)
}

fn seed() -> RangedU64ValueParser<u64> {
    // A scenario's whole numbers are those of TOML.
    RangedU64ValueParser::new().range(0..=i64::MAX.cast_unsigned())
}

fn value_size() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(u64::from(TAG_BYTES)..=u64::from(VALUE_MAX))
}

fn duration(text: &str) -> Result<Duration, String> {
    duration_within(text, MILLISECOND, DAY)
}

fn warmup(text: &str) -> Result<Duration, String> {
    duration_within(text, Duration::ZERO, HOUR)
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 =
        text.parse().map_err(|_| "a number of requests a second is needed, like 2000".to_owned())?;
    // NaN is out of bounds too.
    if rate > 0.0 && rate <= RATE_MAX {
        Ok(rate)
    } else {
        Err(format!("must be over 0 and at most {RATE_MAX}"))
    }
}

impl Quick {
    /// Runs it. `colour`: whether stdout shows colours.
    ///
    /// # Errors
    /// If a flag is wrong; a run that began is an outcome, however it ended.
    pub fn exec(self, colour: bool) -> Result<CommandOutput, CommandError> {
        self.options.target.refuse_profile()?;
        let plan = self.options.target.plan()?;
        let document = self.document(&plan)?;
        self.options.run_all(&[document], &plan, colour)
    }

    fn document(&self, plan: &Plan) -> Result<Document, CommandError> {
        let transports = self.compared(plan);
        if transports.contains(&Transport::TcpRaw) && self.value_size > RAW_VALUE_MAX {
            return Err(CommandError::Usage(format!(
                "--value-size {} is too large for tcp-raw, where a message has at most 1,024 bytes: at most \
                 {RAW_VALUE_MAX} there, or leave tcp-raw out by --transport",
                self.value_size
            )));
        }
        Document::parse(SOURCE, &self.scenario(&transports), &self.options.sets)
            .map_err(|errors| CommandError::Scenarios { passed: String::new(), failed: vec![errors] })
    }

    /// The transports of the comparison, each once: those asked for, or those of the target. The embedded server
    /// has all, and is compared over the two that this program is about.
    fn compared(&self, plan: &Plan) -> Vec<Transport> {
        let mut transports = match (self.transports.as_slice(), plan) {
            ([], Plan::Embedded) => vec![Transport::Tcp, Transport::WebSocket],
            ([], plan) => plan.transports(),
            (asked, _) => asked.to_vec(),
        };
        transports.sort_unstable();
        transports.dedup();
        transports
    }

    /// The scenario as text.
    fn scenario(&self, transports: &[Transport]) -> String {
        let names: Vec<String> =
            transports.iter().map(|transport| format!("{:?}", transport.name())).collect();
        let managers = self.manager_count();
        let alone = transports.len() < 2;
        let mut at_once = 1;
        let (pace, turns, trials) = if let Some(rate) = self.rate {
            let window = self.window(rate).filter(|_| !alone);
            at_once = window.map_or(1, |_| transports.len());
            let turns = window.map_or_else(String::new, |window| {
                format!(
                    "interleave = \"{}\"                   # the transports take turns\n",
                    written(window)
                )
            });
            (format!("model = \"open\"\nrate = {rate}\narrivals = \"poisson\""), turns, 1)
        } else {
            let trials = if alone { 1 } else { self.trials() };
            let turns = if trials > 1 { format!("trials = {trials}\n") } else { String::new() };
            ("model = \"closed\"\nthink = \"0ms\"".to_owned(), turns, trials)
        };
        let (warmup, duration) = (self.warmup_of(trials), whole_ms(self.duration / trials));
        let mut text = format!(
            "\
# Written by `twinwire quick`; `twinwire run` runs it again.

name = \"quick\"
about = \"{about}\"
seed = {seed}
transports = [{names}]
timeout = \"5s\"

[[load]]
name = \"quick\"
{pace}
warmup = \"{warmup}\"
duration = \"{duration}\"
{turns}",
            about = self.about(managers),
            seed = self.seed,
            names = names.join(", "),
            warmup = written(warmup),
            duration = written(duration),
        );
        let keys = self.keys(at_once);
        self.group(Role::Guest, self.clients - managers, keys, &mut text);
        self.group(Role::Manager, managers, keys, &mut text);
        text
    }

    /// Trials of a closed load.
    fn trials(&self) -> u32 {
        let fitting = self.duration.as_nanos() / TRIAL_MIN.as_nanos();
        u32::try_from(fitting).unwrap_or(TRIALS).clamp(1, TRIALS)
    }

    /// Warm-up of each trial.
    fn warmup_of(&self, trials: u32) -> Duration {
        whole_ms(self.warmup / trials).max(TRIAL_WARMUP_MIN).min(self.warmup)
    }

    /// Window of an open load; `None` if it is too short to switch.
    fn window(&self, rate: f64) -> Option<Duration> {
        let share = self.duration / WINDOWS_MIN;
        let filled = Duration::try_from_secs_f64(WINDOW_REQUESTS / rate).unwrap_or(Duration::MAX);
        let window = whole_ms(filled.max(WINDOW_MAX.min(share)).min(share.max(self.duration / 2)));
        (window >= WINDOW_MIN && window < self.duration).then_some(window)
    }

    /// Keys of each client with this many transports under load at once.
    fn keys(&self, at_once: usize) -> u32 {
        let clients = u64::from(self.clients) * at_once as u64;
        let bytes = u64::from(self.value_size) + ENTRY_BYTES;
        let fitting = (USER_BYTES_MAX / bytes).min(TOTAL_BYTES_MAX / clients / bytes);
        u32::try_from(fitting).unwrap_or(KEYS_MAX).clamp(1, KEYS_MAX)
    }

    fn group(&self, role: Role, count: u32, keys: u32, text: &mut String) {
        if count == 0 {
            return;
        }
        let mix = match role {
            // Guests that ask for others' keys are denied; some do, so that isolation is seen to hold.
            Role::Guest => "{ put = 30, get = 60, get-missing = 5, get-other = 5 }",
            Role::Manager => "{ put = 10, get = 10, get-other = 80 }",
        };
        let _ = write!(
            text,
            "
[[clients]]
name = \"{name}s\"
role = \"{name}\"
count = {count}
mix = {mix}
keys = {{ count = {keys} }}
values = {{ size = {size} }}
",
            name = role.name(),
            size = self.value_size,
        );
    }

    /// Rounded to the nearest; a share that is not 0 has one manager at least, and leaves a guest at least unless
    /// it is 100.
    fn manager_count(&self) -> u32 {
        let exact = u64::from(self.clients) * u64::from(self.managers);
        let nearest = u32::try_from((exact + 50) / 100).unwrap_or(self.clients);
        match self.managers {
            0 => 0,
            100 => self.clients,
            _ if self.clients == 1 => nearest,
            _ => nearest.clamp(1, self.clients - 1),
        }
    }

    fn about(&self, managers: u32) -> String {
        let clients = text::plural(self.clients.into(), "client");
        let pace = match self.rate {
            Some(rate) => format!("{rate} requests/s"),
            None => "no pauses".to_owned(),
        };
        format!("{clients}, {managers} of them managers, values of {} bytes, {pace}", self.value_size)
    }
}

/// Cut to whole milliseconds for people, unless it is shorter than one.
fn whole_ms(duration: Duration) -> Duration {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 { duration } else { Duration::from_millis(ms) }
}

/// A duration as a scenario has it, in the largest unit that it is whole in.
fn written(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let whole = units.into_iter().find(|(_, length)| ns.is_multiple_of(*length));
    whole.map_or_else(|| format!("{ns}ns"), |(unit, length)| format!("{}{unit}", ns / length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quick(arguments: &[&str]) -> Result<Quick, String> {
        let words = std::iter::once("quick").chain(arguments.iter().copied());
        Quick::try_parse_from(words).map_err(|error| error.to_string())
    }

    fn text(arguments: &[&str]) -> String {
        let quick = quick(arguments).unwrap();
        let plan = quick.options.target.plan().unwrap();
        quick.document(&plan).unwrap().text().to_owned()
    }

    #[test]
    fn without_flags_both_transports_are_saturated_by_guests_and_managers() {
        insta::assert_snapshot!(text(&[]), @r#"
        # Written by `twinwire quick`; `twinwire run` runs it again.

        name = "quick"
        about = "50 clients, 5 of them managers, values of 64 bytes, no pauses"
        seed = 1
        transports = ["tcp", "websocket"]
        timeout = "5s"

        [[load]]
        name = "quick"
        model = "closed"
        think = "0ms"
        warmup = "100ms"
        duration = "500ms"
        trials = 10

        [[clients]]
        name = "guests"
        role = "guest"
        count = 45
        mix = { put = 30, get = 60, get-missing = 5, get-other = 5 }
        keys = { count = 100 }
        values = { size = 64 }

        [[clients]]
        name = "managers"
        role = "manager"
        count = 5
        mix = { put = 10, get = 10, get-other = 80 }
        keys = { count = 100 }
        values = { size = 64 }
        "#);
    }

    #[test]
    fn flags_end_up_in_the_scenario() {
        let arguments =
            "-c 3 -d 1500ms -R 250.5 --managers 100 --value-size 16 --seed 9 --warmup 0s --transport tcp-raw";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        insta::assert_snapshot!(text(&arguments), @r#"
        # Written by `twinwire quick`; `twinwire run` runs it again.

        name = "quick"
        about = "3 clients, 3 of them managers, values of 16 bytes, 250.5 requests/s"
        seed = 9
        transports = ["tcp-raw"]
        timeout = "5s"

        [[load]]
        name = "quick"
        model = "open"
        rate = 250.5
        arrivals = "poisson"
        warmup = "0s"
        duration = "1500ms"

        [[clients]]
        name = "managers"
        role = "manager"
        count = 3
        mix = { put = 10, get = 10, get-other = 80 }
        keys = { count = 100 }
        values = { size = 16 }
        "#);
    }

    #[test]
    fn transports_take_turns_in_windows_or_trials_and_one_alone_has_none() {
        let load = |arguments: &str| {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            let text = text(&arguments);
            let load = text.split("[[clients]]").next().unwrap();
            let wanted = ["duration", "warmup", "trials", "interleave"];
            let lines = load.lines().filter(|line| wanted.iter().any(|key| line.starts_with(key)));
            lines.map(|line| line.split('#').next().unwrap().trim_end()).collect::<Vec<_>>().join(" · ")
        };
        assert_eq!(load("-d 5s"), r#"warmup = "100ms" · duration = "500ms" · trials = 10"#);
        assert_eq!(load("-d 1m --warmup 5s"), r#"warmup = "500ms" · duration = "6s" · trials = 10"#);
        assert_eq!(
            load("-d 1s --warmup 0s"),
            r#"warmup = "0ns" · duration = "200ms" · trials = 5"#.replace("0ns", "0s")
        );
        assert_eq!(load("-d 300ms"), r#"warmup = "500ms" · duration = "300ms""#);
        assert_eq!(load("-d 5s --transport tcp"), r#"warmup = "500ms" · duration = "5s""#);
        assert_eq!(load("-d 5s -R 2000"), r#"warmup = "500ms" · duration = "5s" · interleave = "500ms""#);
        assert_eq!(load("-d 1s -R 2000"), r#"warmup = "500ms" · duration = "1s" · interleave = "100ms""#);
        assert_eq!(load("-d 60s -R 10"), r#"warmup = "500ms" · duration = "60s" · interleave = "5s""#);
        assert_eq!(load("-d 5s -R 1"), r#"warmup = "500ms" · duration = "5s" · interleave = "2500ms""#);
        assert_eq!(load("-d 50ms -R 2000"), r#"warmup = "500ms" · duration = "50ms" · interleave = "25ms""#);
        assert_eq!(load("-d 5s -R 2000 --transport tcp"), r#"warmup = "500ms" · duration = "5s""#);
    }

    #[test]
    fn the_targets_transports_are_compared_unless_others_are_asked_for() {
        let line = |arguments: &[&str]| {
            let text = text(arguments);
            text.lines().find(|line| line.starts_with("transports")).unwrap().to_owned()
        };
        let external = ["--ws", "ws://127.0.0.1:1", "--tcp-raw", "127.0.0.1:2"];
        assert_eq!(line(&external), r#"transports = ["tcp-raw", "websocket"]"#);
        assert_eq!(line(&["--launch", "x {tcp}"]), r#"transports = ["tcp"]"#);
        let asked = ["--transport", "websocket", "--transport", "tcp", "--transport", "tcp"];
        assert_eq!(line(&asked), r#"transports = ["tcp", "websocket"]"#);
    }

    #[test]
    fn an_error_names_the_flag() {
        for (arguments, parts) in [
            (["-c", "0"], ["--clients", "1..=250000"]),
            (["-c", "many"], ["--clients", "invalid"]),
            (["-d", "5"], ["--duration", "500ms"]),
            (["-d", "0s"], ["--duration", "at least 1ms"]),
            (["-R", "0"], ["--rate", "over 0"]),
            (["-R", "NaN"], ["--rate", "over 0"]),
            (["-R", "x"], ["--rate", "requests a second"]),
            (["--managers", "101"], ["--managers", "0..=100"]),
            (["--value-size", "15"], ["--value-size", "16..=16777195"]),
            (["--seed", "-1"], ["--seed", "-1"]),
            (["--transport", "http"], ["--transport", "tcp-raw"]),
        ] {
            let error = quick(&arguments).map(|_| ()).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        }
        let large = quick(&["--value-size", "1004", "--transport", "tcp-raw"]).unwrap();
        let error = large.document(&Plan::Embedded).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("--value-size 1004 is too large for tcp-raw"), "{error}");
    }

    #[test]
    fn clients_of_large_values_have_fewer_keys() {
        let keys = |arguments: &[&str]| {
            let text = text(arguments);
            text.lines().filter(|line| line.starts_with("keys")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(keys(&["--value-size", "65515", "-R", "100"]), ["keys = { count = 100 }"; 2]);
        assert_eq!(keys(&["--value-size", "1000000", "-c", "8"]), ["keys = { count = 50 }"; 2]);
        assert_eq!(keys(&["--value-size", "1000000", "-c", "80"]), ["keys = { count = 10 }"; 2]);
        assert_eq!(keys(&["--value-size", "1000000", "-c", "80", "-R", "10"]), ["keys = { count = 5 }"; 2]);
        assert_eq!(keys(&["--value-size", "16777195", "-c", "4000"]), ["keys = { count = 1 }"; 2]);
    }

    #[test]
    fn any_share_of_managers_that_is_not_all_or_nothing_has_both_roles() {
        let count = |clients: &str, managers: &str| {
            quick(&["-c", clients, "--managers", managers]).unwrap().manager_count()
        };
        assert_eq!(count("50", "10"), 5);
        assert_eq!((count("10", "0"), count("10", "100")), (0, 10));
        assert_eq!((count("10", "1"), count("10", "99"), count("2", "99")), (1, 9, 1));
        assert_eq!((count("1", "49"), count("1", "50")), (0, 1));
        assert_eq!(count("250000", "33"), 82_500);
    }

    proptest! {
        #[test]
        fn whatever_the_flags_take_makes_a_scenario(
            clients in prop_oneof![1_u32..4, Just(CLIENTS_MAX)],
            ms in 1_u64..100_000,
            rate in proptest::option::of(prop_oneof![Just(RATE_MAX), 1e-9_f64..1e6]),
            managers in 0_u32..=100,
            size in prop_oneof![TAG_BYTES..=RAW_VALUE_MAX, Just(VALUE_MAX)],
            seed in 0..=i64::MAX,
        ) {
            let mut flags = vec![format!("-c{clients}"), format!("-d{ms}ms"), format!("--seed={seed}")];
            flags.extend(rate.map(|rate| format!("-R{rate}")));
            flags.extend([format!("--managers={managers}"), format!("--value-size={size}")]);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let quick = quick(&flags).unwrap();
            let document = quick.document(&Plan::Embedded).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(document.scenario().clients(), clients);
            let load = &document.scenario().loads[0];
            let (asked, all) = (Duration::from_millis(ms), load.duration() * load.trials);
            prop_assert!(all <= asked && asked < all + Duration::from_millis(10), "{:?} of {:?}", all, asked);
            prop_assert!(load.warmup * load.trials <= Duration::from_secs(1));
        }
    }
}
