//! Executions from JUnit XML, the form in which test runners report: a test suite is a tool, and each run of a test is an execution.
//!
//! | in the file | here |
//! |---|---|
//! | the outermost `testsuite` with a name, else `testsuites` | the tool, unless `--tool` names it |
//! | `classname` and `name` of a `testcase` | the one argument, `CLASS::NAME`: what was run |
//! | nothing | success |
//! | `failure` | failure, exit 1; of several the first |
//! | `error` | failure, exit 2: an exception that no assertion made, in the test or in what it needs. The suite did not pass, and most of them are faults of the code; an investigation tells a missing host or module from those |
//! | `skipped`, the `status` or `result` of a case that did not run | no execution. Also a test that was expected to fail |
//! | `flakyFailure`, `flakyError` | a failed execution each, before the success |
//! | `rerunFailure`, `rerunError` | a failed execution each, after the failure |
//! | a case of pytest without content that comes again | a failed execution: that is how pytest-rerunfailures reports |
//! | `timestamp` of the case, else of the suite plus the times of the cases before | the start; without a zone it is UTC |
//! | `system-out`, `system-err` of a case | its output |
//!
//! What names a run (so that reading a file again changes nothing) is the tool, the suites, their `timestamp` and `hostname`, the case,
//! and which run of the case it is. Deliberately not here: versions, opening files.

mod xml;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use self::xml::{Attempt, Case, Part, Suite, Turn};
use super::import::{BadDocument, Imported};
use super::observed::{Bytes, Observed, RunName, Said};
use crate::model::{BlobId, Exit, Outcome, Version, clean_tool_name};

/// Renamed suites that are named.
const RENAMED: usize = 10;
/// Bytes of the names of all suites around a case: each of its runs carries them.
const PATH: usize = 2 << 10;
/// Reruns of a case of pytest that are given the reason of the last run, and how much of it, in bytes.
const REASONS: u32 = 10;
const REASON: usize = 64 << 10;

/// What the file does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// Instead of the suite's name.
    pub tool: Option<&'a str>,
    /// When the tests ran whose time is not in the file.
    pub at: Option<Timestamp>,
    pub caller: Option<&'a str>,
}

/// Reads a report. The version of each run is left `unknown`.
///
/// # Errors
/// When it is no JUnit XML, or lacks what no wish says.
pub fn read(bytes: &[u8], wishes: &Wishes<'_>) -> Result<Imported, BadDocument> {
    let root = xml::read(bytes)?;
    let pytest = root.name == "pytest tests";
    let mut report = Report { bytes, wishes, pytest, runs: Vec::new(), seen: HashMap::new(), said: Remarks::default() };
    let nameless = Around::default();
    let clock = report.clock(root.timestamp.as_deref()).or(wishes.at);
    report.suite(&root, &nameless, clock)?;
    Ok(Imported { runs: report.runs, remarks: report.said.texts() })
}

/// What is said for the whole file once.
#[derive(Default)]
struct Remarks {
    skipped: usize,
    zoneless: bool,
    silent_reruns: usize,
    renamed: BTreeMap<String, String>,
}

impl Remarks {
    fn texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        if self.skipped > 0 {
            texts.push(format!("left out: {} skipped", self.skipped));
        }
        if self.silent_reruns > 0 {
            let count = self.silent_reruns;
            texts.push(format!(
                "pytest does not write why {count} runs failed that were followed by another: taken as the last one"
            ));
        }
        if self.zoneless {
            texts.push("times without a zone are taken as UTC".to_string());
        }
        let more = self.renamed.len().saturating_sub(RENAMED);
        texts.extend(self.renamed.into_iter().take(RENAMED).map(|(suite, tool)| format!("suite `{suite}` is the tool `{tool}`")));
        if more > 0 {
            texts.push(format!("{more} more suites have a name that fits a tool"));
        }
        texts
    }
}

/// What the suites around a case say.
#[derive(Clone, Default)]
struct Around {
    /// Names from the outermost one inwards.
    path: Vec<String>,
    /// The name of the group around them.
    group: String,
    stamp: String,
    host: String,
    /// Tells these suites from others.
    key: String,
}

struct Report<'a> {
    bytes: &'a [u8],
    wishes: &'a Wishes<'a>,
    /// pytest wrote it.
    pytest: bool,
    runs: Vec<Observed>,
    /// How often each case was met.
    seen: HashMap<String, u32>,
    said: Remarks,
}

