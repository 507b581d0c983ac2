//! The board: one place on a forge that says how everything stands (`[forge] dashboard`). It is worked out anew at the end of each cycle and said
//! only when it differs from what is there. While a switch is set nothing is said, so why we paused ourselves is said just before.

use anyhow::Result;

use super::cycle::{Cycle, decision};
use super::improvement::{Improvement, known};
use super::stage::Stage;
use crate::deploy::{Board, Decision, Row};
use crate::model::ImprovementId;
use crate::world::Word;

/// What the board is kept under.
const KEY: &str = "board";
const TITLE: &str = "What Fractal does here";

impl Cycle<'_, '_> {
    /// Brings the board in words with the facts, where the configuration wants one; `paused`: why everything stops now, and because of
    /// which improvement, if one is at fault.
    pub(super) fn show_board(&mut self, paused: Option<(&str, Option<&ImprovementId>)>) -> Result<()> {
        let Some(forge) = self.view().forge.clone().filter(|_| self.view().config.forge.dashboard) else { return Ok(()) };
        if self.journal.is_dry_run() {
            return Ok(());
        }
        let text = self.board(paused)?.text()?;
        match forge.board(KEY) {
            // Nobody needs a board on which nothing ever was.
            Ok(None) if self.journal.improvements.is_empty() => {}
            Ok(Some(there)) if !there.open || there.text.trim_end() == text.trim_end() => {}
            Ok(_) => self.journal.announce(&Word::Post { key: KEY.into(), title: TITLE.into(), text }),
            Err(why) => tracing::warn!("the board could not be looked at: {why}"),
        }
        Ok(())
    }

    fn board(&self, paused: Option<(&str, Option<&ImprovementId>)>) -> Result<Board> {
        let mut board = Board { paused: paused.map(|(why, _)| why.to_string()), ..Board::default() };
        let tip = self.tip()?;
        let mut all: Vec<&Improvement> = self.journal.improvements.values().collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.records.last().map(|record| record.at)));
        for one in all {
            let ended = one.end_reason.clone().unwrap_or_default();
            let (section, reason) = match one.stage {
                _ if paused.is_some_and(|(_, fault)| fault == Some(&one.id)) => {
                    (&mut board.asks, "it is why everything stops".into())
                }
                Stage::Stuck => (&mut board.asks, ended),
                Stage::Proposed => match decision(self.view(), &known(&self.journal.improvements, &one.id), &tip)? {
                    Decision::Wait(reason) => (&mut board.asks, reason),
                    Decision::Merge => (&mut board.open, "lands when its checks and the forge's rules allow it".to_string()),
                    Decision::Rebuild => (&mut board.open, "is validated again on the moved base".to_string()),
                },
                Stage::Landing | Stage::Reverting => (&mut board.open, format!("is {}", one.stage)),
                Stage::Watching => (&mut board.watched, String::new()),
                Stage::Kept => (&mut board.kept, String::new()),
                Stage::Reverted => (&mut board.reverted, ended),
                Stage::Closed if one.accepted.is_some() => (&mut board.turned_down, ended),
                _ => continue,
            };
            let undoing = one.undoing.as_ref().and_then(|undoing| undoing.proposal.as_ref());
            section.push(Row {
                id: one.id.short().to_string(),
                tools: one.tools(),
                title: one.accepted.as_ref().map_or_else(String::new, |(attempt, _)| attempt.title.clone()),
                reason,
                number: one.proposal.as_ref().map(|known| known.number),
                by: undoing.map(|known| known.number),
            });
        }
        Ok(board)
    }
}
