//! Somebody else's coding agent in the loop: what it is told, what of its work counts, and what it cannot do.

use std::path::PathBuf;

use serde_json::Value;

use crate::model::{RIGHT, configure, events, failing, outcomes, run};
use crate::oracle::{Oracle, Say};
use crate::support::{MOMENTS, Repository, executable};

/// An agent in ten lines. This is what the README shows.
pub const SAMPLE: &str = r#"#!/usr/bin/env python3
import json, os, pathlib
brief = pathlib.Path(os.environ["FRACTAL_BRIEF"]).read_text()
if "KeyError" not in brief:
    raise SystemExit(3)
tool = pathlib.Path("tools/duration.py")
tool.write_text(tool.read_text().replace('"m": 60}', '"m": 60, "h": 3600}'))
answer = {"title": "know hours", "input_tokens": 1200, "output_tokens": 80, "usd": 0.0123}
pathlib.Path(os.environ["FRACTAL_ANSWER"]).write_text(json.dumps(answer))
print("read the brief, and taught the table hours")
"#;

/// The same with a model that it asks through us.
const ASKING: &str = r#"#!/usr/bin/env python3
import json, pathlib, struct, sys
def receive():
    return json.loads(sys.stdin.buffer.read(struct.unpack(">I", sys.stdin.buffer.read(4))[0]))
def send(message):
    data = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()
receive()
send({"system": "You know units.", "ask": "How many seconds has an hour?"})
answer = receive()
print("the model says", answer, file=sys.stderr)
tool = pathlib.Path("tools/duration.py")
tool.write_text(tool.read_text().replace('"m": 60}', '"m": 60, "h": %s}' % answer["text"]))
send({"done": True})
"#;

/// A place of its own for an agent's program.
pub fn program(repository: &Repository, script: &str) -> PathBuf {
    let folder = repository.beside("agent");
    std::fs::create_dir_all(&folder).expect("makes a folder");
    executable(&folder.join("agent.py"), script);
    folder.join("agent.py")
}

fn with_agent(script: &str, more: &str) -> Repository {
    let repository = failing();
    let program = program(&repository, script);
    let settings = format!(
        "{MOMENTS}[improve]\nstrategies = [\"agent\"]\n\n[agent]\ncommand = [\"{}\"]\nname = \"sample\"\ntime = \"20s\"\n{more}\n",
        program.display()
    );
    configure(&repository, &settings);
    repository
}

#[test]
fn the_readme_shows_this_agent() {
    assert!(include_str!("../../README.md").contains(&format!("```python\n{SAMPLE}```")));
}

#[test]
fn the_loop_repairs_with_an_agent_and_keeps_its_transcript_and_its_cost() {
    let repository = with_agent(SAMPLE, "");
    run(&repository);
    assert_eq!(repository.stage(), "proposed", "{:#?} {:?}", repository.improvement(), outcomes(&repository));
    let [branch] = &repository.branches()[..] else { panic!("{:?}", repository.branches()) };
    assert!(repository.git(&["show", &format!("{branch}:tools/duration.py")]).contains(RIGHT));
    let files = repository.git(&["show", "--name-only", "--format=", branch]);
    let notes = files.lines().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
    let notes = repository.git(&["show", &format!("{branch}:{notes}")]);
    for part in ["agent `sample`", "brief-", "1200 + 80", "0.0123", "taught the table hours"] {
        assert!(notes.contains(part), "no `{part}` in {notes}");
    }
}

#[test]
fn an_agent_asks_its_model_through_us_without_a_network_and_without_a_key() {
    let oracle = Oracle::always(Say::Text("3600".into()));
    let model = format!(
        "network = \"model\"\n\n[model]\nprovider = \"compatible\"\nname = \"gpt-4o-mini\"\nurl = \"{}\"\n",
        oracle.address
    );
    let repository = with_agent(ASKING, &model);
    run(&repository);
    assert_eq!(repository.stage(), "proposed", "{:#?} {:?}", repository.improvement(), outcomes(&repository));
    assert_eq!(oracle.asked().len(), 1);
    let asking = &events(&repository, "asked")[0]["asking"];
    assert!(asking["cost"]["micro_usd"].as_u64().is_some_and(|cost| cost > 0), "{asking:#}");
    assert!(asking["said"].as_str().is_some_and(|said| said.contains("the model says")), "{asking:#}");
}