impl Report<'_> {
    /// Takes a suite that begins at `clock`; returns when it ended.
    fn suite(&mut self, suite: &Suite, outer: &Around, clock: Option<Timestamp>) -> Result<Option<Timestamp>, BadDocument> {
        let around = self.around(suite, outer)?;
        let mut clock = self.clock(suite.timestamp.as_deref()).or(clock);
        let last_of = self.last_runs(suite);
        for (index, part) in suite.parts.iter().enumerate() {
            match part {
                // One without a time of its own begins where the one before ended.
                Part::Suite(inner) => clock = self.suite(inner, &around, clock)?,
                Part::Case(case) => {
                    let followed_by = last_of.get(&(case.class.as_str(), case.name.as_str()));
                    let last = followed_by.filter(|last| last.0 > index && !case.skipped && case.attempts.is_empty());
                    self.case(case, &around, clock, last.map(|last| last.1))?;
                    clock = clock.map(|clock| clock.saturating_add(case.time).unwrap_or(clock));
                }
            }
        }
        Ok(clock)
    }

    fn around(&self, suite: &Suite, outer: &Around) -> Result<Around, BadDocument> {
        let mut around = outer.clone();
        if let Some(stamp) = &suite.timestamp {
            around.stamp.clone_from(stamp);
        }
        if !suite.hostname.is_empty() {
            around.host.clone_from(&suite.hostname);
        }
        // What jest-junit calls a suite that has no name.
        let name = suite.name.trim();
        match name {
            "" | "undefined" => {}
            name if suite.is_group => around.group = name.to_string(),
            name => around.path.push(name.to_string()),
        }
        if around.path.iter().map(String::len).sum::<usize>() > PATH {
            let message = format!("the names of the suites here have more than {PATH} bytes");
            return Err(BadDocument::at(self.bytes, suite.offset, &message));
        }
        let names = [around.path.join("\u{1f}"), around.stamp.clone(), around.host.clone()].join("\u{1e}");
        around.key = BlobId::of(names.as_bytes()).0;
        Ok(around)
    }

    /// In a suite of pytest that has more cases than tests, so that some were run again: the last run of each case, with its place.
    fn last_runs<'s>(&self, suite: &'s Suite) -> HashMap<(&'s str, &'s str), (usize, &'s Case)> {
        let repeats = suite.tests.is_some_and(|tests| suite.parts.len() > tests);
        if !(repeats && (self.pytest || suite.name == "pytest")) {
            return HashMap::new();
        }
        let cases = suite.parts.iter().enumerate().filter_map(|(index, part)| match part {
            Part::Case(case) => Some(((case.class.as_str(), case.name.as_str()), (index, case))),
            Part::Suite(_) => None,
        });
        cases.collect()
    }

    /// All runs of a case; `last` is the case that tells how its last run went, when this one failed and was repeated.
    fn case(&mut self, case: &Case, around: &Around, clock: Option<Timestamp>, last: Option<&Case>) -> Result<(), BadDocument> {
        if case.skipped {
            self.said.skipped += 1;
            return Ok(());
        }
        let Some(at) = self.clock(case.timestamp.as_deref()).or(clock) else {
            let bad = BadDocument::at(self.bytes, case.offset, "the file does not say when this test ran");
            return Err(bad.hint("`--at 2026-01-31T12:00:00Z` says it, or `--at mtime` for the file's time"));
        };
        let of = |turn| case.attempts.iter().filter(move |attempt: &&Attempt| attempt.turn == turn);
        for attempt in of(Turn::Before) {
            self.run(case, around, at, Some(attempt))?;
        }
        let silent = last.map(|last| self.silent(case, around, last));
        self.run(case, around, at, silent.as_ref().or(of(Turn::This).next()))?;
        of(Turn::After).try_for_each(|attempt| self.run(case, around, at, Some(attempt)))
    }

    /// How a run failed that pytest repeated: it does not write that down.
    fn silent(&mut self, case: &Case, around: &Around, last: &Case) -> Attempt {
        self.said.silent_reruns += 1;
        let before = self.seen.get(&seen_as(case, around)).copied().unwrap_or_default();
        let Some(reason) = last.attempts.first().filter(|_| before < REASONS) else {
            let message = "failed, and was run again".to_string();
            return Attempt { class: "rerun".to_string(), message, ..Attempt::default() };
        };
        let text = reason.text.as_bytes();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(REASON)..]).into_owned();
        let (class, message) = (reason.class.clone(), reason.message.clone());
        Attempt { is_error: reason.is_error, class, message, text, ..Attempt::default() }
    }

    fn run(&mut self, case: &Case, around: &Around, at: Timestamp, failed: Option<&Attempt>) -> Result<(), BadDocument> {
        let tool = self.tool(case, around)?;
        let input = input(case, around);
        if input.is_empty() {
            return Err(BadDocument::at(self.bytes, case.offset, "this test has no name"));
        }
        let times = self.seen.entry(seen_as(case, around)).or_default();
        *times += 1;
        let parts = ["junit", &tool, &around.key, &case.class, &case.name, &times.to_string()].map(str::to_string);
        let own = failed.filter(|attempt| attempt.turn != Turn::This);
        let stream = |of_case: &str, of_attempt: Option<&String>| {
            let text = of_attempt.map_or(of_case, String::as_str);
            (!text.is_empty()).then(|| Bytes::from(text))
        };
        let started = own.and_then(|attempt| self.clock(attempt.timestamp.as_deref())).unwrap_or(at);
        self.runs.push(Observed {
            tool,
            version: Version("unknown".into()),
            source: RunName::Parts(parts.into_iter().map(String::into_bytes).collect()),
            at: started,
            duration: own.and_then(|attempt| attempt.time).unwrap_or(case.time),
            args: vec![input.into_bytes()],
            cwd: None,
            stdin: None,
            stdout: stream(&case.out, own.map(|attempt| &attempt.out)),
            stderr: stream(&case.err, own.map(|attempt| &attempt.err)),
            exit: failed.map_or(Exit::Code(0), Attempt::exit),
            outcome: Some(if failed.is_some() { Outcome::Failure } else { Outcome::Success }),
            failure: failed.map(Attempt::said),
            caller: self.wishes.caller.unwrap_or("junit").to_string(),
            marked: None,
        });
        Ok(())
    }

    fn tool(&mut self, case: &Case, around: &Around) -> Result<String, BadDocument> {
        if let Some(tool) = self.wishes.tool {
            return Ok(tool.to_string());
        }
        let name = around.path.first().unwrap_or(&around.group).as_str();
        let Some(tool) = clean_tool_name(without_time(name)) else {
            let message = match name {
                "" => "this test is in no suite with a name".to_string(),
                name => format!("nothing of the suite's name `{name}` can name a tool"),
            };
            return Err(BadDocument::at(self.bytes, case.offset, &message).hint("`--tool NAME` names the tool"));
        };
        if tool != name {
            self.said.renamed.insert(crate::model::plain_line(name, 80), tool.clone());
        }
        Ok(tool)
    }

    /// A time as the file writes it; `None` for none, and for those that stand for none (jest-junit writes 1970, unittest year 1).
    fn clock(&mut self, text: Option<&str>) -> Option<Timestamp> {
        let text = text?.trim();
        let at = text.parse::<Timestamp>().ok().or_else(|| {
            let local = text.parse::<DateTime>().ok()?;
            let at = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
            self.said.zoneless |= at > Timestamp::UNIX_EPOCH;
            Some(at)
        });
        at.filter(|at| *at > Timestamp::UNIX_EPOCH)
    }
}

