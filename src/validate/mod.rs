//! The gate: what a candidate must pass, in order, stopping at the first failure, with every step in the verdict.
//!
//! The held-out half of the recordings, chosen by hash, is used here and nowhere else: no strategy, no investigation and no quick
//! trial sees it.

mod answers;
mod baseline;
mod callers;
mod cost;
mod elsewhere;
mod evidence;
mod incident;
mod inputs;
mod judge;
mod minimise;
mod mutation;
mod parse;
mod plan;
mod policy;
pub mod regression_test;
mod replay;
mod rivals;
mod shadow;
mod stability;
mod suite;
mod told;
mod trial;

use std::sync::OnceLock;

use anyhow::Result;

use self::baseline::Baseline;
pub use self::callers::Reading;
pub use self::elsewhere::{Claim, admit};
use self::evidence::Evidence;
use self::judge::Step;
use self::plan::Plan;
use self::policy::{Before, Question};
use self::regression_test::{Answer, Asked, Recipe};
pub use self::shadow::beside_live;
use self::trial::{Found, Trial};
use crate::lang::Seen;
use crate::model::{
    Candidate, Character, Check, CheckStatus, CommitId, Exit, Failure, Investigation, Opportunity, Patch, Recording, Tool, Trust,
    Verdict, plain_line,
};
use crate::world::View;
use crate::world::bench::{Bench, BenchError};
use crate::world::sandbox::ScratchFile;
use crate::world::trial::Limits;

/// Candidates that are read and checked before the first of them is tried.
const CHUNK: usize = 32;

/// What the gate accepted, and the test that goes with it.
#[derive(Debug)]
pub struct Judged {
    pub verdict: Verdict,
    /// The regression test to commit; `None` when the tool's own tests already fail without the patch.
    pub test: Option<Patch>,
    /// How the test can be written again.
    pub recipe: Option<Recipe>,
}

/// What a strategy may be shown of the evidence: nothing that is held out.
#[derive(Debug)]
pub struct Shown<'g> {
    /// Inputs that fail on the untouched version.
    pub failing: Vec<&'g Recording>,
    /// Inputs that were answered well.
    pub good: Vec<&'g Recording>,
    /// The untouched version's checkout.
    pub files: &'g [ScratchFile],
    pub limits: Limits,
}

/// Everything needed to judge the candidates of one opportunity: the untouched version is run once for all of them.
pub struct Gate<'a> {
    view: &'a View,
    tool: &'a Tool,
    commit: CommitId,
    id8: String,
    investigation: &'a Investigation,
    evidence: Evidence,
    baseline: Baseline<'a>,
    plan: Plan,
    /// The failures that the incident is about.
    incident: Vec<Failure>,
    /// What a patch could know by heart.
    seen: OnceLock<Seen>,
    /// Chooses the inputs that nobody has recorded: the same ones for all candidates.
    seed: String,
}

impl<'a> Gate<'a> {
    /// Gathers the recordings and puts the untouched version on a bench.
    ///
    /// # Errors
    /// When the tool cannot be run, or the repository or the store cannot be read.
    pub fn open(
        view: &'a View,
        (tool, character): (&'a Tool, &Character),
        opportunity: &Opportunity,
        investigation: &'a Investigation,
    ) -> Result<Self, BenchError> {
        let evidence = Evidence::gather(view, tool, opportunity, investigation)?;
        let bench = Bench::at(view, tool, &investigation.commit, evidence.longest)?;
        let mut incident: Vec<Failure> = vec![investigation.failure.clone()];
        let failures = evidence.incident.iter().filter_map(|recording| recording.execution.failure.as_ref());
        incident.extend(failures.cloned());
        Ok(Gate {
            baseline: Baseline::new(bench, tool.compare),
            plan: Plan::of(character),
            incident,
            seen: OnceLock::new(),
            seed: opportunity.id.as_str().to_string(),
            view,
            tool,
            commit: investigation.commit.clone(),
            id8: opportunity.id.short().to_string(),
            investigation,
            evidence,
        })
    }

    /// The untouched version's checkout.
    fn bench(&self) -> &Bench<'a> {
        &self.baseline.bench
    }

