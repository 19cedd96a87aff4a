//! Text tables: columns aligned by characters, without boxes, in a given width.

use crate::text;
/// A group of right-aligned columns under a title of their own.
pub(super) struct Group {
    /// Stands above the columns.
    pub(super) title: String,
    /// Headers with their cells.
    pub(super) columns: Vec<(String, Vec<String>)>,
}

/// A table: left-aligned columns that name the rows, then groups.
pub(super) struct Grid {
    /// Headers with their cells; a cell equal to the one above is left empty by the caller.
    pub(super) lead: Vec<(String, Vec<String>)>,
    /// The groups.
    pub(super) groups: Vec<Group>,
}

const BETWEEN_COLUMNS: usize = 2;
const BETWEEN_GROUPS: usize = 3;

impl Grid {
    /// The table's blocks of lines: groups that do not fit beside each other into `width` go below each other. Each
    /// block is a line of titles, a line of headers, and a line for each row.
    pub(super) fn blocks(&self, width: usize) -> Vec<Vec<String>> {
        let lead_width: usize =
            self.lead.iter().map(|column| column_width(column) + BETWEEN_COLUMNS).sum::<usize>();
        let mut blocks = Vec::new();
        let mut taken: Vec<&Group> = Vec::new();
        let mut used = lead_width;
        for group in &self.groups {
            let needed = group_width(group) + BETWEEN_GROUPS;
            if !taken.is_empty() && used + needed > width + BETWEEN_COLUMNS {
                blocks.push(self.block(&taken));
                taken.clear();
                used = lead_width;
            }
            taken.push(group);
            used += needed;
        }
        if !taken.is_empty() {
            blocks.push(self.block(&taken));
        }
        blocks
    }

    fn block(&self, groups: &[&Group]) -> Vec<String> {
        let rows = self.lead.first().map_or(0, |(_, cells)| cells.len());
        let mut lines = vec![self.line(groups, Part::Titles), self.line(groups, Part::Headers)];
        lines.extend((0..rows).map(|row| self.line(groups, Part::Row(row))));
        lines
    }

    fn line(&self, groups: &[&Group], part: Part) -> String {
        let mut line = String::new();
        for column in &self.lead {
            line += &text::left(part.of(column), column_width(column) + BETWEEN_COLUMNS);
        }
        for (i, group) in groups.iter().enumerate() {
            line += &" ".repeat(if i == 0 { 0 } else { BETWEEN_GROUPS });
            let width = group_width(group);
            if let Part::Titles = part {
                line += &text::right(&group.title, width);
                continue;
            }
            // A title wider than its columns pushes them to the right.
            let spare = width - columns_width(group);
            line += &" ".repeat(spare);
            for (j, column) in group.columns.iter().enumerate() {
                let gap = if j == 0 { 0 } else { BETWEEN_COLUMNS };
                line += &text::right(part.of(column), column_width(column) + gap);
            }
        }
        line.trim_end().to_owned()
    }
}

#[derive(Clone, Copy)]
enum Part {
    Titles,
    Headers,
    Row(usize),
}

impl Part {
    fn of(self, (header, cells): &(String, Vec<String>)) -> &str {
        match self {
            Self::Titles => "",
            Self::Headers => header,
            Self::Row(row) => cells.get(row).map_or("", String::as_str),
        }
    }
}

fn column_width((header, cells): &(String, Vec<String>)) -> usize {
    cells.iter().map(|cell| text::width(cell)).max().unwrap_or(0).max(text::width(header))
}

fn columns_width(group: &Group) -> usize {
    let columns: usize = group.columns.iter().map(column_width).sum();
    columns + BETWEEN_COLUMNS * group.columns.len().saturating_sub(1)
}

fn group_width(group: &Group) -> usize {
    columns_width(group).max(text::width(&group.title))
}

/// A Markdown table, padded so that it can be read as text too. The first `lead` columns are left-aligned.
pub(super) fn markdown(headers: &[String], rows: &[Vec<String>], lead: usize) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| text::width(cell)).max().unwrap_or(0);
        // Three for the shortest rule, `--:`.
        cells.max(text::width(&headers[i])).max(3)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
            if i < lead { text::left(cell, *width) } else { text::right(cell, *width) }
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(i, width)| if i < lead { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) })
        .collect();
    let mut text = line(headers) + &line(&rule);
    for row in rows {
        text += &line(row);
    }
    text
}
