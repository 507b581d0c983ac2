//! No planted secret is stored anywhere, whatever way it comes in, and what only looks like one survives.
//!
//! The cases are in `tests/data/redaction`; its `README.md` says how they are written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use aho_corasick::AhoCorasick;
use fractal::config::Config;
use fractal::model::SuccessRule;
use fractal::record::Intake;
use fractal::record::lines::Line;
use fractal::record::redact::{MASK, Rules};
use fractal::world::store::{Query, SqliteStore, Store};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::common::{Said, World, ended, text};

/// A case of the corpus.
#[derive(Debug)]
struct Case {
    line: usize,
    text: String,
    secrets: Vec<String>,
}

impl Case {
    /// The text with the mask where the secrets are.
    fn masked(&self) -> String {
        self.secrets.iter().fold(self.text.clone(), |text, secret| text.replace(secret, MASK))
    }
}

fn planted() -> Vec<Case> {
    read(include_str!("../data/redaction/planted.txt"))
}

fn lookalikes() -> Vec<Case> {
    read(include_str!("../data/redaction/lookalikes.txt"))
}

fn read(corpus: &str) -> Vec<Case> {
    let lines = corpus.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(at, line)| case(at + 1, line)).collect()
}

/// Fills in what the line only describes.
fn case(line: usize, written: &str) -> Case {
    let written = written.replace('·', "").replace('⏎', "\n").replace('⎋', "\u{1b}");
    let mut dice = Dice(line as u64);
    let mut filled = String::new();
    let mut rest = written.as_str();
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map(|close| open + close);
        let made = close.and_then(|close| dice.make(&rest[open + 1..close]).map(|made| (made, close)));
        filled.push_str(&rest[..open]);
        match made {
            Some((made, close)) => {
                filled.push_str(&made);
                rest = &rest[close + 1..];
            }
            None => {
                filled.push('{');
                rest = &rest[open + 1..];
            }
        }
    }
    filled.push_str(rest);
    let secrets = filled.split('«').skip(1).filter_map(|part| Some(part.split_once('»')?.0.to_string())).collect();
    Case { line, text: filled.replace(['«', '»'], ""), secrets }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `A36`, `uuid`, …; `None` when the braces are just braces.
    fn make(&mut self, what: &str) -> Option<String> {
        const SMALL: &str = "abcdefghijkmnpqrstuvwxyz";
        match what {
            "uuid" => return Some([8, 4, 4, 4, 12].map(|length| self.draw("0123456789abcdef", length)).join("-")),
            "basic" => {
                use base64::Engine;
                let password = self.draw(SMALL, 5) + &self.draw("0123456789", 4);
                return Some(base64::engine::general_purpose::STANDARD.encode(format!("user:{password}")));
            }
            _ => {}
        }
        let length = what.get(1..)?.parse().ok()?;
        let capitals = SMALL.to_uppercase();
        let alphabet = match &what[..1] {
            "A" => format!("{SMALL}{capitals}0123456789"),
            "b" => format!("{SMALL}{capitals}0123456789+/"),
            "w" => format!("{SMALL}{capitals}0123456789_-"),
            "U" => format!("{capitals}234567"),
            "h" => "0123456789abcdef".into(),
            "d" => "0123456789".into(),
            "l" => SMALL.into(),
            _ => return None,
        };
        let made = self.draw(&alphabet, length);
        // Ends that would be taken for punctuation are no part of a token.
        let plain = |c: char| if "+/_-".contains(c) { 'k' } else { c };
        let last = made.len().saturating_sub(1);
        Some(made.char_indices().map(|(at, c)| if at == 0 || at == last { plain(c) } else { c }).collect())
    }

    fn draw(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[(self.next() % alphabet.len() as u64) as usize]).collect()
    }
}

fn redacted(rules: &Rules, text: &str) -> String {
    String::from_utf8(rules.redact(text.as_bytes()).into_owned()).expect("stays UTF-8")
}