    /// The seen half of the recordings, and the checkout that they run in.
    pub fn shown(&self) -> Shown<'_> {
        let is_seen = |recording: &&Recording| !recording.execution.input.is_held_out();
        Shown {
            failing: self.evidence.incident.iter().filter(is_seen).collect(),
            good: self.evidence.good.iter().filter(is_seen).collect(),
            files: self.bench().files(),
            limits: self.bench().limits(),
        }
    }

    /// The first of `candidates` that passes the quick trial, from `from` on: its own incident inputs of the seen half, once each, and
    /// its tests when they are red on the untouched version. Candidates are tried side by side.
    pub fn first_promising(&self, candidates: &[Candidate], from: usize) -> Option<usize> {
        let red = self.suite_is_red();
        let (bench, evidence) = (self.bench(), &self.evidence);
        let rest: Vec<(usize, &Candidate)> = candidates.iter().enumerate().skip(from).collect();
        rest.chunks(CHUNK).find_map(|chunk| {
            let allowed: Vec<(usize, &Candidate)> =
                chunk.iter().copied().filter(|(_, candidate)| self.is_allowed(candidate)).collect();
            // Begun in order, and nothing more is begun once one has passed: the best-ranked of those that pass wins.
            let answers = bench.each(&allowed, |(_, candidate)| is_promising(bench, evidence, candidate, red), |passed| *passed);
            let passed = answers.iter().position(|answer| *answer == Some(true));
            passed.and_then(|at| allowed.get(at)).map(|(index, _)| *index)
        })
    }

    fn is_allowed(&self, candidate: &Candidate) -> bool {
        let refused = |found: Found| found.named("").status == CheckStatus::Failed;
        !refused(self.policy(candidate)) && !refused(parse::check(candidate))
    }

    fn suite_is_red(&self) -> bool {
        self.investigation.suite.as_ref().is_some_and(|suite| !suite.passed)
    }

    /// Takes one candidate through the whole gate: every step until one fails.
    pub fn judge(&self, candidate: &Candidate) -> Judged {
        let mut trial = Trial::new(self, candidate);
        let mut checks: Vec<Check> = Vec::new();
        for step in Step::ALL {
            let Some(found) = self.step(step, &mut trial) else { continue };
            let check = found.named(step.name());
            let has_failed = check.status == CheckStatus::Failed;
            checks.push(check);
            if has_failed {
                break;
            }
        }
        self.conclude(candidate, checks, (trial.test, trial.recipe))
    }

    /// Puts candidates that passed the quick trial beside an accepted one, the first of them, and takes the one that does best; another
    /// one has to pass the whole gate first. Returns which one it is.
    pub fn choose(&self, candidates: &[&Candidate], accepted: Judged) -> (usize, Judged) {
        let (best, found) = rivals::compare(self, candidates);
        let check = found.named(Step::Rivals.name());
        let (mut chosen, mut judged) = (0, accepted);
        if best > 0 {
            let other = self.judge(candidates[best]);
            if other.verdict.accepted() && other.verdict.level >= judged.verdict.level {
                (chosen, judged) = (best, other);
            }
        }
        // Where some of them were beside each other before, the newer comparison says more.
        let others = judged.verdict.checks.into_iter().filter(|before| before.name != check.name);
        let checks = others.chain([check.clone()]).collect();
        (chosen, self.conclude(candidates[chosen], checks, (judged.test, judged.recipe)))
    }

    fn conclude(&self, candidate: &Candidate, checks: Vec<Check>, (test, recipe): (Option<Patch>, Option<Recipe>)) -> Judged {
        Judged { verdict: judge::judge(checks, trust(candidate), self.plan.words.clone()), test, recipe }
    }

    /// One step; `None` for what is not about a candidate alone.
    fn step(&self, step: Step, trial: &mut Trial<'_, '_>) -> Option<Found> {
        Some(match step {
            Step::Policy => self.policy(trial.candidate),
            Step::Parse => parse::check(trial.candidate),
            Step::Incident => incident::check(trial),
            Step::Answers => answers::check(trial),
            Step::RegressionTest => self.regression_test(trial),
            Step::Suite => suite::check(trial),
            Step::Callers => callers::check(trial),
            Step::Replay => replay::check(trial, false),
            Step::HeldOut => replay::check(trial, true),
            Step::Stability => stability::check(trial),
            Step::Cost => cost::check(trial),
            Step::Shadow => shadow::varied(trial),
            Step::Synthetic => shadow::synthetic(trial),
            Step::Mutation => mutation::check(trial),
            Step::Rivals => return None,
        })
    }

    fn policy(&self, candidate: &Candidate) -> Found {
        policy(self.view, self.tool, &self.commit, candidate, self.seen.get_or_init(|| self.evidence.seen()))
    }

    fn regression_test(&self, trial: &mut Trial<'_, '_>) -> Found {
        let Some(recording) = self.evidence.smallest_incident() else {
            return self.suite_instead("no recorded input can be written into a test");
        };
        let (old, new) = (self.bench(), &trial.pair.bench);
        let suite_is_red = self.suite_is_red();
        match regression_test::check(&Asked { tool: self.tool, recording, id8: &self.id8, old, new, suite_is_red }) {
            Answer::Proven(proven) => {
                (trial.test, trial.recipe) = (Some(proven.test), Some(proven.recipe));
                Found::passed(proven.detail)
            }
            Answer::Refuted(why) => Found::failed(why),
            Answer::Impossible(why) => self.suite_instead(&why),
        }
    }

    /// Red tests of the tool's own are as good as a generated one: the next check demands that they pass.
    fn suite_instead(&self, why: &str) -> Found {
        match self.suite_is_red() {
            true => Found::passed(format!("{why}, but the tool's own tests fail without the patch and are one")),
            false => Found::skipped(why),
        }
    }
}

/// How far this kind of candidate may go. Whether what undoes a person's commit may land is `deploy`'s to say.
fn trust(candidate: &Candidate) -> Trust {
    if candidate.strategy == "revert" { Trust::Land } else { candidate.trust }
}

/// What the policy says of a candidate on this commit; nothing is run.
fn policy(view: &View, tool: &Tool, commit: &CommitId, candidate: &Candidate, seen: &Seen) -> Found {
    let lines = view.repo.changed_lines(commit, &candidate.patch);
    let before = |path: &str| {
        let files = view.repo.files_at(commit, &[path.to_string()]).ok()?;
        let file = files.into_iter().find(|file| file.path == path.as_bytes())?;
        // A submodule has no content of ours.
        Some(Before { content: view.repo.blob(file.oid).unwrap_or_default(), mode: file.mode })
    };
    let lines_max = view.config.validate.patch_lines;
    policy::check(&Question { tool, candidate, before: &before, lines: lines.unwrap_or(usize::MAX), lines_max, seen })
}

fn is_promising(bench: &Bench<'_>, evidence: &Evidence, candidate: &Candidate, suite_is_red: bool) -> bool {
    let bench = bench.with(&candidate.patch);
    let seen = evidence.incident.iter().filter(|recording| !recording.execution.input.is_held_out());
    seen.into_iter().all(|recording| bench.replay(recording).solves(recording))
        && (!suite_is_red || bench.suite().is_some_and(|run| run.exit == Exit::Code(0)))
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    plain_line(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(no output)"), 160)
}
