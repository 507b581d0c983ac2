//! Which tools a cycle looks at: those with news. What has not changed since the last look is not looked at again.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::model::{CommitId, Tool};
use crate::world::View;
use crate::world::catalog::Catalog;
use crate::world::store::Dirty;

/// Seconds after which all tools are looked at again.
const DAY: i64 = 24 * 3600;

/// What a cycle looks at, and what it says about that afterwards.
pub(super) struct News {
    pub tools: Vec<Tool>,
    /// The news as they were read.
    pub dirty: Vec<Dirty>,
    /// The configuration, the base, and when all tools were last looked at.
    pub state: String,
}

impl News {
    /// The tools with new failures, and those whose files changed on the base since the last look. All of them when the
    /// configuration or Fractal itself has changed, when the last look is not known, and once a day: that runs take longer is no
    /// failure, and what only time changes is no news.
    ///
    /// # Errors
    /// When the store or the repository cannot be read.
    pub fn read(view: &View, catalog: &Catalog, tip: &CommitId) -> Result<News> {
        let dirty = view.store.dirty()?;
        let (rules, now) = (rules(view)?, view.clock.now().as_second());
        let before = view.store.looked_in()?.unwrap_or_default();
        let parts: Vec<&str> = before.split(' ').collect();
        let (changed, all_at) = match (parts.as_slice(), parts.last().and_then(|at| at.parse::<i64>().ok())) {
            ([old_rules, commit, _], Some(at)) if *old_rules == rules && (at..at.saturating_add(DAY)).contains(&now) => {
                (changed_since(view, &CommitId(commit.to_string()), tip)?, at)
            }
            _ => (None, now),
        };
        let all_at = if changed.is_none() { now } else { all_at };
        let state = format!("{rules} {tip} {all_at}");
        let tools = match changed {
            None => catalog.tools.clone(),
            Some(changed) => {
                let named: BTreeSet<&str> = dirty.iter().map(|dirty| dirty.tool.as_str()).collect();
                let news = |tool: &&Tool| named.contains(tool.name.as_str()) || changed.iter().any(|path| tool.owns(path));
                catalog.tools.iter().filter(news).cloned().collect()
            }
        };
        Ok(News { tools, dirty, state })
    }
}

/// A digest of everything besides executions and files that detection depends on.
fn rules(view: &View) -> Result<String> {
    let config = serde_json::to_string(&view.config)?;
    let text = format!("{}\0{}\0{config}", env!("CARGO_PKG_VERSION"), view.base);
    Ok(blake3::hash(text.as_bytes()).to_hex()[..16].to_string())
}

/// The paths that differ between two commits; `None` when the first one is not known here any more.
fn changed_since(view: &View, before: &CommitId, tip: &CommitId) -> Result<Option<Vec<String>>> {
    if before == tip {
        return Ok(Some(Vec::new()));
    }
    view.repo.changed_paths(before, tip)
}
