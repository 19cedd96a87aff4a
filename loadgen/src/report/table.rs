//! A table as data: its columns and cells. Text for a terminal and Markdown are made from the same description.

use super::figure::{self, MARKS, MISSING};
use crate::text::{self, Paint};

/// A table: columns that name the rows, then groups of columns with figures.
pub(super) struct Table {
    /// Headers of the columns that name the rows.
    pub(super) lead: Vec<String>,
    /// The groups of the other columns.
    pub(super) groups: Vec<ColumnGroup>,
    /// Cells of each row, in the order of all columns.
    pub(super) rows: Vec<Vec<TableCell>>,
}

/// Columns under a common title.
pub(super) struct ColumnGroup {
    /// Shown above the columns; may be empty.
    pub(super) title: String,
    /// Of the columns that are [`ColumnHeader::OfGroup`]; empty if they have none, or several.
    pub(super) unit: &'static str,
    pub(super) columns: Vec<ColumnHeader>,
}

/// What a column is called.
pub(super) enum ColumnHeader {
    /// Makes sense only with the group's title.
    OfGroup(String),
    /// Needs no title.
    Alone(String),
}

/// The content of one place in a table, not escaped yet.
#[derive(Clone)]
pub(super) enum TableCell {
    /// A figure or a name.
    Plain(String),
    /// The name of a row that sums others up, or a word that must not be overlooked.
    Strong(String),
    /// The name of a row that is there to compare with.
    Faint(String),
    /// What a target or a client said.
    Quoted(String),
    /// A link to a file of the report.
    Link { label: String, file: String },
}

/// A sign in a cell that needs a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The load is not valid.
    NotValid,
    /// A quantile is missing.
    TooFew,
    /// A figure is a lower bound.
    LowerBound,
    /// A ratio between transports.
    Ratio,
    /// A figure is within the harness's own floor.
    Floor,
}

/// Columns of an ordinary terminal window, and of a CI log.
pub const WIDTH: usize = 100;

/// The columns' gaps in a terminal.
const BETWEEN_COLUMNS: usize = 2;
const BETWEEN_GROUPS: usize = 3;

impl From<String> for TableCell {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&str> for TableCell {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl TableCell {
    /// An empty cell.
    pub(super) fn empty() -> Self {
        Self::Plain(String::new())
    }

    fn raw(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Strong(text) | Self::Faint(text) | Self::Quoted(text) => text,
            Self::Link { file, .. } => file,
        }
    }

    fn printable(&self) -> String {
        match self {
            Self::Quoted(text) => text::excerpt(text),
            other => text::printable(other.raw()),
        }
    }

    fn markdown(&self) -> String {
        match self {
            Self::Plain(text) => text::markdown(text),
            Self::Strong(text) => format!("**{}**", text::markdown(text)),
            Self::Faint(text) => format!("*{}*", text::markdown(text)),
            Self::Quoted(text) => text::markdown_code(text),
            Self::Link { label, file } => format!("[{label}]({file})"),
        }
    }
}

impl Sign {
    /// What it means, without a full stop.
    pub(super) fn legend(self) -> String {
        match self {
            Self::NotValid => figure::NOT_VALID_LEGEND.to_owned(),
            Self::TooFew => format!("{MISSING} too few samples: at least ten must lie beyond a quantile"),
            Self::LowerBound => {
                "≥ a lower bound: requests that were unanswered at the end lie in it or beyond".to_owned()
            }
            Self::Ratio => figure::ratio_legend(),
            Self::Floor => figure::floor_legend(),
        }
    }

