//! `fractal demo`: the whole loop on a sample repository of tools.
//!
//! Only the inputs are given: a history, and calls of the tools. The tools run for real through `fractal exec`, and the engine is
//! the one of `fractal run`. Killed anywhere and started again on the same folder, it goes on.

mod stage_set;

use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use self::stage_set::{Phase, StageSet};
use super::render::{self, Paint, Teller};
use super::{Failure, Outcome, Output, now, run};
use crate::engine::{History, Loop, Stage};
use crate::model::Counts;
use crate::world::clock::Stopwatch;
use crate::world::files;

/// Unpacks a small team's tools with their history into a fresh repository, runs them some 550 times, and lets the engine work.
/// Takes about a minute. Needs git and Python 3; tools in other languages are left out where their interpreter is missing.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// Where to put it; a demo that is already there goes on [default: a new temporary folder]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Cycles until nothing new happens, at most.
const CYCLES_MAX: usize = 6;

impl Demo {
    pub(super) fn run(&self) -> Outcome {
        let started = Stopwatch::start();
        let teller = Told { json: self.output.json, paint: Paint::for_stdout() };
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => files::lasting_temporary_folder("fractal-demo-")?,
        };
        let set = StageSet::unpack(&dir)?;
        teller.heading("1. a repository of tools", &format!("{} commits in {}", set.commits, set.repository().display()));
        for missing in set.left_out() {
            teller.line(&format!("  left out: {missing}"));
        }
        teller.traffic("2. the tools run", "recorded through `fractal exec`", &set, Phase::Recorded)?;
        set.commit_of_a_person()?;
        teller.traffic("3. a person's commit breaks a healthy tool", "and it goes on running", &set, Phase::Broken)?;
        teller.heading("4. the engine works", "detect, investigate, improve, validate, land");
        self.cycles(&set)?;
        teller.traffic("5. the tools run on", "with inputs that no recording had", &set, Phase::Live)?;
        teller.heading("6. the engine watches", "keep what works, revert what made a tool worse");
        self.cycles(&set)?;
        teller.last_screen(&set, started.elapsed().as_secs_f64())?;
        Ok(ExitCode::SUCCESS)
    }

    fn cycles(&self, set: &StageSet) -> Result<(), Failure> {
        let teller = Teller::new(self.output.json, false);
        let engine = Loop::builder(set.repository()).mode("demo").on_progress(move |progress| teller.tell(&progress)).build()?;
        let runtime = run::runtime()?;
        for _ in 0..CYCLES_MAX {
            let report = runtime.block_on(engine.run_cycle())?;
            if report.actions + report.opportunities == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// What the demo itself tells, beside the engine.
struct Told {
    json: bool,
    paint: Paint,
}

impl Told {
    fn heading(&self, title: &str, text: &str) {
        if self.json {
            return render::say_json(&serde_json::json!({ "event": "demo", "phase": title, "text": text }));
        }
        render::say(&format!("\n{} {}", self.paint.bold(&format!("{title}:")), self.paint.dim(text)));
    }

    fn line(&self, text: &str) {
        if !self.json {
            render::say(text);
        }
    }

    fn traffic(&self, title: &str, text: &str, set: &StageSet, phase: Phase) -> Result<(), Failure> {
        self.heading(title, text);
        let bar = match self.json || !files::stderr_is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(set.calls(phase) as u64),
        };
        bar.set_style(
            ProgressStyle::with_template("  {bar:40} {pos}/{len} runs").unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let ran = set.play(phase, &|| bar.inc(1))?;
        bar.finish_and_clear();
        let counts = set.counts(phase)?;
        let total = counts
            .values()
            .fold(Counts::default(), |sum, own| Counts { runs: sum.runs + own.runs, failures: sum.failures + own.failures });
        if self.json {
            render::say_json(
                &serde_json::json!({ "event": "demo_traffic", "phase": title, "ran_now": ran, "runs": total.runs, "failures": total.failures, "tools": counts }),
            );
        } else {
            render::say(&format!("  {} runs of {} tools, {} failed", total.runs, counts.len(), total.failures));
        }
        Ok(())
    }

    fn last_screen(&self, set: &StageSet, seconds: f64) -> Result<(), Failure> {
        let history = History::open(set.repository(), now())?;
        let (before, broken, after) = (set.counts(Phase::Recorded)?, set.counts(Phase::Broken)?, set.counts(Phase::Live)?);
        let outcome = |tool: &str| {
            let newest = history.improvements().into_iter().find(|improvement| improvement.tool() == tool)?;
            let why = match (newest.stage, &newest.accepted, &newest.end_reason) {
                (Stage::Kept | Stage::Reverted | Stage::Proposed, Some((attempt, _)), _) => attempt.title.clone(),
                (_, _, Some(reason)) => reason.clone(),
                _ => String::new(),
            };
            Some((newest.stage, newest.id.short().to_string(), why))
        };
        let tools = before.keys().map(|tool| {
            let was = broken.get(tool).or(before.get(tool)).copied().unwrap_or_default();
            (tool.clone(), was, after.get(tool).copied().unwrap_or_default(), outcome(tool))
        });
        if self.json {
            let rows: Vec<serde_json::Value> = tools
                .map(|(tool, was, is, outcome)| {
                    let (stage, id) = outcome.map_or((None, None), |(stage, id, _)| (Some(stage), Some(id)));
                    serde_json::json!({ "tool": tool, "before": was, "after": is, "stage": stage, "id": id })
                })
                .collect();
            render::say_json(&serde_json::json!({ "event": "demo_result", "tools": rows, "funnel": history.funnel(),
                "repository": set.repository(), "seconds": seconds }));
            return Ok(());
        }
        self.heading("7. the result", &format!("after {seconds:.0} s"));
        let rows = tools.map(|(tool, was, is, outcome)| {
            let (stage, id, why) = outcome
                .map_or(("healthy".into(), String::new(), String::new()), |(stage, id, why)| (stage.word().to_string(), id, why));
            let shown = |counts: Counts| format!("{} of {}", render::rate(counts), counts.runs);
            [tool, shown(was), shown(is), stage, id, crate::model::plain_line(&why, 90)]
        });
        render::say(&render::table(["tool", "before", "after", "outcome", "id", "what"], rows));
        let f = history.funnel();
        render::say(&format!(
            "funnel: {} detected → {} improvable → {} accepted → {} landed → {} kept; {} reverted, {} declined, {} waiting for a person",
            f.detected, f.improvable, f.accepted, f.landed, f.kept, f.reverted, f.declined, f.waiting
        ));
        render::say(&format!("\n{}", self.paint.bold("git log --graph --notes=fractal")));
        render::say(&set.graph()?);
        self.where_to_look(set, &history);
        Ok(())
    }

    fn where_to_look(&self, set: &StageSet, history: &History) {
        render::say(&format!(
            "\nThe repository is in {}. Look around:",
            self.paint.bold(&set.repository().display().to_string())
        ));
        render::say(&format!("  cd {}", set.repository().display()));
        render::say("  git log --notes=fractal        # the story, with plain git");
        render::say("  git show HEAD                  # code, regression test and notes in one commit");
        let open = |stage: Stage| history.improvements().into_iter().find(|improvement| improvement.stage == stage);
        if let Some(kept) = open(Stage::Kept) {
            let commit = kept.landed.as_ref().map_or("", |landed| landed.commit.short());
            render::say(&format!("  fractal show {}           # the whole audit trail of {}", kept.id.short(), kept.tool()));
            render::say(&format!("  git revert {commit} && fractal run   # undo it by hand: noticed and respected"));
        }
        if let Some(waiting) = open(Stage::Proposed) {
            render::say(&format!("  fractal approve {}        # let the proposed revert land", waiting.id.short()));
        }
    }
}
