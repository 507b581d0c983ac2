//! Which executions are meant, as the command line says it.

use std::collections::BTreeSet;

use clap::ValueEnum;
use jiff::Timestamp;

use super::super::moment::{FORMS, Moment};
use super::super::{Failure, now};
use crate::config::Config;
use crate::model::{Execution, Outcome, Version};
use crate::world::catalog::{catalog, declared, nearest};
use crate::world::git::Repo;
use crate::world::store::{Query, Store, Which};

/// Executions read at once.
const PAGE: usize = 1_000;
/// Executions looked through for a version that never counted.
const RECENT: usize = 1_000;

#[derive(clap::Args, Clone)]
pub(in super::super) struct Filter {
    /// Only runs of this tool
    pub tool: Option<String>,
    /// Only runs of this version, or of the one that begins so
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Only runs that ended so
    #[arg(long, value_enum)]
    outcome: Option<Ended>,
    /// Only failures of the kind with this fingerprint (`show` prints it)
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "outcome")]
    like: Option<String>,
    /// Only runs by this caller: `exec`, or what it called itself
    #[arg(long)]
    caller: Option<String>,
    #[arg(long, value_parser = Moment::parse, value_name = "WHEN", help = format!("Only runs that started since: {FORMS}"))]
    since: Option<Moment>,
    /// Only runs that ended before
    #[arg(long, value_parser = Moment::parse, value_name = "WHEN")]
    until: Option<Moment>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Ended {
    Success,
    Failure,
    /// The environment's or the caller's fault
    Error,
}

/// A filter whose names were looked up.
pub(super) struct Wanted {
    filter: Filter,
    version: Option<Version>,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl Filter {
    /// Looks up its names.
    pub(super) fn resolve(&self, repo: &Repo, config: &Config, store: &dyn Store) -> Result<Wanted, Failure> {
        if let Some(tool) = &self.tool {
            known(repo, config, store, tool)?;
        }
        if let Some(like) = &self.like
            && like.strip_prefix('f').and_then(|rest| rest.split_once('-')).is_none_or(|(_, digits)| digits.len() != 16)
        {
            return Err(Failure::mistake(
                format!("`{like}` is no fingerprint"),
                "they look like f1-0123456789abcdef; `fractal executions show ID` and `fractal stats TOOL` print them",
            ));
        }
        let now = now().now();
        Ok(Wanted {
            version: self.version.as_ref().map(|version| self.find_version(store, version)).transpose()?,
            since: self.since.map_or(Timestamp::UNIX_EPOCH, |since| since.from(now)),
            until: self.until.map(|until| until.from(now)),
            filter: self.clone(),
        })
    }

    fn find_version(&self, store: &dyn Store, prefix: &str) -> Result<Version, Failure> {
        let tools = self.tool.clone().map(|tool| vec![tool]);
        let summaries = store.versions(tools.as_deref(), Timestamp::UNIX_EPOCH)?;
        let mut found: BTreeSet<Version> = summaries.into_iter().map(|summary| summary.version).collect();
        // Versions of which nothing counted have no summary.
        let recent = store.executions(&Query { tool: self.tool.as_deref(), limit: RECENT, ..Query::default() })?;
        found.extend(recent.into_iter().map(|execution| execution.version));
        found.retain(|version| version.0.starts_with(prefix));
        let hint = match &self.tool {
            Some(tool) => format!("`fractal stats {tool}` lists its versions"),
            None => "`fractal stats TOOL` lists the versions of a tool".to_string(),
        };
        match (found.len(), found.pop_first()) {
            (1, Some(version)) => Ok(version),
            (0, _) => Err(Failure::mistake(format!("no recorded run has a version that begins with `{prefix}`"), hint)),
            (several, _) => Err(Failure::mistake(format!("{several} versions begin with `{prefix}`; write more of it"), hint)),
        }
    }

    /// Whether it leaves anything out but other tools.
    pub(super) fn is_plain(&self) -> bool {
        let Filter { tool: _, version, outcome, like, caller, since, until } = self;
        version.is_none() && outcome.is_none() && like.is_none() && caller.is_none() && since.is_none() && until.is_none()
    }
}

impl Wanted {
    pub(super) fn query(&self, limit: usize) -> Query<'_> {
        let outcome = |ended| match ended {
            Ended::Success => Outcome::Success,
            Ended::Failure => Outcome::Failure,
            Ended::Error => Outcome::Error,
        };
        Query {
            tool: self.filter.tool.as_deref(),
            version: self.version.as_ref(),
            which: match (&self.filter.like, self.filter.outcome) {
                (Some(like), _) => Which::FailuresLike(like),
                (None, Some(ended)) => Which::Only(outcome(ended)),
                (None, None) => Which::All,
            },
            caller: self.filter.caller.as_deref(),
            since: self.since,
            until: self.until,
            before: None,
            after: None,
            limit,
        }
    }

    /// Hands over at most `limit` executions, newest first, page by page, until it is told to stop.
    pub(super) fn each(
        &self,
        store: &dyn Store,
        limit: usize,
        mut take: impl FnMut(Execution) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut last = None;
        let mut left = limit;
        while left > 0 {
            let query = self.query(left.min(PAGE));
            let page = store.executions(&Query { before: last.as_ref(), ..query })?;
            let full = page.len() == left.min(PAGE);
            left -= page.len();
            last = page.last().map(|execution| execution.id.clone());
            for execution in page {
                if !take(execution)? {
                    return Ok(());
                }
            }
            if !full {
                break;
            }
        }
        Ok(())
    }
}

/// Refuses the name of a tool of which there is neither a run nor a file.
pub(in super::super) fn known(repo: &Repo, config: &Config, store: &dyn Store, tool: &str) -> Result<(), Failure> {
    let ran = !store.executions(&Query { tool: Some(tool), limit: 1, ..Query::default() })?.is_empty();
    if ran || declared(config).iter().any(|known| known.name == tool) {
        return Ok(());
    }
    let found = repo.head().ok().and_then(|head| catalog(repo, config, &head).ok()).unwrap_or_default();
    if found.get(tool).is_some() {
        return Ok(());
    }
    let recorded = store.versions(None, Timestamp::UNIX_EPOCH)?;
    let names = found.tools.iter().map(|tool| tool.name.as_str()).chain(recorded.iter().map(|summary| summary.tool.as_str()));
    let is_id = tool.len() >= 4 && tool.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let hint = match nearest(names, tool) {
        _ if is_id && store.find(tool).is_ok() => format!("it is a run: `fractal executions show {tool}`"),
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`fractal stats` lists the tools with recorded runs, `fractal tools` those of the repository".to_string(),
    };
    Err(Failure::mistake(format!("there is no tool `{}`", crate::model::plain_line(tool, 80)), hint))
}