    fn is_in(self, cell: &str) -> bool {
        let marks = || cell.chars().rev().take_while(|c| MARKS.contains(c));
        match self {
            Self::NotValid => marks().any(|c| c == figure::NOT_VALID),
            Self::TooFew => cell == MISSING,
            Self::LowerBound => cell.starts_with('≥'),
            Self::Ratio => false,
            Self::Floor => marks().any(|c| c == figure::FLOOR),
        }
    }
}

impl Table {
    /// A table without groups.
    pub(super) fn new(lead: &[&str], others: &[&str], rows: Vec<Vec<TableCell>>) -> Self {
        let columns = others.iter().map(|&header| ColumnHeader::Alone(header.to_owned())).collect();
        Self {
            lead: lead.iter().map(|&header| header.to_owned()).collect(),
            groups: vec![ColumnGroup { title: String::new(), unit: "", columns }],
            rows,
        }
    }

    /// Whether the sign needs a legend below the table.
    pub(super) fn has(&self, sign: Sign) -> bool {
        let mut headers = self.groups.iter().flat_map(|group| &group.columns);
        let is_ratio =
            |header: &ColumnHeader| matches!(header, ColumnHeader::Alone(text) if text == figure::RATIO);
        let mut cells = self.rows.iter().flatten();
        (sign == Sign::Ratio && headers.any(is_ratio)) || cells.any(|cell| sign.is_in(cell.raw()))
    }

    /// Lines of text: groups that do not fit next to each other into [`WIDTH`] go below each other.
    pub(super) fn text(&self, paint: Paint) -> Vec<String> {
        let cells = self.printable_cells();
        let headers = |group: &ColumnGroup| -> Vec<String> {
            group.columns.iter().map(|h| h.text().to_owned()).collect()
        };
        let column_width = |header: &str, column: usize| {
            let cells = cells.iter().map(|row| text::width(&row[column]));
            cells.max().unwrap_or(0).max(text::width(header))
        };
        let leads: Vec<usize> =
            self.lead.iter().enumerate().map(|(i, h)| column_width(h, i) + BETWEEN_COLUMNS).collect();
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut used = usize::MAX;
        let mut column = self.lead.len();
        for group in self.groups.iter().filter(|group| !group.columns.is_empty()) {
            let headers = headers(group);
            let widths: Vec<usize> =
                headers.iter().enumerate().map(|(i, header)| column_width(header, column + i)).collect();
            let columns = widths.iter().sum::<usize>() + BETWEEN_COLUMNS * widths.len().saturating_sub(1);
            let placed = Placed { title: group.caption(), headers, widths, first: column, columns };
            column += group.columns.len();
            let needed = placed.width() + BETWEEN_GROUPS;
            if used.saturating_add(needed) > WIDTH + BETWEEN_COLUMNS {
                blocks.push(Block { groups: Vec::new(), leads: &leads });
                used = leads.iter().sum();
            }
            used += needed;
            blocks.last_mut().expect("the first group has begun a block").groups.push(placed);
        }
        let mut lines = Vec::new();
        for (i, block) in blocks.iter().enumerate() {
            lines.extend((i > 0).then(String::new));
            lines.push(paint.dim(&block.line(&[], |group| vec![text::right(&group.title, group.width())])));
            lines.push(paint.dim(&block.line(&self.lead, |group| group.aligned(&group.headers))));
            for (row, cells) in self.rows.iter().zip(&cells) {
                let figures = |group: &Placed| group.aligned(&cells[group.first..]);
                let line = block.line(&cells[..self.lead.len()], figures);
                lines.push(match row.first() {
                    Some(TableCell::Strong(_)) => paint.bold(&line),
                    Some(TableCell::Faint(_)) => paint.dim(&line),
                    _ => line,
                });
            }
        }
        lines
    }

    /// What each cell shows in a terminal: names are not repeated below each other, and the digits of marked figures
    /// stay below those of others.
    fn printable_cells(&self) -> Vec<Vec<String>> {
        let mut cells: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(TableCell::printable).collect()).collect();
        let lead = self.lead.len();
        if lead > 1 {
            for i in (1..cells.len()).rev() {
                if cells[i][0] == cells[i - 1][0] {
                    cells[i][0].clear();
                }
            }
        }
        let marks = |cell: &str| cell.chars().rev().take_while(|c| MARKS.contains(c)).count();
        for column in lead..cells.first().map_or(0, Vec::len) {
            let most = cells.iter().map(|row| marks(&row[column])).max().unwrap_or(0);
            for row in &mut cells {
                let lacking = most - marks(&row[column]);
                row[column].extend(std::iter::repeat_n(' ', lacking));
            }
        }
        cells
    }

