//! The table's rows.

use twinwire_floor::{
    estimate::{Bar, Estimate},
    table::{figure, interval},
};

/// One figure.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    /// The figure as text, or why there is none.
    text: String,
    interval: String,
    bar: Option<Bar>,
    met: Option<bool>,
    steal: Option<f64>,
}

impl Row {
    /// One that does not vary.
    pub fn figure(what: String, value: f64, decimals: usize, bar: Option<Bar>) -> Self {
        let met = bar.map(|bar| bar.holds(value));
        Self { what, text: figure(Some(value), decimals), interval: "–".to_owned(), bar, met, steal: None }
    }

    /// One of several rounds; its bar must hold at the worse end of the interval.
    pub fn estimate(what: String, estimate: Option<Estimate>, decimals: usize, bar: Option<Bar>) -> Self {
        Self {
            what,
            text: figure(estimate.map(|estimate| estimate.median), decimals),
            interval: interval(estimate, decimals),
            bar,
            met: bar.map(|bar| estimate.and_then(|estimate| estimate.meets(bar)).unwrap_or(false)),
            steal: None,
        }
    }

    /// One that cannot be taken here.
    pub fn left_out(what: String, why: String) -> Self {
        Self { what, text: why, interval: String::new(), bar: None, met: None, steal: None }
    }

    /// With what the host gave to others meanwhile.
    pub fn stolen(self, steal: Option<f64>) -> Self {
        Self { steal, ..self }
    }

    /// Whether its bar is not met.
    pub fn is_missed(&self) -> bool {
        self.met == Some(false)
    }

    /// The table's head.
    pub fn head() -> String {
        format!("{:56} {:>8} {:>17} {:>10} {:>7}", "figure", "median", "95 % interval", "bar", "stolen")
    }

    /// Its line.
    pub fn line(&self) -> String {
        let bar = self.bar.map_or("–".to_owned(), |bar| match bar {
            Bar::AtMost(bar) => format!("≤ {bar}"),
            bar @ (Bar::AtLeast(_) | Bar::Within(_)) => bar.to_string().trim_end_matches(".00").to_owned(),
        });
        let steal = self.steal.map_or("–".to_owned(), |steal| format!("{:.0} %", steal * 100.0));
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let Self { what, text, interval, .. } = self;
        format!("{what:56} {text:>8} {interval:>17} {bar:>10} {steal:>7}  {verdict}").trim_end().to_owned()
    }
}
