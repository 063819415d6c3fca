//! Aligned columns.

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Right,
}

/// A cell: its text, and the same as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    shown: String,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Cell {
        let text = text.into();
        Cell { shown: text.clone(), text }
    }

    /// A cell whose codes for colour take no room.
    pub(super) fn painted(text: impl Into<String>, shown: String) -> Cell {
        Cell { text: text.into(), shown }
    }
}

/// How far what goes under its row is indented.
const INDENT: &str = "    ";

/// Lines of `rows` in columns that are as wide as they must be. What stands in the last
/// column and would go past `width` goes under its row, broken between words.
pub(super) fn render(aligns: &[Align], rows: &[Vec<Cell>], width: Option<usize>) -> String {
    const GAP: &str = "  ";
    let columns = aligns.len();
    let widest =
        |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut under = String::new();
        let mut used = 0;
        for (column, (cell, align)) in row.iter().zip(aligns).enumerate() {
            let is_last = column + 1 == columns;
            let length = cell.text.chars().count();
            let padding = " ".repeat(widths[column] - length);
            let room = width.map(|width| width.saturating_sub(used));
            match (is_last, room) {
                (true, Some(room)) if room < length => {
                    under = wrapped(&cell.text, width.unwrap_or(usize::MAX));
                }
                (true, _) => line.push_str(&cell.shown),
                (false, _) => {
                    match align {
                        Align::Left => line.extend([&*cell.shown, &padding]),
                        Align::Right => line.extend([&*padding, &cell.shown]),
                    }
                    line.push_str(GAP);
                    used += widths[column] + GAP.len();
                }
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
        out.push_str(&under);
    }
    out
}

/// Indented lines of whole words within `width`; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = INDENT.to_owned();
    for word in text.split_whitespace() {
        let is_first = line.len() == INDENT.len();
        if !is_first && line.chars().count() + 1 + word.chars().count() > width {
            out.extend([&*line, "\n"]);
            INDENT.clone_into(&mut line);
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.extend([&*line, "\n"]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_does_not_fit_into_the_last_one_goes_under_its_row() {
        let row = |cells: [&str; 3]| cells.map(Cell::plain).to_vec();
        let rows =
            [row(["NAME", "N", "WHY"]), row(["web", "12", "é is one column"]), row(["x", "1", ""])];
        let aligns = [Align::Left, Align::Right, Align::Left];
        assert_eq!(
            render(&aligns, &rows, None),
            "NAME   N  WHY\nweb   12  é is one column\nx      1\n"
        );
        assert_eq!(
            render(&aligns, &rows, Some(16)),
            "NAME   N  WHY\nweb   12\n    é is one\n    column\nx      1\n"
        );
    }
}
