//! What detection sees in rollups of a real store: drift, bursts, forecasts, latency, and few innocent tools among many.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fractal::config::LowSuccess;
use fractal::detect::detect;
use fractal::model::{CommitId, ExecutionId, Exit, Failure, Opportunity, Outcome, Priority, Signal, Version};
use fractal::world::View;
use fractal::world::catalog::catalog;
use fractal::world::clock::Clock;
use fractal::world::git::Before;
use fractal::world::store;
use fractal::{CycleReport, Loop};

use crate::store::truth::{BEGIN, HOUR, at, run};
use crate::support::Repository;

const TOOL: &str = "name = \"report\"\npaths = [\"report.py\"]\nrun = [\"python3\", \"report.py\"]\nsuccess = { exit = [0] }\n";
/// Half past some hour.
const NOW: i64 = BEGIN + 1000 * HOUR + HOUR / 2;

/// A tool, its recorded runs, and a clock that stands still.
struct Scene {
    repository: Repository,
    view: View,
    now: Arc<AtomicI64>,
    number: u64,
}

impl Scene {
    fn new() -> Scene {
        let repository = Repository::holding(&[("report.py", "print(1)\n")], TOOL);
        let now = Arc::new(AtomicI64::new(NOW));
        let mut view = View::open(&repository.root(), Clock::Fixed(now.clone())).expect("opens");
        view.store = store::open(&view.repo, &view.config).expect("opens");
        Scene { repository, view, now, number: 0 }
    }

    fn tip(&self) -> CommitId {
        self.view.repo.tip(&self.view.base).expect("a tip")
    }

    fn version(&self) -> Version {
        self.view.repo.version_at(&self.tip(), &["report.py".to_string()]).expect("reads").expect("is there")
    }

    /// Runs within the hour that began so many hours ago, the failing ones among the others, with the kinds in turn.
    fn hour(&mut self, ago: i64, runs: u64, kinds: &[&str]) {
        let version = self.version();
        let failing = kinds.len() as u64;
        for n in 0..runs {
            // The n-th run fails where the number of failures so far goes up.
            let (before, after) = (n * failing / runs, (n + 1) * failing / runs);
            let kind = (after > before).then(|| kinds[before as usize]);
            let ended = NOW - HOUR / 2 - ago * HOUR + (n as i64 + 1) * (HOUR / 2 / (runs as i64 + 1));
            self.add("report", &version, ended, kind, None);
        }
    }

    fn add(&mut self, tool: &str, version: &Version, ended: i64, kind: Option<&str>, duration: Option<Duration>) {
        self.number += 1;
        let outcome = if kind.is_some() { Outcome::Failure } else { Outcome::Success };
        let mut new = run(tool, &version.0, ended, self.number, outcome);
        let execution = &mut new.execution;
        execution.id = ExecutionId::derived(at(ended), &[tool.as_bytes(), &self.number.to_le_bytes()]);
        execution.caller = "exec".into();
        execution.failure = kind.map(|kind| Failure::new(&Exit::Code(1), Some(kind.into()), "it broke", Vec::new()));
        execution.duration = duration.unwrap_or(execution.duration);
        self.view.store.record(&new).expect("stores");
    }

    fn detected(&self) -> Vec<Opportunity> {
        let tools = catalog(&self.view.repo, &self.view.config, &self.tip()).expect("has tools");
        detect(&self.view, &tools.tools, &self.tip()).expect("detects").opportunities
    }

    fn signals(&self) -> Vec<Signal> {
        self.detected().into_iter().flat_map(|opportunity| opportunity.signals).collect()
    }

    fn cycle(&self) -> CycleReport {
        let engine = Loop::builder(self.repository.root()).clock(Clock::Fixed(self.now.clone())).build().expect("builds");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(engine.run_cycle()).expect("runs")
    }
}

#[test]
fn a_version_that_begins_to_fail_more_drifts_although_it_mostly_succeeds() {
    let mut scene = Scene::new();
    for ago in (6..106).rev() {
        scene.hour(ago, 10, if ago % 4 == 0 { &["Old"] } else { &[] });
    }
    assert!(!scene.signals().iter().any(|signal| matches!(signal, Signal::Drift { .. })));
    for ago in (0..6).rev() {
        scene.hour(ago, 10, &["Old", "New", "Old", "New"]);
    }
    let detected = scene.detected();
    let drift = |opportunity: &Opportunity| opportunity.signals.iter().find(|s| matches!(s, Signal::Drift { .. })).cloned();
    let Some(Signal::Drift { before, after, since, log_evidence }) = drift(&detected[0]) else { panic!("{detected:#?}") };
    assert_eq!((before.runs, after.runs, after.failures), (1000, 60, 24));
    assert_eq!(since, at(NOW - HOUR / 2 - 5 * HOUR));
    assert!(log_evidence > 12.9);
    assert!(!scene.signals().iter().any(|signal| matches!(signal, Signal::LowSuccess { .. })), "most runs succeed");
    // Both kinds failed since; neither may be repaired without its own failing inputs.
    assert_eq!(detected.iter().filter(|opportunity| drift(opportunity).is_some() && opportunity.failures > 0).count(), 2);
    scene.view.config.detect.drift = false;
    assert!(!scene.signals().iter().any(|signal| matches!(signal, Signal::Drift { .. })));
}

