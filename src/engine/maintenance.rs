//! What is tidied up: executions that need not be kept, scratch that killed runs left, records of proposals that wait no longer.

use anyhow::Result;
use jiff::SignedDuration;

use super::actions::Journal;
use super::progress::Progress;
use crate::config::ToolConfig;
use crate::world::store::Retention;
use crate::world::{View, versions};

/// Tidies up when it is time.
///
/// # Errors
/// When the store cannot be read or written.
pub(super) fn maintain(journal: &mut Journal<'_>) -> Result<()> {
    let view = journal.view;
    let last = view.store.counters()?.last_maintenance;
    let since = |last| view.clock.now().duration_since(last).unsigned_abs();
    let due = last.is_none_or(|last| since(last) >= view.config.engine.maintenance.0);
    if journal.is_dry_run() {
        return Ok(());
    }
    journal.keep_shadows()?;
    let scratch_removed = view.sandbox.remove_lost();
    if !due {
        return Ok(());
    }
    if let Err(error) = versions::tidy(&view.repo, &view.config) {
        tracing::warn!("versions that are kept as folders: {error:#}");
    }
    let executions_removed = journal.prune(&retention(view)?)?;
    journal.count(0, 0, 1)?;
    journal.tell(Progress::Maintained { executions_removed, scratch_removed });
    Ok(())
}

/// How long executions are kept, as configured.
fn retention(view: &View) -> Result<Retention> {
    let now = view.clock.now();
    let days_ago = |days: u32| now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days)));
    let of = |tool: &ToolConfig| tool.retention_days.map(|days| Ok((tool.name.clone(), days_ago(days)?)));
    let tools = &view.config.tools;
    Ok(Retention {
        before: days_ago(view.config.record.retention_days)?,
        before_of: tools.iter().filter_map(of).collect::<Result<_>>()?,
        bytes: Some(view.config.record.size_mib << 20).filter(|bytes| *bytes > 0),
        bytes_of: tools.iter().filter_map(|tool| Some((tool.name.clone(), tool.size_mib? << 20))).collect(),
    })
}