#[test]
fn whatever_an_agent_does_wrong_nothing_comes_of_it() {
    let edit = "tool = __import__('pathlib').Path('tools/duration.py')\ntext = tool.read_text()\n";
    let right = "text = text.replace('\"m\": 60}', '\"m\": 60, \"h\": 3600}')\n";
    let cases = [
        ("it changes nothing", "pass\n".to_string(), "changed nothing", ""),
        ("it abstains", "raise SystemExit(3)\n".into(), "abstains", ""),
        ("it fails", "raise SystemExit('no')\n".into(), "failed: exit 1", ""),
        ("it never ends", "while True:\n    pass\n".into(), "was ended after", ""),
        (
            "it edits tests and settings",
            "open('tests/test_duration.py', 'w').write('')\n".into(),
            "only what is not the tool's",
            "",
        ),
        (
            "it puts a link in the tool's place",
            "import os\nos.remove('tools/duration.py')\nos.symlink('/etc/passwd', 'tools/duration.py')\n".into(),
            "only what is not the tool's",
            "",
        ),
        ("it deletes the tool", "import os\nos.remove('tools/duration.py')\n".into(), "proposes patch", "policy: it deletes"),
        (
            "it gives the tool a network",
            format!("{edit}{right}tool.write_text(text + 'import socket\\nsocket.socket()\\n')\n"),
            "proposes patch",
            "policy: ",
        ),
        (
            "it is wrong",
            format!("{edit}tool.write_text(text.replace('\"m\": 60}}', '\"m\": 60, \"h\": 60}}'))\n"),
            "proposes patch",
            "incident: ",
        ),
        (
            "it reaches for the network",
            "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)\n".into(),
            "failed: exit 1",
            "",
        ),
        ("it reaches for the key", "import os\nassert 'FRACTAL_MODEL_KEY' in os.environ\n".into(), "failed: exit 1", ""),
    ];
    for (name, script, outcome, reason) in cases {
        let repository = with_agent(&format!("#!/usr/bin/env python3\n{script}"), "").with_time("3s");
        let tip = repository.tip("main");
        run(&repository);
        assert_eq!((repository.tip("main"), repository.branches().len()), (tip, 0), "{name}");
        let improvement = repository.improvement();
        assert_eq!(improvement["stage"], "unsolved", "{name}: {improvement:#}");
        let said = outcomes(&repository).join("\n");
        assert!(said.contains(outcome), "{name}: {said}");
        let judged: Vec<Value> = events(&repository, "judged");
        let why = judged.first().and_then(|event| event["verdict"]["reason"].as_str()).unwrap_or_default();
        assert!(why.starts_with(reason) && why.is_empty() == reason.is_empty(), "{name}: {why}");
        crate::support::tell(&format!("| {name} | {} |", if why.is_empty() { &said } else { why }));
    }
}

trait WithTime {
    fn with_time(self, time: &str) -> Self;
}

impl WithTime for Repository {
    fn with_time(self, time: &str) -> Repository {
        self.edit("fractal.toml", "time = \"20s\"", &format!("time = \"{time}\""));
        self.commit("less time");
        self
    }
}

#[test]
fn an_agent_is_run_once_while_a_model_is_waited_for() {
    let oracle = Oracle::always(Say::Status(429, Some("3600")));
    let model = format!("\n[model]\nprovider = \"compatible\"\nname = \"gpt-4o\"\nurl = \"{}\"\n", oracle.address);
    let repository = with_agent("#!/bin/sh\nexit 3\n", &model);
    repository.edit("fractal.toml", "[\"agent\"]", "[\"model\", \"agent\"]");
    repository.commit("a model first");
    for _ in 0..2 {
        assert!(run(&repository).waiting().contains("it wants to be asked again in 3600 s"));
    }
    let said = outcomes(&repository);
    assert_eq!(said.iter().filter(|outcome| outcome.as_str() == "abstains").count(), 1, "{said:?}");
    assert_eq!((said.len(), oracle.asked().len()), (2, 2), "{said:?}");
}

#[test]
fn an_agent_that_cannot_be_run_says_why_and_the_loop_goes_on() {
    let repository = with_agent(SAMPLE, "usd = 0.05");
    let program = repository.beside("agent").join("agent.py").display().to_string();
    repository.edit("fractal.toml", &program, "no-such-agent");
    repository.commit("another agent");
    run(&repository);
    let reason = repository.improvement()["reason"].as_str().unwrap_or_default().to_string();
    assert!(reason.contains("the agent cannot be run") && reason.contains("no-such-agent"), "{reason}");
    assert_eq!(events(&repository, "asked")[0]["asking"]["cost"]["micro_usd"], 0, "what never ran costs nothing");
}
