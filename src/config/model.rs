//! `[model]`, `[agent]` and `[budget]`: who is asked for patches besides our own templates, how, and what it may cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::{ConfigError, Span};
use crate::model::Trust;

/// Which language model is asked for patches, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Who is asked: `none`, `openai`, `openai-responses`, `anthropic`, `gemini`, `github`, `ollama`, or `compatible`: any server that
    /// speaks as OpenAI's chat completions do. Keys never stand here: `FRACTAL_MODEL_KEY` holds one, or `FRACTAL_MODEL_KEY_FILE` names a
    /// file with one, or else the provider's own variable (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, `GITHUB_TOKEN`) has it.
    pub provider: Provider,
    /// The model, as the provider calls it.
    pub name: String,
    /// The address below which the provider is asked, such as `http://localhost:8000/v1`. Empty: the provider's own.
    pub url: String,
    /// Answers are read piece by piece, so that one that is silent is noticed early.
    pub stream: bool,
    /// How edits are asked for: `text`, blocks to search and replace, or `json`, as the provider's structured output.
    pub answers: AnswerForm,
    /// Answers to the first question, each with the next one of `temperatures`.
    pub samples: usize,
    /// How free each sample is. A model that takes no temperature wants `[]`.
    pub temperatures: Vec<f64>,
    /// Questions after one another about one failure: after the first each tells what the gate found wrong.
    pub rounds: usize,
    /// Tokens of one answer.
    pub answer_tokens: u64,
    /// What is sent at once, in KiB; what does not fit is left out, code farthest from the suspicious places first.
    pub prompt_kib: usize,
    /// Time for one answer.
    pub timeout: Span,
    /// How far a model's patch may go when the gate accepts it: `review`, a person lands it, or `land`.
    pub trust: Trust,
    /// What was asked and answered is kept in the git directory, redacted: `on`; `off`; or `replay`: only what is kept is answered, and
    /// nobody is asked.
    pub recordings: Recordings,
    /// What is kept may take so much room, in MiB; the oldest goes first.
    pub recordings_mib: u64,
    /// Let the model say in two or three sentences what was wrong and what changes, for the notes and the pull request. Figures, tables
    /// and verdicts are never its.
    pub prose: bool,
    /// What models cost that `templates/models/prices.toml` does not know, or knows wrongly, in dollars for a million tokens:
    /// `"my-model" = { input = 0.5, output = 2.0 }`. The longest name counts that a model's name begins with, one from here before one
    /// from there. A price of 0 is one too.
    pub prices: BTreeMap<String, Price>,
}

/// Dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what is asked.
    pub input: f64,
    /// Of what is answered.
    pub output: f64,
}

impl Price {
    /// Millionths of a dollar for so many tokens, rounded up.
    pub fn micro_usd(self, input: u64, output: u64) -> u64 {
        (self.input * input as f64 + self.output * output as f64).ceil() as u64
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Nobody.
    #[default]
    None,
    /// OpenAI by chat completions.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI by responses.
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    /// Anthropic by messages.
    Anthropic,
    /// Google by its interface that speaks as OpenAI's.
    Gemini,
    /// GitHub Models.
    #[serde(rename = "github")]
    GitHub,
    /// Ollama on this machine.
    Ollama,
    /// Any other server that speaks as OpenAI's chat completions do.
    Compatible,
}

/// How edits are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerForm {
    /// Blocks to search and replace.
    #[default]
    Text,
    /// The provider's structured output.
    Json,
}

/// What becomes of questions and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Recordings {
    /// They are kept, and what is kept is not asked again.
    #[default]
    On,
    /// They are forgotten.
    Off,
    /// Only what is kept is answered.
    Replay,
}

