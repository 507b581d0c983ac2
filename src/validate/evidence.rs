//! The recordings that a gate works with: distinct inputs, failing and good, seen and held out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::inputs;
use crate::lang::Seen;
use crate::model::{Execution, Investigation, Opportunity, Outcome, Recording, Tool, ToolInput};
use crate::world::View;
use crate::world::store::{Query, Which};

/// Executions looked through for distinct inputs.
const EXECUTIONS_MAX: usize = 2_000;
/// Of one recorded text that a patch is compared with.
const SEEN_BYTES: usize = 8 << 10;
/// Times as many good inputs are looked at for their shapes as are replayed in each half.
const SAMPLED_FROM: usize = 8;
/// Failing inputs that a candidate must answer.
const INCIDENT_MAX: usize = 20;

/// See the module.
pub(super) struct Evidence {
    /// Failing inputs: those that were reproduced, and held-out ones that nobody has looked at.
    pub incident: Vec<Recording>,
    /// Inputs that fail otherwise, and of which somebody has said what they should answer.
    pub others: Vec<Recording>,
    /// Good inputs, a sample spread over the hashes of the inputs.
    pub good: Vec<Recording>,
    pub longest: Duration,
}

impl Evidence {
    pub(super) fn gather(view: &View, tool: &Tool, opportunity: &Opportunity, investigation: &Investigation) -> Result<Evidence> {
        let window = SignedDuration::from_hours(24 * i64::from(view.config.detect.window_days));
        let since = view.clock.now().saturating_sub(window).unwrap_or(Timestamp::UNIX_EPOCH);
        let read = |which| {
            let query = Query {
                tool: Some(&tool.name),
                version: Some(&opportunity.version),
                which,
                since,
                limit: EXECUTIONS_MAX,
                ..Query::default()
            };
            view.store.executions(&query)
        };
        let failing = distinct(read(Which::FailuresLike(opportunity.failure.fingerprint.as_str()))?);
        let successes = read(Which::Only(Outcome::Success))?;
        let longest = successes.iter().map(|execution| execution.duration).max().unwrap_or_default();
        let mut good = distinct(successes);
        let also_good: Vec<String> = good.keys().cloned().collect();
        // Good runs of the versions before tell as much about what must stay: they are replayed on the untouched version first.
        good.extend(distinct(earlier_successes(view, tool, opportunity, since)?));
        let reproduced: Vec<&str> = investigation
            .reproductions
            .iter()
            .filter(|reproduction| reproduction.failed == reproduction.runs)
            .map(|reproduction| reproduction.input.as_str())
            .collect();
        let belongs = |digest: &String, execution: &Execution| {
            reproduced.contains(&digest.as_str()) || (execution.input.is_held_out() && !also_good.contains(digest))
        };
        let marked = read(Which::Only(Outcome::Failure))?.into_iter().filter(|execution| execution.mark.is_some()).collect();
        let mut others = distinct(marked);
        others.retain(|digest, _| !failing.contains_key(digest) && !also_good.contains(digest));
        let incident =
            failing.into_iter().filter(|(digest, execution)| belongs(digest, execution)).map(|(_, execution)| execution);
        let load = |executions: Vec<Execution>| executions.into_iter().map(|e| view.store.load(e)).collect::<Result<Vec<_>, _>>();
        // Maps are ordered by hash, so taking from the front is a random sample. Shapes are found among several times what is used: loading
        // all that was ever recorded would follow the history.
        let replays = view.config.validate.replays;
        let good = load(good.into_values().take(SAMPLED_FROM * replays).collect())?;
        let good = sample(good, 2 * replays);
        let mut others = load(others.into_values().take(INCIDENT_MAX).collect())?;
        others.retain(|recording| recording.expected.is_some());
        Ok(Evidence { incident: load(incident.take(INCIDENT_MAX).collect())?, others, good, longest })
    }

    /// All inputs, failing ones first.
    pub(super) fn inputs(&self) -> Vec<ToolInput> {
        self.incident.iter().chain(&self.good).map(Recording::given).collect()
    }

    /// All that a patch could know by heart.
    pub(super) fn seen(&self) -> Seen {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..SEEN_BYTES).unwrap_or(bytes)).into_owned();
        let mut seen = Seen::default();
        for recording in self.incident.iter().chain(&self.good) {
            seen.inputs.extend(recording.execution.input.args.iter().map(|arg| text(&arg.0)));
            seen.inputs.push(text(&recording.stdin));
            // What a failed run printed is nothing that anybody wants to print.
            let is_good = recording.execution.outcome == Outcome::Success;
            let output = recording.expected.as_ref().or(is_good.then_some(&recording.stdout));
            seen.outputs.extend(output.map(|output| text(output)));
        }
        seen
    }

    /// The failing input that is easiest to read: the one a regression test is made of. One of the seen half, of which each has failed again
    /// on the untouched version, where there is any.
    pub(super) fn smallest_incident(&self) -> Option<&Recording> {
        let size = |recording: &&Recording| {
            recording.stdin.len() + recording.execution.input.args.iter().map(|arg| arg.0.len() + 1).sum::<usize>()
        };
        self.incident.iter().min_by_key(|recording| (recording.execution.input.is_held_out(), size(recording)))
    }
}

/// A stratified sample: every shape of input has its turn, so that rare ones are in it too. Within a shape the order is that of the
/// inputs' hashes, which is random and always the same.
fn sample(good: Vec<Recording>, limit: usize) -> Vec<Recording> {
    let mut strata: BTreeMap<String, VecDeque<Recording>> = BTreeMap::new();
    for recording in good {
        strata.entry(inputs::shape(&recording.given())).or_default().push_back(recording);
    }
    let mut chosen = Vec::new();
    while chosen.len() < limit && !strata.is_empty() {
        for stratum in strata.values_mut() {
            chosen.extend(stratum.pop_front());
        }
        strata.retain(|_, stratum| !stratum.is_empty());
    }
    chosen.truncate(limit);
    chosen
}

fn earlier_successes(view: &View, tool: &Tool, opportunity: &Opportunity, since: Timestamp) -> Result<Vec<Execution>> {
    let query = Query {
        tool: Some(&tool.name),
        version: None,
        which: Which::Only(Outcome::Success),
        since,
        limit: EXECUTIONS_MAX,
        ..Query::default()
    };
    let mut executions = view.store.executions(&query)?;
    executions.retain(|execution| execution.version != opportunity.version);
    Ok(executions)
}

fn distinct(executions: Vec<Execution>) -> BTreeMap<String, Execution> {
    let mut distinct = BTreeMap::new();
    for execution in executions.into_iter().filter(|execution| execution.input.is_whole()) {
        distinct.entry(execution.input.digest()).or_insert(execution);
    }
    distinct
}
