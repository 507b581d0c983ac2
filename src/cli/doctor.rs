//! `fractal doctor`: whether everything that Fractal needs is there, and what protects this machine from what it runs.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::render::{self, Paint};
use super::{OUTSIDE, Outcome, Output};
use crate::config::{AgentNetwork, Config, Protection};
use crate::engine::asking::affordable;
use crate::world::clock::Clock;
use crate::world::git::Repo;
use crate::world::pause::pauses;
use crate::world::provider::{Models, Priced};
use crate::world::sandbox::{Attempt, Found, Sandbox, Shield};
use crate::world::{agent, files, forge, read_config, store};

/// Shows which protections are in force, tries to get out of the sandbox, and looks at the programs, the configuration, the store and
/// the forge. Ends with 1 when something that is required is missing.
#[derive(clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Findings {
    /// Whether runs may begin.
    ready: bool,
    protections: Vec<Protected>,
    attempts: Vec<Attempt>,
    programs: Vec<Found>,
    state: Vec<State>,
}

#[derive(Serialize)]
struct Protected {
    #[serde(flatten)]
    shield: Shield,
    required: bool,
}

/// Whether a part of Fractal's own is in order.
#[derive(Serialize)]
struct State {
    what: &'static str,
    good: bool,
    said: String,
}

impl Doctor {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let (config, mut state) = state(repo);
        let sandbox = Sandbox::configured("doctor", &config);
        state.extend(agent_state(&config, &sandbox));
        let required = |protection: &Protection| config.sandbox.require.contains(protection);
        let protections: Vec<Protected> = sandbox
            .shields()
            .iter()
            .cloned()
            .map(|shield| Protected { required: required(&shield.protection), shield })
            .collect();
        let attempts = sandbox.attempts()?;
        let out = attempts.iter().any(|attempt| !attempt.stopped && required(&attempt.protection));
        let ready = sandbox.ready().is_ok() && !out && state.iter().all(|state| state.good);
        let findings = Findings { ready, protections, attempts, programs: sandbox.programs()?, state };
        match self.output.json {
            true => render::say_json_pretty(&findings),
            false => show(&findings),
        }
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(OUTSIDE) })
    }
}