#[test]
fn every_planted_secret_is_taken_out_and_nothing_around_it() {
    let (rules, cases) = (Rules::of(&Config::default().record), planted());
    assert!(cases.len() >= 150 && cases.iter().all(|case| !case.secrets.is_empty()), "{} cases", cases.len());
    let wrong = |case: &&Case| redacted(&rules, &case.text) != case.masked();
    let wrong: Vec<String> = cases
        .iter()
        .filter(wrong)
        .map(|case| {
            format!(
                "line {}: {:?}\n became {:?}\n not    {:?}",
                case.line,
                case.text,
                redacted(&rules, &case.text),
                case.masked()
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_only_looks_like_a_secret_survives() {
    let (rules, cases) = (Rules::of(&Config::default().record), lookalikes());
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| redacted(&rules, &case.text) != case.text)
        .map(|case| format!("line {}: {:?}\n became {:?}", case.line, case.text, redacted(&rules, &case.text)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Everything that Fractal has stored in the repository: its files, and every object of git, also packed ones. What is compressed
/// is unpacked.
fn stored(world: &World) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![world.repo().join(".git/fractal")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => add(&mut all, &fs::read(path).unwrap_or_default()),
            }
        }
    }
    columns(world, &mut all);
    let mut git = world.command("git");
    let objects =
        git.args(["cat-file", "--batch", "--batch-all-objects", "--buffer", "--unordered"]).output().expect("git runs").stdout;
    let mut rest = objects.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let size: usize = text(&rest[..end]).rsplit(' ').next().and_then(|size| size.parse().ok()).expect("a size");
        add(&mut all, &rest[end + 1..end + 1 + size]);
        rest = &rest[end + size + 2..];
    }
    all
}

/// Every value in the database: in its file, a long one is in several pages.
fn columns(world: &World, all: &mut Vec<u8>) {
    let database = Connection::open(world.repo().join(".git/fractal/executions.db")).expect("opens");
    let tables = "select name from sqlite_schema where type = 'table'";
    let mut tables = database.prepare(tables).expect("reads");
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).expect("reads").flatten().collect();
    for table in tables {
        let mut content = database.prepare(&format!("select * from \"{table}\"")).expect("reads");
        let count = content.column_count();
        let mut rows = content.query([]).expect("reads");
        while let Some(row) = rows.next().expect("reads") {
            for at in 0..count {
                if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(at).expect("is there") {
                    add(all, bytes);
                }
            }
        }
    }
}

fn add(all: &mut Vec<u8>, content: &[u8]) {
    all.extend_from_slice(content);
    if content.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(content).read_to_end(all).expect("is gzip");
    }
    all.push(b'\n');
}

/// Where to look for secrets: as they are, in hexadecimal digits, in base64 and as URLs write them.
struct Search {
    automaton: AhoCorasick,
    /// By pattern: which secret it is of.
    of: Vec<usize>,
}

impl Search {
    /// Short secrets would be found by chance.
    fn of(secrets: &[String]) -> Search {
        let (mut forms, mut of) = (Vec::new(), Vec::new());
        for (at, secret) in secrets.iter().enumerate() {
            for part in secret.split(['\n', ' ']).flat_map(|part| part.split("\\n")).filter(|part| part.len() >= 8) {
                let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
                let url: String = part
                    .bytes()
                    .map(|byte| {
                        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                            char::from(byte).to_string()
                        } else {
                            format!("%{byte:02X}")
                        }
                    })
                    .collect();
                let base64 = (0..3).map(|pad| {
                    use base64::Engine;
                    let digits =
                        base64::engine::general_purpose::STANDARD_NO_PAD.encode([&[0; 2][..pad], part.as_bytes()].concat());
                    digits[[0, 2, 3][pad]..(pad + part.len()) / 3 * 4].to_string()
                });
                for form in base64.chain([part.to_string(), hex, url]) {
                    forms.push(form);
                    of.push(at);
                }
            }
        }
        Search { automaton: AhoCorasick::new(forms).expect("builds"), of }
    }

    /// The secrets that are in there.
    fn found<'s>(&self, bytes: &[u8], secrets: &'s [String]) -> BTreeSet<&'s str> {
        self.automaton.find_overlapping_iter(bytes).map(|seen| secrets[self.of[seen.pattern().as_usize()]].as_str()).collect()
    }
}