#[test]
fn a_burst_is_more_than_there_should_be_and_of_more_than_one_kind() {
    let usual =
        |scene: &mut Scene| (30..230).rev().for_each(|ago| scene.hour(ago, 10, if ago % 10 == 0 { &["Old"] } else { &[] }));
    let burst = |scene: &Scene| scene.signals().into_iter().find(|signal| matches!(signal, Signal::Burst { .. }));
    let mut scene = Scene::new();
    usual(&mut scene);
    (0..20).rev().for_each(|ago| scene.hour(ago, 10, if ago % 5 > 0 { &["A"] } else { &[] }));
    assert_eq!(burst(&scene), None, "one kind, one caller");
    scene.hour(1, 10, &["B"]);
    let found = burst(&scene).expect("two kinds");
    let Signal::Burst { failures, runs, expected, p, .. } = found else { panic!("{found:?}") };
    assert!((failures, runs) == (17, 210) && expected < 6.0 && p <= 0.001, "{found:?}");
    let mut busy = Scene::new();
    usual(&mut busy);
    (0..20).rev().for_each(|ago| busy.hour(ago, 50, if ago % 2 == 0 { &["A", "B"][(ago / 2 % 2) as usize..][..1] } else { &[] }));
    assert_eq!(burst(&busy), None, "as many failures of a thousand runs are usual");
}

#[test]
fn an_outage_in_which_everything_fails_in_one_way_is_one_trial() {
    let mut scene = Scene::new();
    (3..103).rev().for_each(|ago| scene.hour(ago, 10, if ago % 10 == 0 { &["Old"] } else { &[] }));
    scene.hour(2, 30, &["Away"; 30]);
    let names: Vec<Signal> = scene.signals();
    assert!(names.iter().all(|signal| matches!(signal, Signal::RecentFailures { .. })), "{names:#?}");
}

#[test]
fn a_success_rate_that_falls_is_foretold_before_it_is_low() {
    let mut scene = Scene::new();
    for ago in (0..96).rev() {
        // From none of 20 to four of 20.
        let failures = ((96 - ago) as f64 / 96.0 * 4.4) as usize;
        scene.hour(ago, 20, &["Full"; 4][..failures]);
    }
    let signals = scene.signals();
    assert!(!signals.iter().any(|signal| matches!(signal, Signal::LowSuccess { .. })), "{signals:#?}");
    let forecast = signals.into_iter().find(|signal| matches!(signal, Signal::Forecast { .. }));
    let Some(Signal::Forecast { now, then, threshold, hours, probability }) = forecast else { panic!("nothing foretold") };
    assert!((0.7..0.9).contains(&now) && then < 0.7 && (threshold, hours) == (0.7, 72) && probability >= 0.9, "{now} {then}");
    scene.view.config.detect.forecast_hours = 0;
    assert!(!scene.signals().iter().any(|signal| matches!(signal, Signal::Forecast { .. })));
}

/// Runs of both versions: how long each takes, and whether it fails.
fn two_versions(old: impl Fn(u64) -> (u64, bool), new: impl Fn(u64) -> (u64, bool)) -> Scene {
    let mut scene = Scene::new();
    let add = |scene: &mut Scene, ago: i64, of: &dyn Fn(u64) -> (u64, bool)| {
        let version = scene.version();
        for n in 0..200 {
            let (millis, fails) = of(n);
            let ended = NOW - ago * HOUR + n as i64 * 1000;
            scene.add("report", &version, ended, fails.then_some("Short"), Some(Duration::from_millis(millis)));
        }
    };
    add(&mut scene, 10, &old);
    scene.repository.write("report.py", "import time\nprint(1)\n");
    scene.repository.commit("more work");
    add(&mut scene, 5, &new);
    scene
}

