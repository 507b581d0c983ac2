//! Rows of one line each, as `ps` and `git log --oneline` have them: what cannot be shown in the width is cut, and the least
//! important columns go first. Rows can come one after the other.
//!
//! Deliberately not here: tables whose cells are sentences, which `render::table` wraps.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::render::Paint;

/// Between two columns.
const GAP: usize = 2;
/// The column that takes the rest is at least so wide, or less important columns go.
const REST: usize = 12;

/// The order of a column that is not shown.
pub(super) const LEFT_OUT: u8 = u8::MAX;

/// A column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub head: &'static str,
    /// Columns with greater numbers go first when there is no room; 0 never goes, and [`LEFT_OUT`] has gone already.
    pub order: u8,
    pub right: bool,
    /// It takes what the others leave; one column does.
    pub rest: bool,
}

impl Column {
    pub(super) const fn left(head: &'static str, order: u8) -> Self {
        Column { head, order, right: false, rest: false }
    }

    pub(super) const fn right(head: &'static str, order: u8) -> Self {
        Column { head, order, right: true, rest: false }
    }

    pub(super) const fn rest(head: &'static str) -> Self {
        Column { head, order: 0, right: false, rest: true }
    }
}

/// Text with its colour. It holds no control characters, and no escape sequences.
#[derive(Clone)]
pub(super) struct Cell {
    pub text: String,
    pub colour: fn(Paint, &str) -> String,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Cell { text: text.into(), colour: |_, text| text.to_string() }
    }

    pub(super) fn of(text: impl Into<String>, colour: fn(Paint, &str) -> String) -> Self {
        Cell { text: text.into(), colour }
    }
}

/// Columns with their widths.
pub(super) struct Columns {
    columns: Vec<Column>,
    /// 0 for a column that is left out.
    widths: Vec<usize>,
    paint: Paint,
}

impl Columns {
    /// Made for these rows; later ones are cut, or stand out a little.
    pub(super) fn of(columns: &[Column], rows: &[Vec<Cell>], width: usize, paint: Paint) -> Self {
        let content = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width()).max().unwrap_or(0);
        let shown = |(at, column): (usize, &Column)| match column.order {
            LEFT_OUT => 0,
            _ => content(at).max(column.head.width()).max(1),
        };
        let mut widths: Vec<usize> = columns.iter().enumerate().map(shown).collect();
        let rest = columns.iter().position(|column| column.rest);
        let taken = |widths: &[usize], without: Option<usize>| -> usize {
            let shown = widths.iter().enumerate().filter(|(at, width)| **width > 0 && Some(*at) != without);
            shown.map(|(_, width)| width + GAP).sum()
        };
        let wanted = rest.map_or(0, |rest| widths[rest].min(REST));
        while taken(&widths, rest) + wanted > width + GAP * usize::from(rest.is_none()) {
            let last = (0..columns.len()).filter(|at| widths[*at] > 0 && Some(*at) != rest).max_by_key(|at| columns[*at].order);
            match last.filter(|at| columns[*at].order > 0) {
                Some(last) => widths[last] = 0,
                None => break,
            }
        }
        if let Some(rest) = rest {
            let room = width.saturating_sub(taken(&widths, Some(rest))).max(1);
            // The last one may be longer in later rows: nothing is to its right.
            widths[rest] = if rest + 1 == columns.len() { room } else { room.min(widths[rest]) };
        }
        Columns { columns: columns.to_vec(), widths, paint }
    }

    /// The line above all rows.
    pub(super) fn head(&self) -> String {
        let cells: Vec<Cell> = self.columns.iter().map(|column| Cell::of(column.head, Paint::dim)).collect();
        self.line(&cells)
    }

    /// One row.
    pub(super) fn line(&self, cells: &[Cell]) -> String {
        let mut line = String::new();
        let mut open = 0;
        for ((column, width), cell) in self.columns.iter().zip(&self.widths).zip(cells) {
            if *width == 0 {
                continue;
            }
            let text = if column.rest { cut(&cell.text, *width) } else { cell.text.clone() };
            let pad = width.saturating_sub(text.width());
            // Blanks are written only before something: no line ends in them.
            let before = open + if column.right { pad } else { 0 };
            if !text.is_empty() {
                line.push_str(&" ".repeat(before));
                line.push_str(&(cell.colour)(self.paint, &text));
                open = GAP + if column.right { 0 } else { pad };
            } else {
                open += pad + GAP;
            }
        }
        line
    }
}

/// Text of at most `width` columns.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken < width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [Column::left("id", 0), Column::right("took", 1), Column::rest("input"), Column::left("version", 2)];

    fn drawn(width: usize) -> String {
        let row =
            |id: &str, took: &str, input: &str| vec![id, took, input, "abc"].into_iter().map(Cell::plain).collect::<Vec<_>>();
        let rows =
            [row("1", "3 ms", "div 1 0 and quite a lot more"), row("22", "14 s", ""), row("3", "", "日本語日本語日本語日本語")];
        let columns = Columns::of(&COLUMNS, &rows, width, Paint::off());
        let lines: Vec<String> = [columns.head()].into_iter().chain(rows.iter().map(|row| columns.line(row))).collect();
        assert!(lines.iter().all(|line| line.width() <= width), "{lines:#?}");
        lines.join("\n")
    }

    #[test]
    fn what_does_not_fit_is_cut_and_the_least_important_columns_go_first() {
        let wide = "\
id  took  input                         version
1   3 ms  div 1 0 and quite a lot more  abc
22  14 s                                abc
3         日本語日本語日本語日本語      abc";
        assert_eq!(drawn(65), wide);
        let middle = "\
id  took  input              version
1   3 ms  div 1 0 and quit…  abc
22  14 s                     abc
3         日本語日本語日本…  abc";
        assert_eq!(drawn(36), middle);
        let narrow = "\
id  took  input
1   3 ms  div 1 0 and …
22  14 s
3         日本語日本語…";
        assert_eq!(drawn(23), narrow);
        let tiny = "\
id  input
1   div 1 0 and…
22
3   日本語日本…";
        assert_eq!(drawn(16), tiny);
    }
}
