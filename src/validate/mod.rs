//! The gate: what a candidate must pass, in order, stopping at the first failure, with every step in the verdict.
//!
//! The held-out half of the recordings, chosen by hash, is used here and nowhere else: no strategy, no investigation and no quick
//! trial sees it.

mod evidence;
mod policy;
mod regression_test;
mod replay;

use std::sync::OnceLock;

use anyhow::Result;

use self::evidence::Evidence;
use self::replay::OldRun;
use crate::lang;
use crate::model::{
    Candidate, Check, CheckStatus, CommitId, Exit, FileEdit, Investigation, Judgement, Opportunity, Patch, Recording, Tool,
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
    bench: Bench<'a>,
    evidence: Evidence,
    old: OnceLock<Vec<OldRun>>,
}

impl<'a> Gate<'a> {
    /// Gathers the recordings and puts the untouched version on a bench.
    ///
    /// # Errors
    /// When the tool cannot be run, or the repository or the store cannot be read.
    pub fn open(
        view: &'a View,
        tool: &'a Tool,
        opportunity: &Opportunity,
        investigation: &'a Investigation,
    ) -> Result<Self, BenchError> {
        let evidence = Evidence::gather(view, tool, opportunity, investigation)?;
        let bench = Bench::at(view, tool, &investigation.commit, evidence.longest)?;
        Ok(Gate {
            view,
            tool,
            commit: investigation.commit.clone(),
            id8: opportunity.id.short().to_string(),
            investigation,
            bench,
            evidence,
            old: OnceLock::new(),
        })
    }

