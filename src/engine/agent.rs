//! Running a coding agent for one failure: what it is told, what it may spend, and what of its changes becomes a candidate.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asking::{Purse, affordable};
use super::improvement::Improvement;
use super::outside::{Variables, handed, models, redact};
use super::search::{Next, Search};
use crate::config::{AgentConfig, AgentNetwork};
use crate::improve::model::{self, Author, Prompt, agent_brief};
use crate::model::{Asking, Candidate, Cost, Exit, FileEdit, ending, plain_line};
use crate::record::redact::Rules;
use crate::world::View;
use crate::world::agent::{self, Ran, Reach, Task, Traffic};
use crate::world::provider::{Models, Question, Role};

/// Bytes of a brief.
const BRIEF: usize = 64 << 10;
/// Bytes of what it printed that the log keeps; `[agent] output_kib` is less or this.
const KEPT: usize = 16 << 10;
/// Places that an outcome names.
const SHOWN: usize = 3;
/// The exit code of an agent that proposes nothing.
const ABSTAINS: i32 = 3;

/// What an agent says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    title: String,
    input_tokens: u64,
    output_tokens: u64,
    usd: f64,
}

/// A message of an agent that asks its model through us.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    system: String,
    /// What it asks; without it, it is done.
    ask: Option<String>,
}

impl Search<'_> {
    /// Runs the agent, if one is configured and there is room for it.
    pub(super) fn run_agent(&mut self, improvement: &Improvement) -> Result<Option<Next>> {
        let view = self.wanted.view;
        let config = &view.config.agent;
        // Where a model is waited for, a cycle comes by again and again.
        if config.command.is_empty() || improvement.was_run() {
            return Ok(None);
        }
        let now = view.clock.now();
        if let Err(why) = self.may_ask() {
            self.later = Some(format!("the agent was not run: {why}"));
            return Ok(None);
        }
        let brief = match self.with_facts(improvement, false, BRIEF, agent_brief)? {
            Ok(brief) => brief,
            Err(why) => {
                self.reasons.push(format!("the agent was not run: {why}"));
                return Ok(None);
            }
        };
        let (models, env) = match equipment(view) {
            Ok(both) => both,
            Err(why) => {
                self.reasons.push(format!("the agent was not run: {why}"));
                return Ok(None);
            }
        };
        self.purse(improvement);
        let Some(purse) = &mut self.purse else { return Ok(None) };
        let reserved = match purse.begin(now, most(config)) {
            Ok(reserved) => reserved,
            Err(spent) => {
                let why = format!("the agent was not run: {spent}");
                if spent.is_for_now {
                    self.later = Some(why)
                } else {
                    self.reasons.push(why)
                }
                return Ok(None);
            }
        };
        let clean = redact(view);
        let text = clean(&brief.question);
        let shown = self.gate.shown();
        let reach = (config.network == AgentNetwork::Endpoints)
            .then(|| Reach { endpoints: config.endpoints.clone(), bytes: config.traffic_mib << 20 });
        let (files, command) = (shown.files, &config.command);
        let (memory, time) = (config.memory_mib << 20, config.time.0);
        let task = Task { files, command, brief: &text, env: &env, reach, memory, time };
        let own = |path: &str| self.wanted.tool.owns(path) && !self.wanted.tool.tests_own(path);
        let before = purse.spent();
        let ran = match &models {
            None => agent::run(&view.sandbox, &task, own, None)?,
            Some(models) => {
                let mut talk = |message: &[u8]| answered(models, purse, now, message);
                agent::run(&view.sandbox, &task, own, Some(&mut talk))?
            }
        };
        let (asking, candidate) = outcome(config, &brief, (&ran, tells(&ran, &env, &self.sources)), clean.as_ref());
        purse.end(reserved, &asking.question, asking.cost);
        // With what it asked through us.
        let cost = purse.spent().without(before);
        if candidate.is_none() {
            self.reasons.push(format!("the agent {}", asking.outcome));
        }
        self.proposed = candidate;
        Ok(Some(Next::Asked(Asking { cost, ..asking })))
    }
}

/// What a run costs at most, as far as we know.
fn most(config: &AgentConfig) -> Cost {
    let milliseconds = u64::try_from(config.time.0.as_millis()).unwrap_or(u64::MAX);
    Cost { attempts: 1, micro_usd: micro_usd(config.usd), milliseconds, ..Cost::default() }
}

/// What an agent gets besides its brief: a model that it asks through us, and variables with their values.
///
/// # Errors
/// What of it is missing.
fn equipment(view: &View) -> Result<(Option<Models>, Variables), String> {
    let config = &view.config.agent;
    let models = match config.network {
        AgentNetwork::None | AgentNetwork::Endpoints => None,
        AgentNetwork::Model => {
            let none = || "`[agent] network` is `model`, and no model can be asked".to_string();
            let models = models(view).unwrap_or_default().ok_or_else(none)?;
            affordable(&models, &view.config.budget)?;
            Some(models)
        }
    };
    let env = handed(&view.config);
    match config.env.iter().find(|name| !env.iter().any(|(set, _)| set == *name)) {
        Some(missing) => Err(format!("`{missing}`, which `[agent] env` names, is not set")),
        None => Ok((models, env)),
    }
}

/// Whether a patch has the value of a variable that the agent was given, where the file did not have it before.
fn tells(ran: &Ran, env: &Variables, before: &BTreeMap<String, Vec<u8>>) -> bool {
    let secret = Rules::default().knowing_values(&[], env.iter().map(|(_, value)| value.as_str()));
    ran.patch.edits.iter().any(|(path, edit)| {
        let had = before.get(path).is_some_and(|before| secret.knows(before));
        secret.knows(path.as_bytes()) || matches!(edit, FileEdit::Write(content) if !had && secret.knows(content))
    })
}