const CONFIG: &str = r#"
[record]
capture = "LEVEL"
secret_environment = ["*TOKEN*", "PLAIN"]

[[tool]]
name = "args"
paths = ["tools"]
run = ["true"]

[[tool]]
name = "cat"
paths = ["tools"]
run = ["sh", "-c", "cat", "sh"]

[[tool]]
name = "fails"
paths = ["tools"]
run = ["sh", "-c", "cat >&2; exit 1"]

[[tool]]
name = "environment"
paths = ["tools"]
run = ["sh", "tools/environment.sh"]
"#;
const ENVIRONMENT: &str = "for value in \"$APP_TOKEN\" \"$PLAIN\"; do\n  echo \"<$value>\"\n  printf %s \"$value\" | base64\n  printf %s \"a:$value\" | base64\n  printf %s \"$value\" | od -An -tx1 | tr -d ' \\n'; echo\ndone\ncat\n";
const APP_TOKEN: &str = "vq7 pl&gx/93kd";
const PLAIN: &str = "rumpelstilzchen";
/// Said beside every secret; no secret itself.
const REMARK: &str = "gooseberry";

fn world(level: &str) -> World {
    let world = World::empty();
    world.write("fractal.toml", CONFIG.replace("LEVEL", level));
    world.write("tools/environment.sh", ENVIRONMENT);
    world.commit("tools");
    world
}

