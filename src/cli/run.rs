//! `fractal run` and `fractal watch`: one cycle, or cycles until stopped.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::render::Teller;
use super::{Failure, Outcome, Output};
use crate::engine::{Loop, Progress};

/// What the loop does is in git: branches, commits with notes, `refs/fractal/log`. A run that is killed is continued by the next one.
#[derive(clap::Args)]
pub(super) struct Run {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Say what is only being watched as well
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

impl Run {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let teller = Teller::new(self.output.json, self.verbose || self.dry_run);
        let engine =
            Loop::builder(repo).mode("run").dry_run(self.dry_run).on_progress(move |progress| teller.tell(&progress)).build()?;
        runtime()?.block_on(engine.run_cycle())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Ends after the cycle it is in on SIGTERM, SIGINT or SIGHUP.
#[derive(clap::Args)]
pub(super) struct Watch {
    /// Say what is only being watched as well
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

impl Watch {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let teller = Teller::new(self.output.json, self.verbose);
        let engine = Loop::builder(repo).mode("watch").on_progress(move |progress: Progress| teller.tell(&progress)).build()?;
        runtime()?.block_on(async {
            let engine = Arc::new(engine);
            let stopping = stop_signal()?;
            let cycles = engine.clone().spawn();
            stopping.await;
            engine.stop();
            cycles.await.map_err(|error| anyhow::anyhow!("the loop panicked: {error}"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Listens before the work begins, so that no signal is missed.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| anyhow::Error::new(error).context("starting the runtime").into())
}