    /// A Markdown table, padded so that it can be read as text too.
    pub(super) fn markdown(&self) -> String {
        let mut headers = self.lead.clone();
        headers.extend(self.groups.iter().flat_map(|group| group.columns.iter().map(|h| h.in_full(group))));
        let headers: Vec<String> = headers.iter().map(|header| text::markdown(header)).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(TableCell::markdown).collect()).collect();
        let width = |(i, header): (usize, &String)| {
            // Three for the shortest rule, `--:`.
            rows.iter().map(|row| text::width(&row[i])).max().unwrap_or(0).max(text::width(header)).max(3)
        };
        let widths: Vec<usize> = headers.iter().enumerate().map(width).collect();
        let is_lead = |i: usize| i < self.lead.len();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
                if is_lead(i) { text::left(cell, *width) } else { text::right(cell, *width) }
            });
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = |(i, width): (usize, &usize)| {
            if is_lead(i) { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) }
        };
        let rule: Vec<String> = widths.iter().enumerate().map(rule).collect();
        line(&headers) + &line(&rule) + &rows.iter().map(|row| line(row)).collect::<String>()
    }

    /// The same with the legends of the signs that occur below it.
    pub(super) fn markdown_with(&self, signs: &[Sign]) -> String {
        let legends = signs.iter().filter(|sign| self.has(**sign));
        legends.fold(self.markdown(), |table, sign| {
            format!("{table}\n{}.\n", text::markdown(&text::capital(&sign.legend())))
        })
    }
}

impl ColumnGroup {
    /// The title with the unit.
    fn caption(&self) -> String {
        if self.unit.is_empty() { self.title.clone() } else { format!("{}, {}", self.title, self.unit) }
    }
}

impl ColumnHeader {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::OfGroup(text) | Self::Alone(text) => text,
        }
    }

    /// What it says without the group's title above it.
    fn in_full(&self, group: &ColumnGroup) -> String {
        match self {
            Self::Alone(text) => text.clone(),
            Self::OfGroup(text) if group.unit.is_empty() => format!("{}, {text}", group.title),
            Self::OfGroup(text) => format!("{} {text}, {}", group.title, group.unit),
        }
    }
}

/// Groups next to each other, after the columns that name the rows.
struct Block<'a> {
    groups: Vec<Placed>,
    leads: &'a [usize],
}

/// A group whose columns have their widths.
struct Placed {
    title: String,
    headers: Vec<String>,
    widths: Vec<usize>,
    /// The place of its first column in a row.
    first: usize,
    /// Width of the columns without the title.
    columns: usize,
}

impl Placed {
    /// A title wider than its columns pushes them to the right.
    fn width(&self) -> usize {
        self.columns.max(text::width(&self.title))
    }

    fn aligned(&self, cells: &[String]) -> Vec<String> {
        let spare = self.width() - self.columns;
        let place = |(i, (cell, width)): (usize, (&String, &usize))| {
            text::right(cell, width + if i == 0 { spare } else { BETWEEN_COLUMNS })
        };
        cells.iter().zip(&self.widths).enumerate().map(place).collect()
    }
}

impl Block<'_> {
    fn line(&self, lead: &[String], part: impl Fn(&Placed) -> Vec<String>) -> String {
        let names = self.leads.iter().enumerate();
        let names = names.map(|(i, width)| text::left(lead.get(i).map_or("", String::as_str), *width));
        let groups = self.groups.iter().map(|group| part(group).concat());
        let line = names.collect::<String>() + &groups.collect::<Vec<_>>().join(&" ".repeat(BETWEEN_GROUPS));
        line.trim_end().to_owned()
    }
}
