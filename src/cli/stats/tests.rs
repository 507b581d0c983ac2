//! What `fractal stats` draws, exactly, from runs that are made here.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::*;
use crate::config::Config;
use crate::model::{Execution, ExecutionId, Exit, Failure, Input, NewExecution, Outcome, Version};
use crate::world::store::{SqliteStore, Store};

const HOUR: i64 = 3_600_000;

fn now() -> Timestamp {
    "2026-03-10T12:30:00Z".parse().expect("a time")
}

/// The `n`-th run of a version so many hours ago.
fn run(tool: &str, version: &str, hours_ago: i64, n: i64, took: u64, fails: bool) -> NewExecution {
    let ended = Timestamp::from_millisecond(now().as_millisecond() - hours_ago * HOUR - n).expect("valid");
    let exit = Exit::Code(i32::from(fails));
    let execution = Execution {
        id: ExecutionId::derived(ended, &[tool.as_bytes(), version.as_bytes(), &n.to_le_bytes()]),
        tool: tool.into(),
        version: Version(format!("{version:0<40}")),
        at: ended,
        duration: Duration::from_millis(took),
        input: Input { args: vec![n.to_string().as_str().into()], stdin: None, cwd: None, truncated: false, withheld: None },
        failure: fails.then(|| Failure::new(&exit, Some("KeyError".into()), "KeyError: \u{1b}[2Jname", vec![])),
        exit,
        outcome: if fails { Outcome::Failure } else { Outcome::Success },
        stdout: None,
        stderr: None,
        caller: "exec".into(),
        mark: None,
    };
    NewExecution { execution, stdin: None, stdout: None, stderr: None, expected: None }
}

/// `a` ran well for eight hours, then nothing for three, then `b` failed three times of four and took four times as long.
fn store() -> SqliteStore {
    let mut store = SqliteStore::in_memory().expect("opens");
    let well = (4..12).flat_map(|hour| (0..5).map(move |n| run("orders", "aaaa", hour, n, 10, hour == 9 && n < 2)));
    let badly = (0..1).flat_map(|hour| (0..12).map(move |n| run("orders", "bbbb", hour, n, 40, n % 4 > 0)));
    let other = (0..3).map(|n| run("backup", "cccc", 2, n, 2_000, false));
    store.record_all(&well.chain(badly).chain(other).collect::<Vec<_>>()).expect("stores");
    store
}

fn drawn(width: usize, glyphs: Glyphs) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
    assert!(git.expect("git runs").success());
    let repo = Repo::open(folder.path()).expect("a repository");
    let since = now().saturating_sub(Duration::from_secs(86_400)).expect("valid");
    let figures = figures::of_tool(&repo, &Config::default(), &store(), "orders", since, now()).expect("reads");
    lines(one(&figures, now(), Look { width, glyphs, paint: Paint::off() }), width, glyphs)
}

fn lines(lines: Vec<String>, width: usize, glyphs: Glyphs) -> String {
    let lines: Vec<String> = lines.iter().map(|line| glyphs.text(line)).collect();
    for line in &lines {
        assert!(line.width() <= width && !line.contains('\u{1b}') && !line.ends_with(' '), "{line:?}");
        assert!(glyphs == Glyphs::Unicode || line.is_ascii(), "{line:?}");
    }
    format!("\n{}\n", lines.join("\n"))
}