/// Which coding agent is asked for patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// The command, run in a scratch checkout inside the sandbox. `{brief}` stands for the file that says what is wanted, and `{root}` for
    /// the checkout. Empty: none.
    pub command: Vec<String>,
    /// Its name in the log. Empty: the name of its program.
    pub name: String,
    /// Whom it can reach: `none`; `model`: through us and without a key, the provider of `[model]`, within the budget; or `endpoints`: those
    /// of the list, with a client of its own that goes through the proxy which its environment names.
    pub network: AgentNetwork,
    /// Whom an agent with `network = "endpoints"` can reach: `api.example.com`, or with another port than 443 `api.example.com:8443`. Names
    /// are exact. `http://` before one allows requests that are not encrypted; this machine (`localhost:11434`) needs none.
    pub endpoints: Vec<Endpoint>,
    /// Variables that are handed through to it from the environment of Fractal, such as `ANTHROPIC_API_KEY`; no tool and no candidate gets
    /// them. Their values are taken out of everything that is kept, and a patch that has one is refused.
    pub env: Vec<String>,
    /// What it may send and receive in one run, in MiB, with `network = "endpoints"`.
    pub traffic_mib: u64,
    /// Memory that it may really use, all of its processes together, in MiB. `[validate] memory_mib` is not for it: what Node and its like
    /// reserve is far more than they use.
    pub memory_mib: u64,
    /// Time for one run.
    pub time: Span,
    /// What it prints is kept up to so much, in KiB, and told in the notes.
    pub output_kib: usize,
    /// What one run costs in dollars, where it says nothing itself.
    pub usd: f64,
    /// How far its patch may go when the gate accepts it: `review` or `land`.
    pub trust: Trust,
}

/// Whom an agent can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentNetwork {
    /// Nobody.
    #[default]
    None,
    /// The provider of `[model]`, through us.
    Model,
    /// Those of `[agent] endpoints`, by itself.
    Endpoints,
}

/// What asking models and agents may cost. What is used is counted in the log; room for the most that something may cost is taken before it
/// is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// For one opportunity.
    pub opportunity: LimitsConfig,
    /// For a day, by UTC.
    pub day: LimitsConfig,
    /// For the repository, for ever.
    pub repository: LimitsConfig,
}

/// Limits. 0: any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Tokens of questions and answers.
    pub tokens: u64,
    /// Dollars. A model whose price nobody knows is not asked where this is a limit.
    pub usd: f64,
    /// Minutes of waiting for answers.
    pub minutes: u64,
    /// Questions to a model, and runs of an agent.
    pub attempts: u64,
}

pub(super) fn model_defaults() -> ModelConfig {
    ModelConfig {
        provider: Provider::None,
        name: String::new(),
        url: String::new(),
        stream: true,
        answers: AnswerForm::Text,
        samples: 3,
        temperatures: vec![0.0, 0.4, 0.8],
        rounds: 3,
        answer_tokens: 4096,
        prompt_kib: 48,
        timeout: Span::seconds(120),
        trust: Trust::Review,
        recordings: Recordings::On,
        recordings_mib: 64,
        prose: false,
        prices: BTreeMap::new(),
    }
}

pub(super) fn agent_defaults() -> AgentConfig {
    AgentConfig {
        command: Vec::new(),
        name: String::new(),
        network: AgentNetwork::None,
        endpoints: Vec::new(),
        env: Vec::new(),
        traffic_mib: 256,
        memory_mib: 4096,
        time: Span::seconds(600),
        output_kib: 256,
        usd: 0.0,
        trust: Trust::Review,
    }
}

pub(super) fn budget_defaults() -> BudgetConfig {
    BudgetConfig {
        opportunity: LimitsConfig { tokens: 150_000, usd: 0.5, minutes: 15, attempts: 8 },
        day: LimitsConfig { tokens: 2_000_000, usd: 5.0, minutes: 120, attempts: 200 },
        repository: LimitsConfig::default(),
    }
}

impl BudgetConfig {
    /// The first level that has a limit in dollars.
    pub fn in_dollars(&self) -> Option<&'static str> {
        let levels = [("opportunity", &self.opportunity), ("day", &self.day), ("repository", &self.repository)];
        levels.into_iter().find(|(_, limits)| limits.usd > 0.0).map(|(name, _)| name)
    }
}

impl Provider {
    /// Its own address; `None` where it has none.
    pub fn address(self) -> Option<&'static str> {
        match self {
            Provider::None | Provider::Compatible => None,
            Provider::OpenAi | Provider::OpenAiResponses => Some("https://api.openai.com/v1"),
            Provider::Anthropic => Some("https://api.anthropic.com/v1"),
            Provider::Gemini => Some("https://generativelanguage.googleapis.com/v1beta/openai"),
            Provider::GitHub => Some("https://models.github.ai/inference"),
            Provider::Ollama => Some("http://localhost:11434/v1"),
        }
    }

    /// The variable in which its programs look for a key.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Provider::None | Provider::Compatible | Provider::Ollama => None,
            Provider::OpenAi | Provider::OpenAiResponses => Some("OPENAI_API_KEY"),
            Provider::Anthropic => Some("ANTHROPIC_API_KEY"),
            Provider::Gemini => Some("GEMINI_API_KEY"),
            Provider::GitHub => Some("GITHUB_TOKEN"),
        }
    }
}