/// The configuration, or the default where there is none or it is wrong, and what is in order.
fn state(repo: &Path) -> (Config, Vec<State>) {
    let opened = match Repo::open(repo) {
        Ok(opened) => opened,
        // It is no fault to stand elsewhere: the rest holds for the machine.
        Err(error) => {
            return (Config::default(), vec![State { what: "repository", good: true, said: format!("none here: {error}") }]);
        }
    };
    let mut states = vec![State { what: "repository", good: true, said: opened.root().display().to_string() }];
    let mut tell = |what, found: Result<String, String>| {
        let good = found.is_ok();
        states.push(State { what, good, said: found.unwrap_or_else(|why| why) });
    };
    let config = read_config(&opened);
    tell("configuration", config.as_ref().map(|_| "is right".to_string()).map_err(ToString::to_string));
    let config = config.unwrap_or_default();
    let base = opened.base(&config.base);
    tell("base branch", base.map_err(|error| error.to_string()));
    let store = store::open_to_read(&opened, &config).and_then(|store| store.counters());
    let set = pauses(&opened);
    tell(
        "kill switch",
        match set.is_empty() {
            true => Ok("is not set".to_string()),
            false => Ok(set.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        },
    );
    tell("store", store.map(|_| "can be read".to_string()).map_err(|error| error.to_string()));
    states.extend(forge_states(&config, &opened));
    states.extend(model_state(&config, &opened));
    (config, states)
}

/// What the forge says of us and of the base branch, where there is one: whether the configuration can be followed.
fn forge_states(config: &Config, repo: &Repo) -> Vec<State> {
    let state = |what, good, said| State { what, good, said };
    let opened = match forge::open(&config.forge, Clock::System) {
        Ok(None) => {
            let said = "none but git: improvements are branches, `[forge] kind = \"github\"` makes them pull requests";
            return vec![state("forge", true, said.to_string())];
        }
        Ok(Some(opened)) => opened,
        Err(error) => return vec![state("forge", false, error.to_string())],
    };
    let Ok(base) = repo.base(&config.base) else { return Vec::new() };
    let asked = opened.access().and_then(|access| Ok((opened.rules(&base)?, access)));
    match asked {
        Err(error) => vec![state("forge", false, format!("{}: {error}", opened.place()))],
        Ok((rules, access)) => {
            let mut states = vec![state("forge", true, format!("{}, as {}", opened.place(), access.me))];
            let needs = forge::needs(&access, &rules, config, &base).into_iter();
            states.extend(needs.map(|need| state(need.what, need.met, need.said)));
            states
        }
    }
}

/// Whether the configured model could be asked, without asking it. The loop works without, so that nothing of it is a fault.
fn model_state(config: &Config, repo: &Repo) -> Option<State> {
    let opened = Models::open(&config.model, &repo.state_dir(), Clock::System, Box::new(str::to_string));
    let said = match opened.transpose()? {
        Err(error) => format!("is not asked, and the loop works without: {error}"),
        Ok(models) => {
            let price = models.priced().map(|known| {
                let Priced { price, by } = known;
                format!("${} and ${} for a million tokens (by {by})", price.input, price.output)
            });
            let price = price.unwrap_or_else(|| "a price that nobody knows; no limit is in dollars".to_string());
            match affordable(&models, &config.budget) {
                Ok(()) => format!("`{}` can be asked, at {price}", models.name()),
                Err(why) => format!("is not asked, and the loop works without: {why}"),
            }
        }
    };
    Some(State { what: "model", good: true, said })
}

/// Whether the configured agent could be run, and whom of its list it would reach, without running it: they are connected to, and nothing is
/// asked of them. The loop works without, so that nothing of it is a fault.
fn agent_state(config: &Config, sandbox: &Sandbox) -> Option<State> {
    let asked = &config.agent;
    let program = asked.command.first()?;
    let unset = asked.env.iter().find(|name| files::variable(name).is_none());
    let unset = unset.map(|name| format!("`{name}` is not set, which `[agent] env` names"));
    let reaches = asked.network == AgentNetwork::Endpoints;
    let why = unset.or_else(|| {
        let able = if reaches { agent::can_reach(sandbox) } else { sandbox.ready() };
        able.err().map(|error| error.to_string())
    });
    let said = match why.map_or_else(|| Ok(agent::probe(&asked.endpoints)), Err) {
        Err(why) => format!("is not run, and the loop works without: {why}"),
        Ok(_) if !reaches => format!("`{program}` may be run, and reaches nobody by itself"),
        Ok(Err(error)) => format!("`{program}` may be run; who is within its list was not tried: {error}"),
        Ok(Ok(answers)) => {
            let each = asked.endpoints.iter().zip(answers).map(|(endpoint, answer)| match answer {
                Ok(()) => format!("`{endpoint}` answers"),
                Err(why) => format!("`{endpoint}` {why}"),
            });
            format!("`{program}` may be run, and reaches who is within its list: {}", each.collect::<Vec<_>>().join("; "))
        }
    };
    Some(State { what: "agent", good: true, said })
}

fn show(findings: &Findings) {
    let paint = Paint::for_stdout();
    let word = |good: bool, yes: &str, no: &str| if good { paint.green(yes) } else { paint.red(no) };
    let protections = findings.protections.iter().map(|Protected { shield, required }| {
        let missing = if *required { paint.red("missing") } else { paint.dim("not in force") };
        let state = if shield.in_force { paint.green("in force") } else { missing };
        let needed = if *required { "required" } else { "" };
        [shield.protection.word().to_string(), state, needed.to_string(), shield.how.clone()]
    });
    render::say(&render::table(["protection", "state", "", "how, or why not"], protections));
    let attempts = findings.attempts.iter().map(|attempt| {
        [attempt.what.to_string(), word(attempt.stopped, "stopped", "SUCCEEDED"), super::plain::visible(&attempt.said)]
    });
    render::say(&render::table(["tried inside", "", "what it said"], attempts));
    let programs = findings
        .programs
        .iter()
        .map(|found| [found.name.to_string(), word(found.runs, "runs", "does not run"), super::plain::visible(&found.said)]);
    render::say(&render::table(["program", "inside", "what it said"], programs));
    let states = findings
        .state
        .iter()
        .map(|state| [state.what.to_string(), word(state.good, "good", "wrong"), super::plain::visible(&state.said)]);
    render::say(&render::table(["Fractal's own", "", ""], states));
    let verdict = match findings.ready {
        true => "ready: tools, tests and candidates can be run",
        false => "not ready: nothing is run until what is red is put right",
    };
    render::say(verdict);
}
