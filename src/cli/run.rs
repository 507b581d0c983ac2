//! `fractal run` and `fractal watch`: one cycle, or cycles until stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::render::Teller;
use super::{Failure, OUTSIDE, Outcome, Output};
use crate::engine::{Loop, Progress, Zone};

/// What the loop does is in git: branches, commits with notes, `refs/fractal/log`. A run that is killed is continued by the next one.
#[derive(clap::Args)]
pub(super) struct Run {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do only what belongs into one of three zones, so that what runs tools is not where something can be written. `propose` looks for
    /// repairs, `verify` takes them through the gate again, `apply` runs nothing and does what was verified
    #[arg(long, value_name = "ZONE", value_enum)]
    zone: Option<ZoneName>,
    /// What the zone before wrote: for `verify` and `apply`
    #[arg(long, value_name = "FILE", requires = "zone")]
    bundle: Option<PathBuf>,
    /// Where what was found out is written for the next zone: for `propose` and `verify`
    #[arg(long, value_name = "FILE", requires = "zone")]
    out: Option<PathBuf>,
    /// Say what is only being watched as well
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ZoneName {
    Propose,
    Verify,
    Apply,
}

impl Run {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let teller = Teller::new(self.output.json, self.verbose || self.dry_run);
        let mut builder =
            Loop::builder(repo).mode("run").dry_run(self.dry_run).on_progress(move |progress| teller.tell(&progress));
        if let Some(zone) = self.zone()? {
            builder = builder.zone(zone);
        }
        let engine = builder.build()?;
        let report = runtime()?.block_on(engine.run_cycle())?;
        if report.faults > 0 {
            let hint = "`fractal status` says what landed; compare it, put the base right, and `fractal resume --remote` goes on";
            let message = "what landed is not what was tested, so nothing outward is done any more".to_string();
            return Err(Failure { message, hint: Some(hint.into()), code: OUTSIDE });
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    fn zone(&self) -> Result<Option<Zone>, Failure> {
        let Some(name) = self.zone else { return Ok(None) };
        let zone = match (name, self.bundle.clone(), self.out.clone()) {
            (ZoneName::Propose, None, Some(out)) => Zone::Propose { out },
            (ZoneName::Verify, Some(bundle), Some(out)) => Zone::Verify { bundle, out },
            (ZoneName::Apply, Some(bundle), None) => Zone::Apply { bundle },
            _ => {
                return Err(Failure::mistake(
                    "the zone and the files do not go together",
                    "`--zone propose --out FILE`, `--zone verify --bundle FILE --out FILE`, or `--zone apply --bundle FILE`",
                ));
            }
        };
        Ok(Some(zone))
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