#[test]
fn a_slower_version_is_told_to_a_person_and_never_repaired() {
    let scene = two_versions(|n| (100 + n % 40, false), |n| (160 + n % 40, false));
    let detected = scene.detected();
    let [opportunity] = &detected[..] else { panic!("{detected:#?}") };
    assert_eq!((opportunity.failures, opportunity.priority), (0, Priority::Low));
    let [Signal::Slower { quantile, before, after, .. }] = &opportunity.signals[..] else { panic!("{opportunity:#?}") };
    assert!(*quantile == 0.5 && (110.0..130.0).contains(before) && (170.0..190.0).contains(after), "{opportunity:#?}");

    assert_eq!(scene.cycle().declined, 1);
    let improvement = scene.repository.improvement();
    assert_eq!(scene.repository.stage(), "declined", "{improvement:#}");
    let told = improvement.to_string();
    assert!(told.contains("half of the runs take longer than") && told.contains("no run fails"), "{told}");
    assert!(scene.repository.branches().is_empty() && scene.repository.bot_commits().is_empty());
    assert_eq!(scene.cycle().opportunities, 0, "one is told once");
}

#[test]
fn a_repair_that_goes_on_where_it_broke_off_is_not_slower() {
    let broken = |n: u64| if n.is_multiple_of(2) { (5, true) } else { (100 + n % 40, false) };
    let scene = two_versions(broken, |n| (100 + n % 40, false));
    assert_eq!(scene.signals(), []);
}

#[test]
fn that_a_tool_without_failures_is_slower_is_seen_within_a_day() {
    let scene = two_versions(|n| (100 + n % 40, false), |n| (100 + n % 40, false));
    assert_eq!(scene.cycle().tools_analysed, 1);
    // Later runs are slow, and no failure makes them news.
    let mut scene = scene;
    let version = scene.version();
    for n in 0..2000 {
        scene.add("report", &version, NOW - HOUR + n, None, Some(Duration::from_millis(300)));
    }
    assert_eq!(scene.cycle().tools_analysed, 0);
    scene.now.fetch_add(23 * HOUR, Ordering::SeqCst);
    assert_eq!(scene.cycle().tools_analysed, 0);
    scene.now.fetch_add(HOUR, Ordering::SeqCst);
    let report = scene.cycle();
    assert_eq!((report.tools_analysed, report.declined), (1, 1));
    assert_eq!(scene.cycle().tools_analysed, 0);
}

#[test]
fn among_many_tools_the_same_counts_are_less_surprising() {
    let mut scene = Scene::new();
    scene.hour(3, 20, &["Bad"; 11]);
    let is_low = |scene: &Scene| scene.signals().iter().any(|signal| matches!(signal, Signal::LowSuccess { .. }));
    scene.view.config.detect.rule = LowSuccess::Bh;
    assert!(is_low(&scene));
    for tool in 0..60 {
        for n in 0..20 {
            let name = format!("tool-{tool}");
            scene.add(&name, &Version("v".into()), NOW - 2 * HOUR + n, (n % 5 == 0).then_some("Rare"), None);
        }
    }
    assert!(!is_low(&scene), "the other tools have no news, and count");
    for (rule, low) in [(LowSuccess::Rate, true), (LowSuccess::Wilson, true), (LowSuccess::EBh, false)] {
        scene.view.config.detect.rule = rule;
        assert_eq!(is_low(&scene), low, "{rule:?}");
    }
}

#[test]
fn the_version_before_is_the_newest_one_that_is_wanted_and_history_tells_which_commits_it_has() {
    let scene = Scene::new();
    let (repository, repo) = (&scene.repository, &scene.view.repo);
    let paths = ["report.py".to_string()];
    let mut versions = vec![scene.version()];
    let mut commits = vec![scene.tip()];
    for (path, text) in
        [("report.py", "print(2)\n"), ("notes.txt", "two\n"), ("report.py", "print(3)\n"), ("notes.txt", "three\n")]
    {
        repository.write(path, text);
        repository.git(&["add", path]);
        repository.commit("a step");
        versions.push(scene.version());
        commits.push(scene.tip());
    }
    let before = |limit, wanted: &Version| {
        let wanted = |version: &Version| version == wanted;
        repo.versions_before(&scene.tip(), &[Before { paths: &paths, limit, wanted: &wanted }]).expect("reads").remove(0)
    };
    assert_eq!(before(8, &versions[0]), Some((commits[3].clone(), versions[0].clone())));
    assert_eq!(before(8, &versions[1]), Some((commits[3].clone(), versions[1].clone())));
    assert_eq!((before(1, &versions[0]), before(8, &versions[4])), (None, None), "one is too far back, the other no earlier one");
    // A commit beside the base, and one that nobody has.
    repository.git(&["branch", "beside"]);
    repository.write("notes.txt", "elsewhere\n");
    repository.git(&["add", "notes.txt"]);
    repository.commit("beside the base");
    let (beside, base) = (scene.tip(), commits[4].clone());
    let unknown = CommitId("0123456789012345678901234567890123456789".into());
    let asked = commits.iter().cloned().chain([beside, unknown]);
    assert_eq!(repo.contained(&base, asked).expect("reads"), commits.iter().cloned().collect());
}
