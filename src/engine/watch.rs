//! The watch of what landed: each tool of it is looked at, and what is found about one of them decides for all.

use std::collections::BTreeSet;

use anyhow::Result;

use super::cycle::Cycle;
use super::progress::{Progress, describe_analysis};
use super::stage::Stage;
use crate::model::{Analysis, Approver, End, Event, Finding, ImprovementId};
use crate::monitor::Watch;

/// What was found about one tool.
struct Look {
    tool: String,
    analysis: Analysis,
}

impl Look {
    fn event(&self, is_group: bool) -> Event {
        Event::Analysed { analysis: self.analysis.clone(), tool: is_group.then(|| self.tool.clone()) }
    }
}

impl Cycle<'_, '_> {
    pub(super) fn watch_all(&mut self) -> Result<()> {
        self.each(&[Stage::Watching, Stage::Kept, Stage::Inconclusive, Stage::Stuck], |cycle, id| {
            let Some(by) = cycle.journal.get(id)?.revert_wanted_by.clone() else { return Ok(()) };
            cycle.revert(id, &format!("{by} asked for it."), None, Approver::Person(by.clone()))
        })?;
        self.each(&[Stage::Reverting], Self::land_revert)?;
        let watched = self.journal.improvements.values().filter(|improvement| improvement.stage == Stage::Watching);
        let tools: BTreeSet<String> =
            watched.flat_map(|improvement| improvement.members()).map(|member| member.tool.clone()).collect();
        self.journal.settle(&tools.into_iter().collect::<Vec<_>>())?;
        self.each(&[Stage::Watching], Self::watch)
    }

    fn watch(&mut self, id: &ImprovementId) -> Result<()> {
        let improvement = self.journal.get(id)?.clone();
        let is_group = improvement.is_group();
        let Some(landed) = improvement.landed.clone() else { return Ok(()) };
        let mut looks = Vec::new();
        for member in improvement.members() {
            let name = member.tool.clone();
            let Some(tool) = self.tools.get(&name).cloned() else {
                return self.end(id, End::Inconclusive { reason: format!("the tool `{name}` is gone") });
            };
            let none = BTreeSet::new();
            let watch = Watch {
                tool: &tool,
                before: &landed.before,
                after: &landed.commit,
                since: landed.at,
                incident: &member.failure.fingerprint,
                struck: improvement.struck.get(&name).unwrap_or(&none),
                undecided: improvement.undecided(&name),
            };
            looks.push(Look { tool: name, analysis: self.stages.analyse(self.view(), &watch)? });
        }
        // What went wrong anywhere decides before what did not.
        for look in &looks {
            match &look.analysis.finding {
                Finding::Regression { .. } => {
                    self.tell_analysed(id, look);
                    let which = if is_group { format!("`{}`", look.tool) } else { "The tool".to_string() };
                    let why = format!("{which} got worse: inputs that it answered before fail now.");
                    let by = Approver::Policy("a confirmed regression is reverted".into());
                    return self.revert(id, &why, Some((&look.tool, look.analysis.clone())), by);
                }
                Finding::Unconfirmed { reason } => {
                    self.tell_analysed(id, look);
                    self.journal.append(id, vec![look.event(is_group)])?;
                    let reason = format!("{reason}; `fractal revert {}` reverts it", id.short());
                    return self.end(id, End::Stuck { reason });
                }
                _ => {}
            }
        }
        self.go_on_watching(id, &looks, is_group)
    }

    /// It ends when the watch of the last tool does.
    fn go_on_watching(&mut self, id: &ImprovementId, looks: &[Look], is_group: bool) -> Result<()> {
        let mut waiting = Vec::new();
        let mut is_open = false;
        for look in looks {
            match &look.analysis.finding {
                Finding::Waiting { needed } if look.analysis.replays.is_empty() => {
                    waiting.push(format!("{}; the watch needs {needed} more runs", described(look, is_group)));
                }
                Finding::FalseAlarm { .. } | Finding::Waiting { .. } => {
                    self.tell_analysed(id, look);
                    self.journal.append(id, vec![look.event(is_group)])?;
                    is_open = true;
                }
                _ => {}
            }
        }
        if !waiting.is_empty() {
            return self.waits(id, waiting.join("; "));
        }
        if is_open {
            return Ok(());
        }
        let mut how = End::Kept;
        for look in looks {
            self.tell_analysed(id, look);
            self.journal.append(id, vec![look.event(is_group)])?;
            if let Finding::Inconclusive { reason } = &look.analysis.finding {
                how = End::Inconclusive { reason: reason.clone() };
            }
        }
        self.end(id, how)
    }

    fn tell_analysed(&self, id: &ImprovementId, look: &Look) {
        let (tool, analysis) = (look.tool.clone(), look.analysis.clone());
        let summary = describe_analysis(&analysis);
        self.journal.tell(Progress::Analysed { id: id.clone(), tool, summary, analysis });
    }
}

fn described(look: &Look, is_group: bool) -> String {
    let summary = describe_analysis(&look.analysis);
    if is_group { format!("{}: {summary}", look.tool) } else { summary }
}