/// Refuses what cannot be meant.
pub(super) fn check(model: &ModelConfig, agent: &AgentConfig) -> Result<(), ConfigError> {
    let wrong = |message: String, hint: &str| Err(ConfigError { message, hint: Some(hint.to_string()) });
    let plain = ["https://", "http://"].iter().find_map(|scheme| model.url.strip_prefix(scheme));
    if !model.url.is_empty() && !plain.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#', ' '])) {
        let message = format!("`model.url` is `{}`, which is no address", model.url.replace('@', "…"));
        return wrong(message, "write it as in `http://localhost:8000/v1`, without a user and a key");
    }
    if model.provider != Provider::None && model.name.is_empty() {
        return wrong("`model.provider` is set, and `model.name` is empty".into(), "name the model as the provider calls it");
    }
    if model.provider == Provider::Compatible && model.url.is_empty() {
        return wrong("`model.provider` is `compatible`, and `model.url` is empty".into(), "say where the server is");
    }
    if [model.trust, agent.trust].contains(&Trust::Diagnosis) {
        return wrong("`trust` is `diagnosis`, so that no patch could be proposed".into(), "write `review` or `land`");
    }
    let odd = model.prices.iter().find(|(_, price)| ![price.input, price.output].iter().all(|usd| (0.0..1e6).contains(usd)));
    if let Some((name, price)) = odd {
        let message = format!("`model.prices` has {} and {} for `{name}`", price.input, price.output);
        return wrong(message, "a price is dollars for a million tokens, from 0 on");
    }
    let within = |name: &str, value: usize, most: usize| match (1..=most).contains(&value) {
        true => Ok(()),
        false => wrong(format!("`model.{name}` is {value}; it must be between 1 and {most}"), "see `fractal config`"),
    };
    check_agent(agent)?;
    within("samples", model.samples, 16)?;
    within("rounds", model.rounds, 16)?;
    within("prompt_kib", model.prompt_kib, 1 << 14)?;
    let odd = model.temperatures.iter().find(|value| !(0.0..=2.0).contains(*value));
    odd.map_or(Ok(()), |odd| wrong(format!("`model.temperatures` has {odd}"), "temperatures are between 0 and 2"))
}

/// Variables that an agent gets from us, or by which its programs would be others.
const OURS: [&str; 12] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "FTP_PROXY",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "NODE_USE_ENV_PROXY",
];

fn check_agent(agent: &AgentConfig) -> Result<(), ConfigError> {
    let wrong = |message: String, hint: &str| Err(ConfigError { message, hint: Some(hint.to_string()) });
    match (agent.network, agent.endpoints.is_empty()) {
        (AgentNetwork::Endpoints, true) => {
            let message = "`agent.network` is `endpoints`, and `agent.endpoints` is empty".into();
            return wrong(message, "name whom the agent may reach, as in `endpoints = [\"api.example.com:443\"]`");
        }
        (AgentNetwork::None | AgentNetwork::Model, false) => {
            let message =
                "`agent.endpoints` has entries, and `agent.network` is not `endpoints`, so that none of them could be reached"
                    .into();
            return wrong(message, "write `network = \"endpoints\"`, or take the list out");
        }
        _ => {}
    }
    for (name, value) in [("traffic_mib", agent.traffic_mib), ("memory_mib", agent.memory_mib)] {
        if !(1..=1 << 20).contains(&value) {
            return wrong(format!("`agent.{name}` is {value}; it must be between 1 and 1048576"), "see `fractal config`");
        }
    }
    for name in &agent.env {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
            // What stands there may be the secret itself.
            let message = "`agent.env` has an entry that is no name of a variable".into();
            return wrong(message, "write names only, as in `env = [\"ANTHROPIC_API_KEY\"]`; the values stay in the environment");
        }
        let upper = name.to_ascii_uppercase();
        if OURS.contains(&upper.as_str()) || upper.starts_with("FRACTAL_") {
            return wrong(format!("`agent.env` has `{name}`, which is Fractal's own"), "take it out of the list");
        }
    }
    Ok(())
}
