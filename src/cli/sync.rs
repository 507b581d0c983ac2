//! `fractal sync`: exchange executions with others through a git remote, and bring in what a forge ran.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{BUSY, Failure, OUTSIDE, Outcome, Output, now, render};
use crate::config::Config;
use crate::record::collect::{self, Collected};
use crate::record::exchange::{self, Step, SyncError, Synced, Terms};
use crate::record::spool;
use crate::world::files;
use crate::world::forge::{self, Shared};
use crate::world::git::Repo;
use crate::world::git::exchange::ExchangeError;
use crate::world::read_config;
use crate::world::store::Ingested;

/// For one answer of the remote, and for another process that exchanges.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// Everything is read and sent when a person asks for it.
const WORK: Duration = Duration::from_secs(24 * 3600);

/// Each clone appends its executions to a ref of its own below `refs/fractal/executions/` and reads everyone else's. Doing it again
/// changes nothing, and one that was killed is continued by the next. `fractal run` and `fractal watch` do it by themselves when
/// `[sync] remote` is set.
#[derive(clap::Args)]
pub(super) struct Sync {
    /// The remote [default: what `[sync] remote` in fractal.toml says]
    #[arg(long, value_name = "REMOTE")]
    remote: Option<String>,
    /// Ask the forge too for what it ran (`[forge] runs` and `artifacts`); without a remote, nothing else
    #[arg(long)]
    forge: bool,
    #[command(flatten)]
    output: Output,
}

impl Sync {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let repo = Repo::open(repo)?;
        let config = read_config(&repo)?;
        let remote = self.remote.as_deref().unwrap_or(&config.sync.remote).trim();
        if self.forge {
            self.ask_forge(&repo, &config)?;
            if remote.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if remote.is_empty() || remote.starts_with('-') {
            return Err(Failure::mistake(
                "no remote is named to exchange executions with",
                "`fractal sync --remote origin`, or write `remote = \"origin\"` below `[sync]` in fractal.toml",
            ));
        }
        let mut store = spool::open(&repo, &config)?;
        let bar = Bar::new(self.output.json);
        let terms = Terms { config: &config, remote, now: now().now(), patience: PATIENCE, work: WORK };
        let synced = exchange::sync(&repo, &terms, store.as_mut(), &mut |step| bar.show(step));
        bar.end();
        let synced = synced?;
        if self.output.json {
            render::say_json(&synced);
        } else {
            synced.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            render::say(&summary(&synced));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn ask_forge(&self, repo: &Repo, config: &Config) -> Result<(), Failure> {
        if !collect::is_wanted(config) {
            let hint = "name workflows in `[forge] runs`, or artifacts in `[forge] artifacts`";
            return Err(Failure::mistake("fractal.toml does not say what of the forge to read", hint));
        }
        let opened = forge::open(&config.forge, now()).map_err(|why| Failure::mistake(format!("`[forge]`: {why}"), NO_FORGE))?;
        let forge = Shared::new(opened.ok_or_else(|| Failure::mistake("`[forge] kind` is `local`", NO_FORGE))?);
        let terms = collect::Terms { repo, config, forge: &forge, now: now().now() };
        let collected = collect::collect(&terms, spool::open(repo, config)?.as_mut())?;
        if self.output.json {
            render::say_json(&collected);
        } else {
            collected.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            render::say(&format!("{}: {}", collected.place, self::collected(&collected)));
        }
        match collected.failed {
            None => Ok(()),
            Some(message) => {
                let hint =
                    "nothing is lost: `fractal sync --forge` goes on from here; `fractal doctor` says what the token may do";
                Err(Failure { message, hint: Some(hint.into()), code: OUTSIDE })
            }
        }
    }
}

const NO_FORGE: &str = "write `kind = \"github\"` below `[forge]` in fractal.toml; `fractal doctor` says what else is missing";

/// One line for people on what came from a forge.
pub(super) fn collected(collected: &Collected) -> String {
    let Ingested { new, known, forgotten } = collected.stored;
    let mut parts = vec![format!(
        "{} new of {} and {}",
        render::count(new, "execution"),
        render::count(collected.runs, "run"),
        render::count(collected.artifacts, "artifact")
    )];
    let rest = [(known, "known before"), (forgotten, "forgotten on somebody's wish")];
    parts.extend(rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    if collected.unfinished {
        parts.push("the rest follows the next time".to_string());
    }
    parts.join("; ")
}

/// One line for people.
pub(super) fn summary(synced: &Synced) -> String {
    let count = render::count;
    let mut parts = Vec::new();
    parts.push(match (synced.paused, synced.segments) {
        (true, _) => "nothing was sent, because Fractal is paused (`fractal resume`)".to_string(),
        (false, 0) => "nothing to send".to_string(),
        (false, segments) => {
            let size = render::size(synced.bytes);
            format!("sent {} in {} ({size}) to {}", count(synced.sent, "execution"), count(segments, "segment"), synced.remote)
        }
    });
    parts.push(match synced.received {
        0 => "nothing new received".to_string(),
        received => format!("received {} from {}", count(received, "execution"), count(synced.writers, "writer")),
    });
    if synced.forgotten > 0 {
        parts.push(format!("{} forgotten, as others wished", count(synced.forgotten, "execution")));
    }
    if synced.dropped > 0 {
        parts.push(format!("{} no longer published (age, `[sync] size_mib`)", count(synced.dropped, "execution")));
    }
    if synced.adopted > 0 {
        parts.push(format!("took over from {} silent for two weeks", count(synced.adopted, "writer")));
    }
    if synced.unfinished {
        parts.push("the rest follows the next time".to_string());
    }
    if !synced.warnings.is_empty() {
        parts.push(format!("{} (see above)", count(synced.warnings.len() as u64, "warning")));
    }
    parts.join("; ")
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        let message = error.to_string();
        let (hint, code) = match error {
            SyncError::Store(error) => return error.into(),
            SyncError::Exchange(ExchangeError::Busy) => ("let it finish, and try again", BUSY),
            SyncError::Exchange(ExchangeError::Other(_)) => {
                ("if it lasts: remove `fractal/exchange.git` in the git directory; it is made and read anew", OUTSIDE)
            }
            SyncError::Exchange(_) => ("nothing is lost: `fractal sync` goes on from here", OUTSIDE),
        };
        Failure { message, hint: Some(hint.into()), code }
    }
}

/// On a terminal, what is going on.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(json: bool) -> Self {
        Bar((!json && files::stderr_is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    fn show(&self, step: Step) {
        let Some(bar) = &self.0 else { return };
        let style = |template: &str| {
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        };
        match step {
            Step::Receiving(read, all) => {
                style("{spinner} reading segments [{bar:30}] {pos} of {len}");
                bar.set_length(all);
                bar.set_position(read);
            }
            step => {
                style("{spinner} {msg}");
                bar.set_message(match step {
                    Step::Fetching => "fetching".to_string(),
                    Step::Packing(executions) => format!("packing, {executions} executions so far"),
                    Step::Pushing | Step::Receiving(..) => "pushing".to_string(),
                });
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
