//! The text of the board: what waits for a person, what is open, watched, reverted and turned down, and why everything is paused.

use anyhow::Result;
use minijinja::context;

use super::markdown::{cell, code};
use super::text::render;

/// Lines of a section; what is left out is counted.
const ROWS: usize = 20;

/// An improvement on the board. All of it may hold text from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub tools: String,
    pub title: String,
    /// What it waits for, or what became of it; may be empty.
    pub reason: String,
    /// Of its proposal.
    pub number: Option<u64>,
    /// Of the one that reverts it.
    pub by: Option<u64>,
}

/// What is on the board, each list newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    pub asks: Vec<Row>,
    pub open: Vec<Row>,
    pub watched: Vec<Row>,
    pub kept: Vec<Row>,
    pub reverted: Vec<Row>,
    pub turned_down: Vec<Row>,
    pub paused: Option<String>,
}

impl Board {
    /// The text, in which nothing from outside is a link, a mention, a reference or markup.
    ///
    /// # Errors
    /// When it cannot be rendered.
    pub fn text(&self) -> Result<String> {
        let sections = [
            ("Waits for a person", &self.asks),
            ("Open", &self.open),
            ("Watched", &self.watched),
            ("Kept", &self.kept),
            ("Reverted", &self.reverted),
            ("Turned down", &self.turned_down),
        ];
        let row = |row: &Row| {
            context! {
                id => code(&row.id), tools => cell(&row.tools), title => cell(&row.title), reason => cell(&row.reason), number => row.number, by => row.by,
            }
        };
        let shown = |(title, rows): (&str, &Vec<Row>)| {
            let more = rows.len().saturating_sub(ROWS);
            context! { title => title, rows => rows.iter().take(ROWS).map(row).collect::<Vec<_>>(), more => (more > 0).then_some(more) }
        };
        let sections: Vec<_> = sections.into_iter().filter(|(_, rows)| !rows.is_empty()).map(shown).collect();
        let paused = self.paused.as_deref().map(cell);
        render(include_str!("../../templates/text/board.md"), context! { sections, paused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_says_each_thing_once_and_nothing_on_it_is_more_than_text() {
        let row = |tools: &str, reason: &str| Row {
            id: "0123abcd".into(),
            tools: tools.into(),
            title: "fix @ana".into(),
            reason: reason.into(),
            number: Some(7),
            by: None,
        };
        let board = Board {
            asks: vec![row("a", "<img src=x> [x](http://y)")],
            watched: (0..25).map(|n| row(&format!("w{n}"), "")).collect(),
            paused: Some("ana said so\n### in #3".into()),
            ..Board::default()
        };
        let text = board.text().expect("renders");
        for wanted in [
            "**Paused**: ana said so",
            "### Waits for a person\n\n- #7 **a**: fix @\u{200b}ana · &lt;img",
            "- and 5 more",
            "### Watched",
        ] {
            assert!(text.contains(wanted), "{wanted:?}: {text}");
        }
        assert!(
            !text.contains("### Open") && !text.contains("\n### in") && !text.contains("<img") && !text.contains("[x]("),
            "{text}"
        );
        assert!(Board::default().text().expect("renders").contains("Nothing is open"));
    }
}
