//! Cost: what the good inputs take in processor time, time and memory, old and new in pairs.

use std::time::Duration;

use super::trial::{Found, Trial};
use crate::model::{Outcome, ToolInput};
use crate::world::bench::{Bench, Run};

/// Inputs that are compared.
const INPUTS: usize = 8;
/// Differences of less than this in all are noise of the machine, for each input.
const NOISE: Duration = Duration::from_millis(30);
/// Memory that an interpreter may take more without anybody minding.
const NOISE_BYTES: u64 = 32 << 20;

/// One input on both versions.
struct Pair {
    old: Used,
    new: Used,
}

#[derive(Clone, Copy)]
struct Used {
    cpu: Duration,
    time: Duration,
    memory: Option<u64>,
}

impl Used {
    fn of(run: &Run) -> Used {
        Used { cpu: run.cpu, time: run.duration, memory: run.memory }
    }

    /// The smaller of two measurements of the same: what disturbs only ever adds.
    fn least(self, other: Used) -> Used {
        let memory = self.memory.zip(other.memory).map(|(a, b)| a.min(b)).or(self.memory);
        Used { cpu: self.cpu.min(other.cpu), time: self.time.min(other.time), memory }
    }
}

pub(super) fn check(trial: &Trial<'_, '_>) -> Found {
    let gate = trial.gate;
    let config = &gate.view.config.validate;
    let good = gate.evidence.good.iter().map(|recording| recording.given());
    let answered =
        |input: &ToolInput| gate.baseline.of(input).expected.is_some() && trial.pair.run(input).outcome == Outcome::Success;
    let inputs: Vec<ToolInput> = good.filter(answered).take(INPUTS).collect();
    if inputs.is_empty() {
        return Found::skipped("no good input can be repeated");
    }
    let first: Vec<Pair> = inputs
        .iter()
        .map(|input| Pair { old: Used::of(&gate.baseline.of(input).run), new: Used::of(&trial.pair.run(input)) })
        .collect();
    let looks = judge(&first, config.slower / 2.0, config.larger / 2.0);
    if looks.is_none() {
        return Found::passed(format!("{} good inputs take {}", first.len(), told(&first)));
    }
    // Something else may have been busy, or a compiled tool was built: each version again, once it has been, and the smaller number counts.
    let measured = |bench: &Bench<'_>| -> Vec<Used> {
        bench.run(&inputs[0], &[]);
        inputs.iter().map(|input| Used::of(&bench.run(input, &[]))).collect()
    };
    let (old, new) = (measured(&trial.pair.old.bench), measured(&trial.pair.bench));
    let again: Vec<Pair> = first
        .iter()
        .zip(old.into_iter().zip(new))
        .map(|(pair, (old, new))| Pair { old: pair.old.least(old), new: pair.new.least(new) })
        .collect();
    let detail = format!("{} good inputs take {}", again.len(), told(&again));
    match (judge(&again, config.slower, config.larger), judge(&again, config.slower / 2.0, config.larger / 2.0)) {
        (Some(what), _) => Found::failed(format!("{detail}: too much more {what}")),
        (None, Some(what)) => Found::weak(format!("{detail}: more {what} than before")),
        (None, None) => Found::passed(detail),
    }
}

/// What is more than the factors allow.
fn judge(pairs: &[Pair], slower: f64, larger: f64) -> Option<&'static str> {
    let sum = |of: fn(&Used) -> Duration, new: bool| -> Duration {
        pairs.iter().map(|pair| of(if new { &pair.new } else { &pair.old })).sum()
    };
    let count = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
    let exceeds = |of: fn(&Used) -> Duration| {
        let (old, new) = (sum(of, false), sum(of, true));
        new > old + NOISE * count && new.as_secs_f64() > old.as_secs_f64() * slower
    };
    // A leak shows in any of them.
    let memory = pairs.iter().filter_map(|pair| pair.old.memory.zip(pair.new.memory));
    let grows = |(old, new): (u64, u64)| new > old + NOISE_BYTES && new as f64 > old as f64 * larger;
    match () {
        () if exceeds(|used| used.cpu) => Some("processor time"),
        () if exceeds(|used| used.time) => Some("time"),
        () if memory.into_iter().any(grows) => Some("memory"),
        () => None,
    }
}

fn told(pairs: &[Pair]) -> String {
    let milliseconds = |of: fn(&Pair) -> Duration| pairs.iter().map(of).sum::<Duration>().as_millis();
    let most = |of: fn(&Pair) -> Option<u64>| pairs.iter().filter_map(of).max();
    let memory = most(|pair| pair.old.memory).zip(most(|pair| pair.new.memory));
    let memory = memory.map(|(old, new)| format!(", {} and {} MiB", old >> 20, new >> 20)).unwrap_or_default();
    format!("{} ms of processor time before and {} ms now{memory}", milliseconds(|p| p.old.cpu), milliseconds(|p| p.new.cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(old: (u64, u64), new: (u64, u64)) -> Vec<Pair> {
        let used = |(ms, mib): (u64, u64)| Used {
            cpu: Duration::from_millis(ms),
            time: Duration::from_millis(ms),
            memory: Some(mib << 20),
        };
        (0..3).map(|_| Pair { old: used(old), new: used(new) }).collect()
    }

    #[test]
    fn only_what_is_much_more_and_more_than_noise_counts() {
        assert_eq!(judge(&pairs((20, 10), (400, 10)), 4.0, 4.0), Some("processor time"));
        assert_eq!(judge(&pairs((20, 10), (20, 300)), 4.0, 4.0), Some("memory"));
        assert_eq!(judge(&pairs((2, 10), (20, 30)), 4.0, 4.0), None);
        assert_eq!(judge(&pairs((300, 100), (500, 150)), 4.0, 4.0), None);
    }
}
