//! What a gate that ran somewhere else says of a candidate, looked at again without running anything: what can be known from the files and
//! the recordings is found out anew, and only how the runs ended is believed.
//!
//! The test is not taken over but written again, from the recording that is here. The level follows from the checks here, as it always does.

use anyhow::Result;

use super::evidence::Evidence;
use super::judge::{self, Step};
use super::plan::Plan;
use super::regression_test::{Recipe, Subject, again};
use super::{Judged, parse, policy, trust};
use crate::model::{Candidate, Character, Check, CheckStatus, Investigation, Opportunity, Tool};
use crate::world::View;
use crate::world::bench;

/// Bytes of one text of a check.
const TEXT_MAX: usize = 16 << 10;

/// What is said of a candidate.
pub struct Claim<'a> {
    pub candidate: &'a Candidate,
    pub checks: &'a [Check],
    pub recipe: Option<&'a Recipe>,
}

/// The verdict that follows from a claim, or why the claim cannot be true.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn admit(
    view: &View,
    (tool, character): (&Tool, &Character),
    opportunity: &Opportunity,
    investigation: &Investigation,
    claim: &Claim<'_>,
) -> Result<Result<Judged, String>> {
    let Claim { candidate, checks, recipe } = claim;
    let evidence = Evidence::gather(view, tool, opportunity, investigation)?;
    let seen = evidence.seen();
    let own = [
        policy(view, tool, &investigation.commit, candidate, &seen).named(Step::Policy.name()),
        parse::check(candidate).named(Step::Parse.name()),
    ];
    if let Some(failed) = own.iter().find(|check| check.status == CheckStatus::Failed) {
        return Ok(Err(format!("{}: {}", failed.name, failed.detail)));
    }
    let texts = checks.iter().flat_map(|check| check.listed.iter().chain([&check.name, &check.detail]));
    if texts.into_iter().any(|text| text.len() > TEXT_MAX) {
        return Ok(Err(format!("a check says more than {} KiB", TEXT_MAX >> 10)));
    }
    let is_own = |check: &&Check| own.iter().any(|own| own.name == check.name);
    let claimed = checks.iter().filter(|check| !is_own(check)).cloned();
    let verdict = judge::judge(own.iter().cloned().chain(claimed).collect(), trust(candidate), Plan::of(character).words);
    let tested = |check: &Check| check.name == Step::RegressionTest.name() && check.status == CheckStatus::Passed;
    let is_red = investigation.suite.as_ref().is_some_and(|suite| !suite.passed);
    let test = match recipe {
        None if !is_red && checks.iter().any(tested) => {
            return Ok(Err("it is said to have a regression test, which is missing".into()));
        }
        None => None,
        Some(recipe) => {
            let files = match bench::files(view, tool, &investigation.commit) {
                Ok(files) => files,
                Err(bench::BenchError::World(error)) => return Err(error),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let subject = |recording| Subject { tool, recording, id8: opportunity.id.short(), files: &files };
            let written = evidence.smallest_incident().and_then(|recording| again(&subject(recording), recipe));
            if written.is_none() {
                return Ok(Err("its regression test is not one that is written here for what is recorded here".into()));
            }
            written
        }
    };
    Ok(Ok(Judged { verdict, test, recipe: recipe.cloned() }))
}
