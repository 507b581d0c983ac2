//! `fractal bench monitor`: the rule that watches what landed, beside the naive rules of other tools, on the same seeded streams.
//!
//! Owns which scenes are played and how the result is told. The streams and the rules are in `stats::streams`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::in_parallel;
use crate::cli::{Outcome, Output, render};
use crate::stats::streams::{Dice, Rule, Scene, Tally};

const NOTES: &str = "Every stream is a past of the version before and 2,000 runs of the new one, looked at after each of them. The first table \
is of versions that are as good as the one before: what it counts are false reverts. In an outage, which begins once in 500 runs and lasts 15 in \
the mean, every run fails. The second is of versions that are worse: how many were reverted, and after how many runs in the mean.\n\n\
A replay repeats 95 of 100 failures; the others fail every second time on either version. Argo Rollouts is set up as windows of ten runs, bad below the \
rate before less 0.1, with `failureLimit: 3`.";

/// Watch healthy and broken versions by our rule and by those of other tools, and count false reverts and delays
#[derive(Args)]
#[command(after_help = NOTES)]
pub(super) struct MonitorBench {
    /// Streams for each scene
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// The same seed gives the same streams
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs of the version before
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=2000))]
    baseline: u64,
    /// Streams at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    #[command(flatten)]
    output: Output,
}

/// Success rates before and after, and whether there are outages.
const HEALTHY: [(f64, bool); 5] = [(0.7, false), (0.95, false), (0.99, false), (0.95, true), (0.99, true)];
const WORSE: [(f64, f64); 5] = [(0.95, 0.85), (0.95, 0.5), (0.99, 0.95), (0.9, 0.7), (0.7, 0.5)];
/// How often an outage begins, and how long it lasts.
const OUTAGE: (f64, f64) = (1.0 / 500.0, 15.0);
const HORIZON: usize = 2000;
const REPRODUCIBLE: f64 = 0.95;
/// Streams of one step of the progress bar.
const PART: u64 = 20;

/// One rule on the streams of one scene.
#[derive(Serialize)]
struct Answer {
    rule: &'static str,
    before: f64,
    after: f64,
    outages: bool,
    baseline_runs: u64,
    #[serde(flatten)]
    found: Found,
}

#[derive(Serialize)]
struct Found {
    streams: u64,
    /// Share that was reverted.
    reverted: f64,
    /// Share that a person was asked about.
    unconfirmed: f64,
    /// Mean number of runs until a revert.
    runs_until: Option<f64>,
}

