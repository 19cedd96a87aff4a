//! Which of two formats a scraper gets, by its `Accept` (RFC 9110, section 12.5.1).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text format 0.0.4: every scraper understands it, and gets it unless it prefers the other.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Plain => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }

    /// The format that suits `accept` best, the values of all its lines. OpenMetrics has to be named; a client that
    /// takes neither gets the plain format, since an error would help it less.
    pub(super) fn preferred<'a>(accept: &(impl Iterator<Item = &'a str> + Clone)) -> Self {
        let quality = |format: Self| {
            let ranges = accept.clone().flat_map(|line| line.split(','));
            ranges.filter_map(|range| format.matched(range)).max_by_key(|matched| matched.0)
        };
        match (quality(Self::OpenMetrics), quality(Self::Plain)) {
            (Some((Exactness::Named, wanted)), plain)
                if wanted > 0 && wanted >= plain.map_or(0, |(_, quality)| quality) =>
            {
                Self::OpenMetrics
            }
            _ => Self::Plain,
        }
    }

    /// How exactly the media range names this format, and its quality in thousandths; `None` if it names another. Of
    /// equally exact ranges the one with the highest quality counts.
    fn matched(self, range: &str) -> Option<(Exactness, u16)> {
        let (kind, subtype, version) = self.names();
        let mut parts = range.split(';').map(str::trim);
        let (its_kind, its_subtype) = parts.next()?.split_once('/')?;
        let exactness = if its_kind.eq_ignore_ascii_case(kind) && its_subtype.eq_ignore_ascii_case(subtype) {
            Exactness::Named
        } else if its_kind.eq_ignore_ascii_case(kind) && its_subtype == "*" {
            Exactness::Kind
        } else if its_kind == "*" && its_subtype == "*" {
            Exactness::Any
        } else {
            return None;
        };
        let mut quality = 1000;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                let share = value.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))?;
                quality = (share * 1000.0).round() as u16;
            } else if name.eq_ignore_ascii_case("version") && value != version {
                return None;
            }
        }
        Some((exactness, quality))
    }
}

/// How exactly a media range names a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Any,
    Kind,
    Named,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_format_is_given_and_q_values_count() {
        use Format::{OpenMetrics, Plain};
        for (accept, expected) in [
            (&[][..], Plain),
            (&["*/*"], Plain),
            (&["text/plain;version=0.0.4"], Plain),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["Application/OpenMetrics-Text; version=\"1.0.0\""], OpenMetrics),
            (&["application/openmetrics-text;version=2.0.0"], Plain),
            (&["application/openmetrics-text;q=0"], Plain),
            (&["application/openmetrics-text;q=0.1,text/plain"], Plain),
            (&["text/plain;q=0.2", "application/openmetrics-text;version=1.0.0;q=0.3"], OpenMetrics),
            // What Prometheus itself sends.
            (
                &[
                    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                OpenMetrics,
            ),
            (&["text/html,application/*,*/*;q=0.8"], Plain),
            (&["nonsense, ;q=, application/openmetrics-text;q=7"], Plain),
        ] {
            assert_eq!(Format::preferred(&accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
