//! `fractal forget`: remove executions for good, here and wherever they were sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use regex::bytes::Regex;

use super::moment::{FORMS, Moment};
use super::sync::PATIENCE;
use super::{Failure, Outcome, Output, now, render};
use crate::config::Config;
use crate::model::{ExecutionId, check_tool_name};
use crate::record::exchange::{self, Terms};
use crate::record::spool;
use crate::world::git::Repo;
use crate::world::store::{Forget as What, Store};
use crate::world::{read_config, store};

/// Everything that is given must hold. What is forgotten stays away when somebody delivers it again, and the other clones forget it,
/// too, at their next `fractal sync`: they are told identities and times, never the pattern.
#[derive(clap::Args)]
pub(super) struct Forget {
    /// Executions of this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse, help = format!("Executions that ended then or later: {FORMS}"))]
    since: Option<Moment>,
    /// Executions that ended before [default: now]
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// Executions in whose arguments, input, output or message this regular expression is found
    #[arg(long, value_name = "REGEX")]
    matching: Option<String>,
    /// The execution with this id, or with an id that begins with it; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only say how many executions of which tools it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// What became of it.
#[derive(Default, serde::Serialize)]
struct Done {
    dry_run: bool,
    executions: u64,
    tools: BTreeMap<String, u64>,
    /// Remotes that no longer point to it.
    published: Vec<String>,
    /// Remotes that still do, and why.
    waiting: BTreeMap<String, String>,
    /// Improvements whose records quote what matches.
    quoted: Vec<String>,
}

impl Forget {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let known = store::open_to_read(&repo, &config)?;
        let what = self.what(known.as_ref())?;
        drop(known);
        let mut store = store::open(&repo, &config)?;
        spool::drain(&repo, store.as_mut(), usize::MAX)?;
        let mut done = Done { dry_run: self.dry_run, ..Done::default() };
        let found = store.matching(&what)?;
        done.executions = found.len() as u64;
        for (tool, _) in &found {
            *done.tools.entry(tool.clone()).or_default() += 1;
        }
        if let Some(pattern) = &what.pattern {
            done.quoted = exchange::quoted_in_log(&repo, pattern)?;
        }
        if !self.dry_run {
            if !self.yes {
                return Err(Failure::mistake(
                    format!("{} would be forgotten for good", counted(&done)),
                    "add `--yes` to do it; there is no way back",
                ));
            }
            // What was found by a pattern is what goes; it is not looked for twice.
            let wish = match what.pattern {
                Some(_) => exchange::exactly(found.into_iter().map(|(_, id)| id).collect()),
                None => Some(what.clone()),
            };
            wish.map_or(Ok(Vec::new()), |wish| store.forget(&wish))?;
            if let Some(pattern) = &what.pattern {
                spool::forget(&repo, pattern)?;
            }
            publish(&repo, &config, store.as_mut(), &mut done)?;
        }
        self.say(&done);
        Ok(if done.waiting.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::OUTSIDE) })
    }

    fn what(&self, store: &dyn Store) -> Result<What, Failure> {
        let now = now().now();
        let [since, until] = [self.since, self.until].map(|moment| moment.map(|moment| moment.from(now)));
        if self.tool.is_none() && since.is_none() && until.is_none() && self.matching.is_none() && self.id.is_empty() {
            return Err(Failure::mistake(
                "nothing says which executions to forget",
                "name a `--tool`, a time (`--since 2h`, `--until 90d`), a pattern (`--matching`), or an `--id`",
            ));
        }
        if let Some(tool) = &self.tool {
            check_tool_name(tool).map_err(|error| Failure::mistake(error.to_string(), "`fractal tools` lists the tools"))?;
        }
        if until.is_some_and(|until| until > now) || since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err(Failure::mistake(
                "no execution can have ended within that time",
                "`--since` is before `--until`, and that is not later than now",
            ));
        }
        let pattern = self.matching.as_deref().map(Regex::new).transpose().map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Failure::mistake(
                format!("`--matching` is no regular expression: {why}"),
                "to look for plain text, put `\\` before each of `.+*?()[]{}|^$\\`",
            )
        })?;
        let identity = |text: &String| -> Result<ExecutionId, Failure> {
            let id = ExecutionId(text.trim().to_lowercase());
            // A whole one may be about to arrive.
            if id.bytes().is_some_and(|bytes| ExecutionId::from_bytes(bytes) == id) { Ok(id) } else { Ok(store.find(&id.0)?.id) }
        };
        let ids = self.id.iter().map(identity).collect::<Result<BTreeSet<_>, _>>()?;
        let ids = Some(ids).filter(|ids| !ids.is_empty());
        // A time that never ends would refuse what is yet to come.
        Ok(What {
            tool: self.tool.clone(),
            since,
            until: until.or(Some(now)).filter(|_| self.until.is_some() || ids.is_none()),
            pattern,
            ids,
        })
    }

    fn say(&self, done: &Done) {
        if self.output.json {
            return render::say_json(done);
        }
        let all = counted(done);
        if done.dry_run {
            return render::say(&format!("would forget {all}"));
        }
        render::say(&format!("forgot {all}"));
        for remote in &done.published {
            render::say(&format!(
                "taken out of the segments at {remote}, whose disk still has them until `git gc --prune=now` is run there; \
                 other clones follow at their next `fractal sync`"
            ));
        }
        for (remote, why) in &done.waiting {
            render::say(&format!("still at {remote}: {why}; `fractal sync --remote {remote}` takes it out there"));
        }
        if self.matching.is_some() {
            render::say(
                "the pattern was looked for on this machine only: run this on others, too, for what they have not sent yet",
            );
        }
        if !done.quoted.is_empty() {
            let ids = done.quoted.join(", ");
            render::say(&format!("quoted by improvement {ids} (`fractal show`): what is committed in git is not rewritten"));
        }
    }
}

/// `12 executions (backup 10, orders 2)`
fn counted(done: &Done) -> String {
    let tools: Vec<String> = done.tools.iter().map(|(tool, runs)| format!("{tool} {runs}")).collect();
    match done.executions {
        0 => "no execution that is recorded here".into(),
        1 => format!("1 execution ({})", tools.join(", ")),
        all => format!("{all} executions ({})", tools.join(", ")),
    }
}

/// Takes it out of our segments here and at every remote that we have used.
fn publish(repo: &Repo, config: &Config, store: &mut dyn Store, done: &mut Done) -> Result<(), Failure> {
    let now = now().now();
    let terms = Terms { config, remote: "", now, patience: PATIENCE, work: PATIENCE };
    let mut remotes: BTreeSet<String> = exchange::forget_here(repo, &terms, store)?.into_iter().collect();
    remotes.extend(Some(config.sync.remote.clone()).filter(|remote| !remote.is_empty()));
    for remote in remotes {
        let synced = exchange::sync(repo, &Terms { remote: &remote, ..terms }, store, &mut |_| ());
        let remote = exchange::clean(&remote);
        let waits = match synced {
            Ok(synced) if !synced.paused => {
                done.published.push(remote);
                continue;
            }
            Ok(_) => "Fractal is paused (`fractal resume`)".to_string(),
            Err(error) => error.to_string(),
        };
        done.waiting.insert(remote, waits);
    }
    Ok(())
}