#[test]
fn one_tool_by_version_and_over_time() {
    assert_eq!(
        drawn(120, Glyphs::Unicode),
        r#"
orders  since 2026-03-09 12:00 UTC
  runs     52, 11 failed, 2 versions
  last     0 s ago
  success  0.79 (0.66–0.88)
  took     p50 10 ms, p90 40 ms, p99 40 ms

failures  inputs     last  kind                 class     message
      11      10  0 s ago  f1-19bfdcb98ef9eb21  KeyError  [2Jname

   version   runs  0 .. success .. 1  rate  95 %         p50    p90  first run  last run  change               commit
B  bbbb0000    12  ·├──●────┤·······  0.25  0.09–0.53  40 ms  40 ms    0 s ago   0 s ago  worse, 4.0 × slower
A  aaaa0000    40  ·············├─●┤  0.95  0.83–0.99  10 ms  10 ms   11 h ago   4 h ago

success  each hour, UTC
    1.00 ┤████████████      ██████████████████████████████
         │████████████      ██████████████████████████████
         │████████████████████████████████████████████████
         │████████████████████████████████████████████████                  ▂▂▂▂▂▂
    0.00 ┤████████████████████████████████████████████████                  ██████
         └────────────────────────────────────────────────────────────────────────
 version  A                                                                 B
          01:00       03:00       05:00       07:00       09:00       11:00
    runs  ▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃                  ██████
          at most 12 in one

took  median (⣀) up to p90, logarithmic
   40 ms ┤                                                                  ⠉⠉⠉⠉⠉⠉
         │
         │
         │
   10 ms ┤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
         └────────────────────────────────────────────────────────────────────────
 version  A                                                                 B
"#
    );
}

#[test]
fn one_tool_where_there_is_little_room_and_only_ascii() {
    assert_eq!(
        drawn(60, Glyphs::Ascii),
        r#"
orders  since 2026-03-09 12:00 UTC
  runs     52, 11 failed, 2 versions
  last     0 s ago
  success  0.79 (0.66-0.88)
  took     p50 10 ms, p90 40 ms, p99 40 ms

failures  inputs     last  class     message
      11      10  0 s ago  KeyError  [2Jname

   version   runs  rate    p50  change               commit
B  bbbb0000    12  0.25  40 ms  worse, 4.0 x slower
A  aaaa0000    40  0.95  10 ms

success  each hour, UTC
    1.00 +########    ####################
         |########    ####################
         |################################
         |################################            ....
    0.00 +################################            ####
         +------------------------------------------------
 version  A                                           B
          01:00   03:00   05:00   07:00   09:00   11:00
    runs  ::::::::::::::::::::::::::::::::            ####
          at most 12 in one

took  median (o) up to p90, logarithmic
   40 ms +                                            oooo
         |
         |
         |
   10 ms +oooooooooooooooooooooooooooooooo
         +------------------------------------------------
 version  A                                           B
"#
    );
}

#[test]
fn every_width_is_kept() {
    for width in [60, 72, 90, 160, 200, 300] {
        drawn(width, Glyphs::Unicode);
    }
}

#[test]
fn all_tools_the_one_that_is_surely_worst_first() {
    let all = figures::of_all(&store(), Timestamp::UNIX_EPOCH, now()).expect("reads");
    let look = Look { width: 100, glyphs: Glyphs::Unicode, paint: Paint::off() };
    assert_eq!(
        lines(overview(&all, now(), look), 100, Glyphs::Unicode),
        r#"
tool    success over time  rate  95 %       runs  versions    p50  last run  news
orders  ██▅█████···▂       0.79  0.66–0.88    52         2  10 ms   0 s ago  11 failed in 24 h, new
backup  ·········█··       1.00  0.44–1.00     3         1  2.0 s   2 h ago
"#
    );
}

#[test]
fn versions_beyond_the_alphabet_have_no_letter() {
    assert_eq!((letter(0, 26), letter(25, 26), letter(0, 27), letter(26, 27)), ('A', 'Z', '.', 'Z'));
}

#[test]
fn json_says_the_same() {
    let all = figures::of_all(&store(), Timestamp::UNIX_EPOCH, now()).expect("reads");
    let json = serde_json::to_value(&all[0]).expect("JSON");
    assert_eq!(json["tool"], "orders");
    assert_eq!((json["runs"].as_u64(), json["failures"].as_u64(), json["failures_24h"].as_u64()), (Some(52), Some(11), Some(11)));
    assert!((json["success"]["rate"].as_f64().expect("a rate") - 41.0 / 52.0).abs() < 1e-9, "{json}");
}
