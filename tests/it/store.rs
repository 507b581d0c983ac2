//! The conformance suite of execution stores: each case runs on SQLite and on PostgreSQL.
//!
//! What only one of them has is in `store/sqlite.rs` and `postgres.rs`.

mod cases;
mod concurrent;
mod removal;
mod sqlite;
mod sums;
pub mod truth;

use std::sync::OnceLock;

use fractal::world::store::{PostgresStore, SqliteStore, Store};

use crate::peers;
use crate::server::Server;

/// A store that was never opened, and how to open it as often as one likes.
pub struct Subject {
    open: Box<dyn Fn() -> Box<dyn Store> + Send + Sync>,
}

impl Subject {
    pub fn open(&self) -> Box<dyn Store> {
        (self.open)()
    }
}

/// The server of all tests that do not kill theirs; `None` when PostgreSQL is not installed.
#[track_caller]
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let fast = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];
    peers::or_not_run(SERVER.get_or_init(|| Server::start(&fast)).as_ref(), "PostgreSQL")
}

fn on_sqlite(case: impl Fn(&Subject)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("executions.db");
    case(&Subject { open: Box::new(move || Box::new(SqliteStore::open(&path).expect("opens"))) });
}

#[track_caller]
fn on_postgres(case: impl Fn(&Subject)) {
    let Some(server) = server() else { return };
    let address = server.address(&server.database());
    case(&Subject { open: Box::new(move || Box::new(PostgresStore::open(&address).expect("opens"))) });
}

macro_rules! suite {
    ($($file:ident: $($case:ident)+;)+) => {
        mod on_sqlite_file {
            $($(
                #[test]
                fn $case() {
                    super::on_sqlite(super::$file::$case);
                }
            )+)+
        }
        mod on_postgresql {
            $($(
                #[test]
                fn $case() {
                    super::on_postgres(super::$file::$case);
                }
            )+)+
        }
    };
}

suite! {
    cases:
        an_execution_comes_back_as_it_was
        delivering_again_changes_nothing
        a_batch_is_stored_whole_or_not_at_all
        large_batches_are_stored_like_small_ones
        names_may_be_long_and_hold_any_character
        an_execution_is_found_by_the_beginning_of_its_identity
        queries_choose_by_tool_version_outcome_caller_and_time
        news_are_failures_and_whatever_runs_in_a_version_that_failed
        news_that_come_during_a_look_stay
        counters_hints_bookmarks_and_size_are_kept;
    sums:
        sums_are_those_of_the_executions_in_whatever_order_and_however_often_they_come
        marks_may_come_in_any_order
        a_marked_run_is_a_failure_in_every_sum
        quantiles_of_durations_come_from_the_hours
        sums_since_a_time_begin_with_its_hour;
    removal:
        old_hours_go_and_each_tool_may_have_its_own_limit
        the_oldest_hours_go_when_there_is_no_room
        what_is_forgotten_is_gone_and_stays_away
        a_pattern_is_looked_for_in_everything_that_is_kept
        executions_are_sent_once_and_what_was_received_is_not_sent_on
        what_would_be_forgotten_and_what_was_is_told
        segments_that_are_nowhere_any_more_are_not_remembered
        a_mark_that_was_received_is_not_sent_on;
    concurrent:
        many_writers_at_once_lose_nothing_and_count_nothing_twice
        the_same_executions_from_many_writers_are_stored_once
        writers_go_on_while_hours_are_settled_marked_and_removed;
}