fn micro_usd(usd: f64) -> u64 {
    (usd.clamp(0.0, 1e6) * 1e6).ceil() as u64
}

/// Asks the model for an agent; `None` when it is done, or says nothing that can be read.
fn answered(models: &Models, purse: &mut Purse<'_>, now: jiff::Timestamp, message: &[u8]) -> Option<Vec<u8>> {
    let Message { system, ask } = serde_json::from_slice(message).ok()?;
    let question =
        Question { system, messages: vec![(Role::User, ask?)], temperature: None, answer_tokens: 4096, form: None, sample: 0 };
    let said: Value = match purse.ask(models, &question, now).map(|paid| paid.answer) {
        Ok(Ok(reply)) => json!({"text": reply.text}),
        Ok(Err(error)) => json!({"error": plain_line(&error.to_string(), 300)}),
        Err(spent) => json!({"error": plain_line(&spent.why, 300)}),
    };
    Some(said.to_string().into_bytes())
}

/// What a run comes to.
///
/// `tells`: whether its patch has the value of a variable that it was given.
fn outcome(
    config: &AgentConfig,
    brief: &Prompt,
    (ran, tells): (&Ran, bool),
    clean: &dyn Fn(&str) -> String,
) -> (Asking, Option<Candidate>) {
    let program = config.command.first().map_or("agent", |program| program.rsplit('/').next().unwrap_or(program));
    let name = plain_line(if config.name.is_empty() { program } else { &config.name }, 60);
    let said: Said = serde_json::from_slice(&ran.answer).unwrap_or_default();
    let micro_usd = match ran.exit {
        Some(Exit::NotStarted(_)) => 0,
        _ if said.usd > 0.0 => micro_usd(said.usd),
        _ => micro_usd(config.usd),
    };
    let (outcome, candidate) = match &ran.exit {
        Some(Exit::NotStarted(why)) => (format!("cannot be run: {}", plain_line(why, 300)), None),
        Some(Exit::TimedOut) => (format!("was ended after {} s", ran.took.as_secs()), None),
        Some(Exit::Code(ABSTAINS)) => ("abstains".to_string(), None),
        Some(exit) if *exit != Exit::Code(0) => (format!("failed: {exit}"), None),
        _ if ran.patch.edits.is_empty() && ran.elsewhere.is_empty() => ("changed nothing".to_string(), None),
        _ if ran.patch.edits.is_empty() => (format!("changed only what is not the tool's: {}", elsewhere(ran)), None),
        _ if tells => {
            ("proposes a patch with the value of a variable of `[agent] env` in it, which is thrown away".to_string(), None)
        }
        _ => {
            let source = format!("{name} {}", brief.version);
            let author = Author { strategy: "agent", source: &source, trust: config.trust };
            let candidate = model::candidate(ran.patch.clone(), &clean(&said.title), author);
            let left = if ran.elsewhere.is_empty() { String::new() } else { format!("; thrown away: {}", elsewhere(ran)) };
            (format!("proposes patch {}: {}{left}", candidate.patch.id().short(), candidate.title), Some(candidate))
        }
    };
    let printed = clean(&String::from_utf8_lossy(&ran.printed));
    let mut kept = ending(&printed, KEPT.min(config.output_kib << 10)).to_string();
    kept.extend(traffic(&ran.traffic).iter().map(|line| format!("\n{}", clean(line))));
    let outcome = clean(&format!("{outcome}{}", refusals(&ran.traffic)));
    let question = blake3::hash(format!("{}\n{:?}\n{printed}", brief.question, ran.took).as_bytes()).to_hex()[..32].to_string();
    let asking = Asking {
        strategy: "agent".into(),
        by: name,
        prompt: brief.version.clone(),
        question,
        cost: Cost {
            attempts: 1,
            input_tokens: said.input_tokens.min(1 << 40),
            output_tokens: said.output_tokens.min(1 << 40),
            micro_usd,
            milliseconds: u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX),
        },
        recorded: false,
        // What it says of itself is its word.
        estimated: true,
        outcome,
        said: Some(kept).filter(|said| !said.trim().is_empty()),
    };
    (asking, candidate)
}

/// What went through its outlet, a line for each place.
fn traffic(traffic: &Traffic) -> Vec<String> {
    let kib = |bytes: u64| bytes.div_ceil(1 << 10);
    let reached = traffic.reached.iter().map(|(place, [connections, sent, received])| {
        format!("[network] {place}: connections {connections}, sent {} KiB, received {} KiB", kib(*sent), kib(*received))
    });
    reached.chain(traffic.refused.iter().map(|(place, why)| format!("[network] refused: `{place}` {why}"))).collect()
}

/// Whom it wanted to reach in vain.
fn refusals(traffic: &Traffic) -> String {
    let mut told: Vec<String> =
        traffic.refused.iter().take(SHOWN).map(|(place, why)| format!("; it wanted to reach `{place}`, which {why}")).collect();
    if traffic.refused.len() > SHOWN {
        told.push(format!("; {} refusals in all", traffic.refusals));
    }
    if traffic.over {
        told.push("; it was cut off, because it sent and received more than `[agent] traffic_mib`".to_string());
    }
    told.concat()
}

fn elsewhere(ran: &Ran) -> String {
    let shown: Vec<String> = ran.elsewhere.iter().take(3).map(|path| format!("`{}`", plain_line(path, 60))).collect();
    format!("{}{}", shown.join(", "), if ran.elsewhere.len() > 3 { ", …" } else { "" })
}