/// The name of a suite without the time that xmlrunner writes behind it.
fn without_time(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, time)) if time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    }
}

fn seen_as(case: &Case, around: &Around) -> String {
    [around.key.as_str(), &case.class, &case.name].join("\u{1f}")
}

/// What was run.
fn input(case: &Case, around: &Around) -> String {
    let (class, name) = (case.class.trim(), case.name.trim());
    // Node.js writes the class `test` everywhere; its suites say more.
    let suites = around.path.join("::");
    let class = if class == "test" { suites.as_str() } else { class };
    match (class, name) {
        ("", name) => name.to_string(),
        (class, "") => class.to_string(),
        // Mocha and jest write the name twice.
        (class, name) if name == class || name.ends_with(&format!(" {class}")) => name.to_string(),
        (class, name) => format!("{class}::{name}"),
    }
}

impl Attempt {
    fn exit(&self) -> Exit {
        // nextest, Node.js, pytest-timeout
        let timed_out = matches!(self.class.as_str(), "test timeout" | "testTimeoutFailure");
        match self.is_error {
            _ if timed_out || self.message.contains("from pytest-timeout") => Exit::TimedOut,
            true => Exit::Code(2),
            false => Exit::Code(1),
        }
    }

    fn said(&self) -> Said {
        // What is no name of a type says less than the trace.
        let class = self.class.trim();
        let is_name = !class.is_empty() && !class.contains(char::is_whitespace);
        let is_name = is_name && !matches!(class, "testCodeFailure" | "failure" | "error");
        let trace = if self.text.trim().is_empty() { &self.message } else { &self.text };
        // Node.js wraps what was thrown.
        let trace = trace.rsplit_once("\n  cause: ").map_or(trace.as_str(), |(_, cause)| cause);
        Said { class: is_name.then(|| class.to_string()), message: self.message.clone(), trace: trace.to_string() }
    }
}
