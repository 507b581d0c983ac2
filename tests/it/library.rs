//! The loop inside another program.

use std::sync::Arc;

use fractal::{CycleError, Loop, Progress};
use tokio_stream::StreamExt as _;

use super::support::Repository;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_program_can_run_cycles_read_the_figures_and_follow_the_events() {
    let repository = Repository::failing();
    runtime().block_on(async {
        let engine = Loop::builder(repository.root()).build().expect("builds");
        let events = engine.events();
        let report = engine.run_cycle().await.expect("runs");
        assert_eq!((report.opportunities, report.proposed, report.landed), (1, 1, 1));
        let stats = engine.stats().expect("reads");
        assert_eq!((stats.cycles_completed, stats.opportunities_detected, stats.improvements_deployed), (1, 1, 1));
        assert!(stats.running && stats.last_check.is_some() && stats.uptime_seconds.is_some());
        drop(engine);
        let told: Vec<Progress> = events.collect().await;
        assert!(matches!(told.first(), Some(Progress::CycleStarted { .. })));
        assert!(told.iter().any(|progress| matches!(progress, Progress::Judged { verdict, .. } if verdict.accepted())));
        assert!(matches!(told.last(), Some(Progress::CycleEnded { .. })));
    });
}

#[test]
fn a_spawned_loop_works_until_it_is_stopped() {
    let repository = Repository::failing();
    runtime().block_on(async {
        let engine = Arc::new(Loop::builder(repository.root()).build().expect("builds"));
        let mut events = engine.events();
        let cycles = engine.clone().spawn();
        while let Some(progress) = events.next().await {
            if matches!(progress, Progress::CycleEnded { .. }) {
                break;
            }
        }
        engine.stop();
        cycles.await.expect("ends by itself");
        assert_eq!(engine.stats().expect("reads").improvements_deployed, 1);
    });
}

#[test]
fn a_dry_run_needs_no_lock_and_two_loops_at_once_are_refused() {
    let repository = Repository::failing();
    let first = Loop::builder(repository.root()).build().expect("builds");
    assert!(matches!(Loop::builder(repository.root()).build(), Err(CycleError::Lock(_))));
    let before = repository.everything();
    let dry = Loop::builder(repository.root()).dry_run(true).build().expect("builds");
    let report = runtime().block_on(dry.run_cycle()).expect("runs");
    assert_eq!((report.proposed, report.actions), (1, 0));
    assert!(before == repository.everything(), "a dry run changes nothing");
    drop(first);
    assert!(Loop::builder(repository.root()).build().is_ok());
}

#[test]
fn a_loop_that_is_stopped_before_it_is_spawned_runs_no_cycle() {
    let repository = Repository::of("calculator", super::support::CALCULATOR, "");
    let engine = Arc::new(Loop::builder(repository.root()).build().expect("builds"));
    engine.stop();
    runtime().block_on(async { engine.clone().spawn().await }).expect("ends");
    assert_eq!(engine.stats().expect("reads").cycles_completed, 0);
}

#[test]
fn a_folder_that_cannot_be_worked_on_is_refused_when_the_loop_is_built() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(Loop::builder(folder.path()).build(), Err(CycleError::World(_))));
}