impl MonitorBench {
    pub(super) fn run(self) -> Outcome {
        let scene = |before, after, outages: bool| Scene {
            before,
            after,
            baseline_runs: self.baseline,
            outage: outages.then_some(OUTAGE),
            reproducible: REPRODUCIBLE,
            horizon: HORIZON,
        };
        let healthy = HEALTHY.iter().map(|(rate, outages)| scene(*rate, *rate, *outages));
        let scenes: Vec<Scene> = healthy.chain(WORSE.iter().map(|(before, after)| scene(*before, *after, false))).collect();
        let parts: Vec<(usize, u64)> =
            (0..scenes.len()).flat_map(|at| (0..self.runs.div_ceil(PART)).map(move |part| (at, part * PART))).collect();
        let watched = |(at, from): &(usize, u64)| {
            let streams = *from..(from + PART).min(self.runs);
            (*at, streams.fold(Tallies::default(), |tallies, stream| self.watch(*at, &scenes[*at], stream, tallies)))
        };
        let mut tallies = vec![Tallies::default(); scenes.len()];
        for (at, part) in in_parallel(&parts, self.jobs, watched, |(at, _)| told(&scenes[*at])) {
            for (sum, part) in tallies[at].iter_mut().zip(part) {
                *sum = sum.plus(part);
            }
        }
        match self.output.json {
            true => say_json(&scenes, &tallies),
            false => self.say(&scenes, &tallies),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One stream, seen by every rule.
    fn watch(&self, scene_number: usize, scene: &Scene, number: u64, mut tallies: Tallies) -> Tallies {
        // Rules with replays of their own must not change what the next stream looks like.
        let mut dice = Dice::of(self.seed, (scene_number as u64) << 32 | number);
        let stream = scene.stream(&mut dice);
        for (tally, rule) in tallies.iter_mut().zip(Rule::ALL) {
            tally.add(rule.watch(&stream, &mut dice.clone()));
        }
        tallies
    }

    fn say(&self, scenes: &[Scene], tallies: &[Tallies]) {
        let (healthy, worse) = tallies.split_at(HEALTHY.len());
        let cell = |tally: &Tally, delay: bool| match found(tally).runs_until.filter(|_| delay) {
            Some(runs) => format!("{} {runs:.0}", percent(tally)),
            None => percent(tally),
        };
        let rows = |part: &[Tallies], delay: bool| {
            let row = |(at, rule): (usize, Rule)| {
                let mut row: [String; 6] = Default::default();
                row[0] = name(rule).to_string();
                row[1..].iter_mut().zip(part).for_each(|(text, tallies)| *text = cell(&tallies[at], delay));
                row
            };
            Rule::ALL.into_iter().enumerate().map(row).collect::<Vec<_>>()
        };
        let heads: Vec<String> = scenes.iter().map(told).collect();
        let head = |from: usize| {
            let mut head = ["rule"; 6];
            head[1..].iter_mut().zip(&heads[from..]).for_each(|(text, head)| *text = head);
            head
        };
        render::say("Versions as good as the one before: how many are reverted");
        render::say(&render::table(head(0), rows(healthy, false)));
        render::say("Worse versions: how many are reverted, and after how many runs");
        render::say(&render::table(head(HEALTHY.len()), rows(worse, true)));
        let sum = |part: &[Tallies]| part.iter().map(|tallies| tallies[0]).fold(Tally::default(), Tally::plus);
        render::say(&format!(
            "{} streams for each scene, {} runs before, seed {}; with replays a person is asked about {} of {} healthy and {} of {} worse versions",
            self.runs,
            self.baseline,
            self.seed,
            sum(healthy).unconfirmed,
            sum(healthy).streams,
            sum(worse).unconfirmed,
            sum(worse).streams
        ));
    }
}

/// Of every rule, in their order.
type Tallies = [Tally; Rule::ALL.len()];

fn say_json(scenes: &[Scene], tallies: &[Tallies]) {
    for (scene, tallies) in scenes.iter().zip(tallies) {
        for (rule, tally) in Rule::ALL.into_iter().zip(tallies) {
            render::say_json(&Answer {
                rule: name(rule),
                before: scene.before,
                after: scene.after,
                outages: scene.outage.is_some(),
                baseline_runs: scene.baseline_runs,
                found: found(tally),
            });
        }
    }
}

fn found(tally: &Tally) -> Found {
    let share = |count: u64| count as f64 / tally.streams.max(1) as f64;
    Found {
        streams: tally.streams,
        reverted: share(tally.reverted),
        unconfirmed: share(tally.unconfirmed),
        runs_until: (tally.reverted > 0).then(|| tally.runs as f64 / tally.reverted as f64),
    }
}

fn percent(tally: &Tally) -> String {
    match 100.0 * found(tally).reverted {
        share if share > 0.0 && share < 9.95 => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    }
}

fn told(scene: &Scene) -> String {
    match (scene.before == scene.after, scene.outage.is_some()) {
        (true, true) => format!("{}, outages", scene.before),
        (true, false) => scene.before.to_string(),
        _ => format!("{}→{}", scene.before, scene.after),
    }
}

fn name(rule: Rule) -> &'static str {
    match rule {
        Rule::Paired => "Fractal",
        Rule::Episodes => "  without replays",
        Rule::Alarm => "  nor episodes",
        Rule::Threshold => "rate < 0.7",
        Rule::Relative => "rate < 0.9 × before",
        Rule::ZTest => "z-test at 1 %",
        Rule::Consecutive => "5 failures in a row",
        Rule::Windows => "Argo-like windows",
    }
}