/// Runs a tool with the real program.
fn exec(world: &World, tool: &str, args: &[String], stdin: &str) -> Said {
    let mut command = world.fractal_command();
    command.args(["exec", "--id-file"]).arg(world.outside("id")).args([tool, "--"]).args(args);
    command.env("APP_TOKEN", APP_TOKEN).env("PLAIN", PLAIN).stdin(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("is piped");
    let stdin = stdin.to_string();
    let writer = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
    let said = ended(child);
    writer.join().expect("writes");
    assert!(!said.err.contains("not recorded"), "{said:#?}");
    said
}

/// Lets every planted secret come in by every way there is.
fn leak(world: &World, cases: &[Case]) {
    let texts: Vec<String> = cases.iter().map(|case| format!("{REMARK} {}", case.text)).collect();
    let all = texts.join("\n");
    exec(world, "args", &texts, "");
    exec(world, "cat", &[], &all);
    fs::write(world.outside("answer"), &all).expect("writes");
    let id = fs::read_to_string(world.outside("id")).expect("was written");
    world.fractal(&["mark", id.trim(), "--bad", "--expect", world.outside("answer").to_str().expect("UTF-8")]).ok();
    exec(world, "fails", &[], &all);
    let (first, last) = (&cases[0], &cases[cases.len() - 1]);
    let place = format!("File \"tools/{REMARK}.py\", line 3, in {REMARK}");
    let trace = format!("Traceback (most recent call last):\n  {place}\nValueError: {REMARK} {}\n", first.text);
    exec(world, "fails", &[], &trace);
    exec(world, "fails", &[], &last.text);
    exec(world, "environment", &[format!("--user={APP_TOKEN}")], "");
    let encoded: String = APP_TOKEN.replace(' ', "%20").replace('&', "%26").replace('/', "%2F");
    exec(world, "environment", &[], &format!("{encoded} {}", serde_json::json!(format!("{APP_TOKEN}\n{PLAIN}"))));
    // Told by options only, and then printed.
    let told = ["--password", "kw3", "--db-password", "zx9-whimsy-77", "-u", "bob:plumtree-55"].map(String::from);
    exec(world, "cat", &told, "zx9-whimsy-77 plumtree-55");
    lines(world, cases);
    waiting(world, &all);
}

/// The same through JSON lines, where each text is also a message, a class, a place, a caller, a version and a folder.
fn lines(world: &World, cases: &[Case]) {
    let config = Config::read(&fs::read(world.repo().join("fractal.toml")).expect("reads")).expect("is right");
    let intake = Intake::new(&config, "/nowhere");
    let mut store = SqliteStore::open(&world.repo().join(".git/fractal/executions.db")).expect("opens");
    let admitted = cases.iter().map(|case| {
        let text = format!("{REMARK} {}", case.text);
        let frame = serde_json::json!({ "path": text, "function": text, "line": 1, "in_repo": true });
        let line = serde_json::json!({
            "tool": "import", "at": 1_790_000_000_000_i64 + case.line as i64, "exit": { "not_started": text }, "outcome": "failure",
            "args": [text], "stdin": text, "stdout": text, "stderr": text, "cwd": text, "caller": case.text, "version": case.text,
            "id": text, "failure": { "class": text, "message": text, "fingerprint": text, "frames": [frame] },
            "input": text, "stdout_digest": text, "stderr_digest": text,
        });
        Line::parse(&line.to_string()).expect("reads").admit(&intake, &SuccessRule::default())
    });
    store.record_all(&admitted.collect::<Vec<_>>()).expect("stores");
}

/// The store is away, so that the run waits on disk.
fn waiting(world: &World, all: &str) {
    let database = Connection::open(world.repo().join(".git/fractal/executions.db")).expect("opens");
    let format: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    database.pragma_update(None, "user_version", 99).expect("writes");
    let said = exec(world, "cat", &[], all);
    assert!(said.err.contains("waits on disk"), "{said:#?}");
    database.pragma_update(None, "user_version", format).expect("writes");
}

#[test]
fn at_the_level_full_everything_is_stored_as_it_was() {
    let cases = planted();
    let secrets: Vec<String> =
        cases.iter().flat_map(|case| case.secrets.clone()).filter(|secret| secret.len() >= 16 && !secret.contains(' ')).collect();
    let world = world("full");
    exec(&world, "cat", &[], &cases.iter().map(|case| format!("{}\n", case.text)).collect::<String>());
    let found = stored(&world);
    let search = Search::of(&secrets);
    let there = search.found(&found, &secrets);
    let absent: Vec<&String> = secrets.iter().filter(|secret| !there.contains(secret.as_str())).collect();
    assert!(absent.is_empty(), "{absent:?}");
}

#[test]
fn a_run_that_lost_a_secret_is_not_repeated_and_all_others_are_as_they_were() {
    let world = world("redacted");
    let all: String =
        lookalikes().iter().filter(|case| !case.text.contains(MASK)).map(|case| format!("{}\n", case.text)).collect();
    exec(&world, "cat", &["--tokens".into(), "12".into()], &all);
    exec(&world, "cat", &["--password".into(), "hunter22".into()], "");
    exec(&world, "cat", &[], "password=hunter22\n");
    let store = SqliteStore::open(&world.repo().join(".git/fractal/executions.db")).expect("opens");
    let runs = store.executions(&Query { limit: 9, ..Query::default() }).expect("reads");
    assert_eq!(runs.iter().map(|run| run.input.is_whole()).collect::<Vec<_>>(), [false, false, true]);
    let recording = store.load(runs[2].clone()).expect("is there");
    for kept in [text(&recording.stdin), text(&recording.stdout)] {
        let changed = kept.lines().zip(all.lines()).find(|(kept, line)| kept != line);
        assert!(kept == all, "{changed:?} of {} lines, {:?}", kept.lines().count(), recording.execution);
    }
}

#[test]
fn no_planted_secret_is_stored_whatever_way_it_comes_in() {
    let cases = planted();
    let mut secrets: Vec<String> = cases.iter().flat_map(|case| case.secrets.clone()).collect();
    secrets.extend([APP_TOKEN, PLAIN, "zx9-whimsy-77", "plumtree-55"].map(String::from));
    let search = Search::of(&secrets);
    for level in ["redacted", "digest", "none"] {
        let world = world(level);
        leak(&world, &cases);
        let found = stored(&world);
        assert_eq!(search.found(&found, &secrets), BTreeSet::new(), "at the level {level}");
        // What is no secret is there exactly when the level keeps it.
        let kept = found.windows(REMARK.len()).filter(|window| *window == REMARK.as_bytes()).count();
        assert_eq!(kept > 1_000, level == "redacted", "{kept} at the level {level}");
        assert_eq!(kept == 0, level != "redacted", "{kept} at the level {level}");
    }
}