    /// The seen half of the recordings, and the checkout that they run in.
    pub fn shown(&self) -> Shown<'_> {
        let is_seen = |recording: &&Recording| !recording.execution.input.is_held_out();
        Shown {
            failing: self.evidence.incident.iter().filter(is_seen).collect(),
            good: self.evidence.good.iter().filter(is_seen).collect(),
            files: self.bench.files(),
            limits: self.bench.limits(),
        }
    }

    /// The first of `candidates` that passes the quick trial, from `from` on: its own incident inputs of the seen half, once each, and
    /// its tests when they are red on the untouched version. Candidates are tried side by side.
    pub fn first_promising(&self, candidates: &[Candidate], from: usize) -> Option<usize> {
        let red = self.suite_is_red();
        let (bench, evidence) = (&self.bench, &self.evidence);
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
        self.policy(candidate).status != CheckStatus::Failed && self.parse(candidate).status != CheckStatus::Failed
    }

    fn suite_is_red(&self) -> bool {
        self.investigation.suite.as_ref().is_some_and(|suite| !suite.passed)
    }

    /// Takes one candidate through the whole gate.
    pub fn judge(&self, candidate: &Candidate) -> Judged {
        let mut judged = Judged { verdict: Verdict { judgement: Judgement::Accepted, checks: Vec::new() }, test: None };
        let bench = self.bench.with(&candidate.patch);
        type Step<'s> = Box<dyn Fn(&mut Judged) -> Check + 's>;
        let steps: Vec<Step<'_>> = vec![
            Box::new(|_| self.policy(candidate)),
            Box::new(|_| self.parse(candidate)),
            Box::new(|_| self.incident(&bench)),
            Box::new(|judged| self.regression_test(candidate, &bench, judged)),
            Box::new(|judged| self.suite(candidate, judged)),
            Box::new(|_| self.replay(&bench, false)),
            Box::new(|_| self.replay(&bench, true)),
        ];
        for step in steps {
            let check = step(&mut judged);
            let failed = (check.status == CheckStatus::Failed).then(|| format!("{}: {}", check.name, check.detail));
            judged.verdict.checks.push(check);
            if let Some(reason) = failed {
                judged.verdict.judgement = Judgement::Rejected { reason };
                break;
            }
        }
        judged
    }

    fn policy(&self, candidate: &Candidate) -> Check {
        let lines = self.view.repo.changed_lines(&self.commit, &candidate.patch);
        let sources = |path: &str| self.view.repo.file_at(&self.commit, path).ok().flatten();
        policy::check(self.tool, candidate, &sources, lines.unwrap_or(usize::MAX), self.view.config.validate.patch_lines)
    }

    fn parse(&self, candidate: &Candidate) -> Check {
        for (path, edit) in &candidate.patch.edits {
            let FileEdit::Write(content) = edit else { continue };
            if let Err(why) = lang::parses(lang::detect(path, content), content) {
                return failed("parse", format!("`{path}`: {why}"));
            }
        }
        passed("parse", format!("{} file(s)", candidate.patch.edits.len()))
    }

    fn incident(&self, bench: &Bench<'_>) -> Check {
        let runs = self.view.config.validate.incident_runs.max(1);
        let incident = &self.evidence.incident;
        let solved =
            bench.each(incident, |recording| (0..runs).all(|_| bench.replay(recording).solves(recording)), |solved| !solved);
        let held_out = incident.iter().filter(|recording| recording.execution.input.is_held_out()).count();
        match solved.iter().position(|answer| *answer == Some(false)) {
            Some(at) => {
                let shown = incident.get(at).map(|recording| recording.shown(60)).unwrap_or_default();
                failed("incident", format!("`{shown}` still fails"))
            }
            None => passed(
                "incident",
                format!("{} failing inputs succeed in {runs} of {runs} runs each ({held_out} of them held out)", incident.len()),
            ),
        }
    }

    fn regression_test(&self, candidate: &Candidate, bench: &Bench<'_>, judged: &mut Judged) -> Check {
        const NAME: &str = "regression test";
        let Some(recording) = self.evidence.smallest_incident() else {
            return self.suite_instead(NAME, "no recorded input can be written into a test");
        };
        let answer = bench.replay(recording);
        let Some(test) = regression_test::write(self.tool, recording, &answer, &self.id8) else {
            return self.suite_instead(NAME, "no test can be generated for this language or input");
        };
        let with_test = self.bench.with(&test.patch);
        if with_test.command(&test.command).exit == Exit::Code(0) {
            return failed(NAME, "the generated test passes without the patch, so it tests nothing".into());
        }
        let run = self.bench.with(&candidate.patch.clone().and(test.patch.clone())).command(&test.command);
        if run.exit != Exit::Code(0) {
            return failed(NAME, format!("the generated test fails with the patch: {}", last_line(&run.stderr)));
        }
        let name = test.patch.edits.keys().next().cloned().unwrap_or_default();
        judged.test = Some(test.patch);
        passed(NAME, format!("`{name}` fails without the patch and passes with it"))
    }

    /// Red tests of the tool's own are as good as a generated one: the next check demands that they pass.
    fn suite_instead(&self, name: &str, why: &str) -> Check {
        if self.suite_is_red() {
            return passed(name, format!("{why}, but the tool's own tests fail without the patch and are one"));
        }
        skipped(name, why.to_string())
    }

    fn suite(&self, candidate: &Candidate, judged: &mut Judged) -> Check {
        let patch = match &judged.test {
            Some(test) => candidate.patch.clone().and(test.clone()),
            None => candidate.patch.clone(),
        };
        let Some(run) = self.bench.with(&patch).suite() else {
            return skipped("suite", "the tool has no tests of its own".into());
        };
        let before = if self.suite_is_red() { "they failed without it" } else { "as without it" };
        match run.exit {
            Exit::Code(0) => passed("suite", format!("the tool's own tests pass, {before}")),
            exit => failed("suite", format!("the tool's own tests fail ({exit}), {before}: {}", last_line(&run.stderr))),
        }
    }

    fn replay(&self, bench: &Bench<'_>, held_out: bool) -> Check {
        let name = if held_out { "held-out replay" } else { "replay" };
        let old = self.old.get_or_init(|| replay::run_old(&self.bench, &self.evidence.good));
        let recordings: Vec<(&Recording, &OldRun)> = self
            .evidence
            .good
            .iter()
            .zip(old)
            .filter(|(recording, _)| recording.execution.input.is_held_out() == held_out)
            .collect();
        replay::check(name, bench, &recordings)
    }
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

fn check(name: &str, status: CheckStatus, detail: String) -> Check {
    Check { name: name.to_string(), status, detail }
}

fn passed(name: &str, detail: String) -> Check {
    check(name, CheckStatus::Passed, detail)
}

fn failed(name: &str, detail: String) -> Check {
    check(name, CheckStatus::Failed, detail)
}

fn skipped(name: &str, detail: String) -> Check {
    check(name, CheckStatus::Skipped, detail)
}
