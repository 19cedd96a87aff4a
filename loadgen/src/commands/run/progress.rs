//! Progress on stderr: a bar on a terminal that can redraw, a line now and then elsewhere. Warnings are shown in every
//! way, the quiet one included. It never touches stdout.

use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::events::{Event, PassLabel, RateMeter, Tick};

/// Without a terminal, a running load reports this often: seldom enough for a log of a long run.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Steps of the bar.
const STEPS: u64 = 1000;

/// Shows progress in the way that suits stderr.
pub enum Progress {
    /// A bar that redraws itself.
    Bar(ProgressBar, ShownPass),
    /// Plain lines.
    Lines {
        /// What they are about.
        shown: ShownPass,
        /// When the last one was written.
        told: Instant,
    },
    /// Nothing but warnings.
    Quiet,
}

/// What has been shown so far.
#[derive(Debug, Default)]
pub struct ShownPass {
    /// The pass that runs.
    label: Option<PassLabel>,
    /// Its figures, when last shown.
    seen: RateMeter,
}

impl ShownPass {
    fn begin(&mut self, label: PassLabel) {
        *self = Self { label: Some(label), seen: RateMeter::default() };
    }
}

impl Progress {
    /// The way that suits stderr; only warnings if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        // A bar that is hidden shows no line printed above it either: no terminal, or one that cannot redraw.
        if bar.is_hidden() {
            return Self::Lines { shown: ShownPass::default(), told: Instant::now() };
        }
        let style = ProgressStyle::with_template("{prefix}  {bar:24.cyan/dim}  {msg}")
            .expect("the template is a constant that a test draws")
            .progress_chars("━╸─");
        bar.set_style(style);
        Self::Bar(bar, ShownPass::default())
    }

    /// Takes the next event.
    pub fn tell(&mut self, event: Event) {
        match self {
            Self::Quiet => {
                if let Event::Warning(text) = event {
                    let _ = writeln!(std::io::stderr(), "{}", warning(&text));
                }
            }
            Self::Bar(bar, shown) => tell_bar(bar, shown, event),
            Self::Lines { shown, told } => {
                if let Some(line) = line(shown, told, event) {
                    // A closed stderr is no reason to stop.
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
    }

    /// Removes the bar, so that what follows starts on a clean line.
    pub fn finish(&self) {
        if let Self::Bar(bar, _) = self {
            bar.finish_and_clear();
        }
    }
}

fn tell_bar(bar: &ProgressBar, shown: &mut ShownPass, event: Event) {
    match event {
        Event::PassStarted(started) => {
            bar.set_position(0);
            bar.set_prefix(headline(&started));
            bar.set_message("setting up");
            shown.begin(started);
        }
        Event::SettingUp { ready, clients } => {
            bar.set_message(format!("setting up {ready}/{clients} clients"));
        }
        Event::Running(tick) => {
            if let Some(label) = &shown.label {
                let share = tick.elapsed.as_secs_f64() / label.length.as_secs_f64().max(f64::MIN_POSITIVE);
                bar.set_position((share * STEPS as f64) as u64);
            }
            bar.set_message(figures(&tick, shown.seen.update(&tick)));
        }
        Event::PassEnded => bar.set_position(STEPS),
        Event::Warning(text) => bar.println(warning(&text)),
    }
}

/// The line for an event, if it has one.
fn line(shown: &mut ShownPass, told: &mut Instant, event: Event) -> Option<String> {
    match event {
        Event::PassStarted(started) => {
            let line = headline(&started);
            shown.begin(started);
            *told = Instant::now();
            Some(line)
        }
        Event::Running(tick) if told.elapsed() >= LINE_EVERY => {
            *told = Instant::now();
            Some(format!(
                "{}: {:.0} s, {}",
                headline(shown.label.as_ref()?),
                tick.elapsed.as_secs_f64(),
                figures(&tick, shown.seen.update(&tick))
            ))
        }
        Event::Running(_) | Event::SettingUp { .. } | Event::PassEnded => None,
        Event::Warning(text) => Some(warning(&text)),
    }
}

fn warning(text: &str) -> String {
    format!("warning: {text}")
}

fn headline(label: &PassLabel) -> String {
    let PassLabel { load, variant, trial, trials, transports, pass, passes, .. } = label;
    let transports: Vec<&str> = transports.iter().map(|transport| transport.name()).collect();
    let variant = if variant.is_empty() { String::new() } else { format!(" {variant}") };
    format!("[{pass}/{passes}] {load}{variant} {} trial {trial}/{trials}", transports.join("+"))
}

fn figures(tick: &Tick, rate: f64) -> String {
    let p99 = match tick.p99_ns {
        None => "–".to_owned(),
        Some(ns) if ns < 1_000_000 => format!("{} µs", ns / 1000),
        Some(ns) => format!("{:.1} ms", ns as f64 / 1e6),
    };
    let errors = if tick.errors > 0 { format!(", {} errors", tick.errors) } else { String::new() };
    let backlog = if tick.backlog > 0 { format!(", {} waiting", tick.backlog) } else { String::new() };
    format!("{rate:.0} req/s, p99 {p99}, {} violations{errors}{backlog}", tick.violations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Transport;

    fn label() -> PassLabel {
        PassLabel {
            load: "steady".to_owned(),
            variant: "manager-share=50".to_owned(),
            trial: 2,
            trials: 3,
            transports: vec![Transport::WebSocket],
            pass: 4,
            passes: 6,
            length: Duration::from_secs(5),
        }
    }

    #[test]
    fn a_bar_shows_load_trial_transport_rate_p99_and_violations() {
        let terminal = indicatif::InMemoryTerm::new(4, 120);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let Progress::Quiet = Progress::new(true) else { panic!("quiet is quiet") };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        bar.set_style(ProgressStyle::with_template("{prefix}  {bar:24}  {msg}").unwrap());
        let mut shown = ShownPass::default();
        tell_bar(&bar, &mut shown, Event::PassStarted(label()));
        let tick = Tick {
            elapsed: Duration::from_millis(2500),
            replies: 95_308,
            p99_ns: Some(1_234_000),
            backlog: 0,
            errors: 0,
            violations: 1,
        };
        tell_bar(&bar, &mut shown, Event::Running(tick));
        bar.tick();
        let seen = terminal.contents();
        assert!(seen.contains("[4/6] steady manager-share=50 websocket trial 2/3"), "{seen}");
        assert!(seen.contains("38123 req/s, p99 1.2 ms, 1 violations"), "{seen}");
    }

    #[test]
    fn without_a_terminal_each_pass_is_a_line() {
        let (mut shown, mut told) = (ShownPass::default(), Instant::now());
        let started = line(&mut shown, &mut told, Event::PassStarted(label()));
        assert_eq!(started.as_deref(), Some("[4/6] steady manager-share=50 websocket trial 2/3"));
        assert_eq!(line(&mut shown, &mut told, Event::SettingUp { ready: 1, clients: 2 }), None);
        let warning = line(&mut shown, &mut told, Event::Warning("x".to_owned()));
        assert_eq!(warning.as_deref(), Some("warning: x"));
    }

    #[test]
    fn a_line_tells_the_rate_since_the_line_before() {
        let mut shown = ShownPass { label: Some(label()), ..ShownPass::default() };
        let mut at = |elapsed_ms, replies| {
            let tick = Tick {
                elapsed: Duration::from_millis(elapsed_ms),
                replies,
                p99_ns: None,
                backlog: 0,
                errors: 0,
                violations: 0,
            };
            let mut told = Instant::now().checked_sub(LINE_EVERY).unwrap();
            line(&mut shown, &mut told, Event::Running(tick)).unwrap()
        };
        assert!(at(4000, 2000).contains(": 4 s, 500 req/s"));
        assert!(at(8000, 10_000).contains(": 8 s, 2000 req/s"));
        assert!(at(8000, 10_000).contains(": 8 s, 0 req/s"), "no load time has passed");
    }
}
