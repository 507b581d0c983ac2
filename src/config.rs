//! `fractal.toml`: one struct. Its doc comments are the reference and the schema; its defaults are the profiles.
//!
//! Reading the file is not done here: text in, [`Config`] or a [`ConfigError`] that names the line out.

mod check;
mod endpoint;
mod forge;
mod improve;
mod model;
mod monitor;
mod reference;
mod rollout;
mod sandbox;
mod span;
mod validate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::check::LEASE_MAX;
pub use self::endpoint::Endpoint;
pub use self::forge::{ForgeConfig, ForgeKind, LandBy, TokenMode, is_repository};
pub use self::improve::{ImproveConfig, Route, StrategyName};
pub use self::model::{
    AgentConfig, AgentNetwork, AnswerForm, BudgetConfig, LimitsConfig, ModelConfig, Price, Provider, Recordings,
};
pub use self::monitor::MonitorConfig;
pub use self::reference::reference;
pub use self::rollout::{RolloutConfig, Sticky};
pub use self::sandbox::{Protection, SandboxConfig};
pub use self::span::Span;
pub use self::validate::{NewAnswers, UnknownEffects, ValidateConfig};
use crate::model::{CaptureLevel, Comparison, SideEffects, StdinUse, SuccessRule};

/// The name of the file, in the root of the repository.
pub const FILE: &str = "fractal.toml";

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Defaults to start from: `default`, `development`, `production` or `aggressive`. Keys in the file win over the profile.
    pub profile: Profile,
    /// The branch that improvements land on. Empty: the branch that is checked out.
    pub base: String,
    /// Where executions are kept. Empty: an SQLite file in the git directory. `postgres://USER@HOST/DATABASE`: a PostgreSQL server,
    /// for many machines at once, one database for each repository; the password comes from `PGPASSWORD`, never from here. How much of
    /// the server's certificate is checked is said as elsewhere: `?sslmode=verify-full&sslrootcert=FILE`. The environment variable
    /// `FRACTAL_STORE` goes before.
    pub store: String,
    /// How often the loop runs and how much it does at a time.
    pub engine: EngineConfig,
    /// How tools are found that are not declared.
    pub discover: DiscoverConfig,
    /// What is kept of a run.
    pub record: RecordConfig,
    /// When a tool needs attention.
    pub detect: DetectConfig,
    /// How a failure is looked into.
    pub investigate: InvestigateConfig,
    /// How candidates are made.
    pub improve: ImproveConfig,
    /// Which language model is asked for patches, and how.
    pub model: ModelConfig,
    /// Which coding agent is asked for patches.
    pub agent: AgentConfig,
    /// What asking models and agents may cost.
    pub budget: BudgetConfig,
    /// What a candidate must pass.
    pub validate: ValidateConfig,
    /// How what runs is confined.
    pub sandbox: SandboxConfig,
    /// How an improvement lands.
    pub deploy: DeployConfig,
    /// Where proposals are looked at and landed.
    pub forge: ForgeConfig,
    /// How a landed improvement is watched.
    pub monitor: MonitorConfig,
    /// How executions are exchanged through git.
    pub sync: SyncConfig,
    /// How `fractal serve` receives executions.
    pub serve: ServeConfig,
    /// The tools of the repository.
    #[serde(rename = "tool")]
    pub tools: Vec<ToolConfig>,
}

/// A named set of defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// For most repositories.
    #[default]
    Default,
    /// Looks often and needs little: for trying things out.
    Development,
    /// Needs more evidence and looks less often.
    Production,
    /// Acts on weaker signals.
    Aggressive,
}

/// How often the loop runs and how much it does at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Time between two cycles of `fractal watch`.
    pub interval: Span,
    /// Time between two maintenance runs: old executions go, scratch left behind by killed runs goes.
    pub maintenance: Span,
    /// Opportunities taken on in one cycle; the others wait for the next.
    pub opportunities_per_cycle: usize,
    /// Opportunities that are looked into at the same time, from the first run to the gate: of different tools, none of which uses
    /// another one. They are recorded and land one after the other: what the base got in between is no longer what the next one was
    /// validated on, so that its candidate goes through the gate again.
    pub parallel: usize,
    /// Tools that one improvement may repair, where the same failure has the same repair in all of them: one commit, which lands whole or
    /// not at all, and is reverted whole. 1: each tool by itself. With more, a loop claims the repository while it works, and not a tool;
    /// and as long as live runs have a say in what lands (`[deploy] shadow_runs`, `[deploy.rollout]`), each tool stays by itself.
    pub group: usize,
    /// Nothing outward is done: no branch, no landing, no revert, no note, no push.
    pub paused: bool,
    /// How long a tool that a loop works on is left to it when nothing more is heard of that loop. Loops prolong it while they work.
    pub lease: Span,
    /// By how much the clocks of machines with loops may differ.
    pub clock_skew: Span,
}

/// How tools are found that are not declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverConfig {
    /// Look for tools that are not declared.
    pub enabled: bool,
    /// Folders in which scripts are looked for. `.` is the whole repository.
    pub folders: Vec<String>,
    /// At most so many tools are found.
    pub limit: usize,
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordConfig {
    /// Bytes kept of each of standard input, output and error, in KiB. A longer input makes the run impossible to repeat.
    pub limit_kib: usize,
    /// Executions older than this are removed by maintenance.
    pub retention_days: u32,
    /// Executions with their inputs and outputs may take so much room, in MiB; the oldest are removed by maintenance. 0: any.
    pub size_mib: u64,
    /// How much of a run is kept: `none`, `digest`, `redacted` or `full`.
    pub capture: CaptureLevel,
    /// Runs that wait on disk because the store is away may take so much room, in MiB.
    pub spool_mib: u64,
    /// Regular expressions of secrets beyond the known ones. The group `s` is taken out, or the whole match without one.
    pub secrets: Vec<String>,
    /// Regular expressions of text that looks like a secret and is none. They must match the whole of it.
    pub harmless: Vec<String>,
    /// Environment variables whose values are taken out wherever they turn up. `*` at either end stands for anything.
    pub secret_environment: Vec<String>,
}

/// How executions are exchanged through git.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// The remote through which `fractal sync` exchanges executions, such as `origin`. Empty: they stay on this machine.
    pub remote: String,
    /// What this machine publishes may take so much room there, in MiB, compressed; the oldest goes first.
    pub size_mib: u64,
    /// Segments of this machine from which on they are joined.
    pub segments: usize,
}

/// How `fractal serve` receives executions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Address and port to listen on. Nothing is encrypted or authenticated: beyond this machine, put a proxy before it.
    pub listen: String,
    /// Executions that may wait to be stored. When so many wait, senders are asked to come back later.
    pub queue: usize,
    /// Size of one request after decompression, in MiB.
    pub body_mib: u64,
}

/// When a tool needs attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// How a low success rate is told from bad luck: `rate`, `wilson`, `bh` or `e-bh`.
    pub rule: LowSuccess,
    /// With `bh` and `e-bh`: how many of the tools that are named may be as good as the threshold, as a share.
    pub false_discoveries: f64,
    /// Fewer runs of a version say nothing.
    pub minimum_executions: u64,
    /// A lower success rate is an opportunity of medium priority.
    pub threshold: f64,
    /// A lower success rate is an opportunity of high priority.
    pub high_below: f64,
    /// So many failures of one kind within `recent_hours` are an opportunity.
    pub recent_failures: u64,
    /// See `recent_failures`.
    pub recent_hours: u64,
    /// A failure seen fewer times is not looked into by itself.
    pub minimum_failures: u64,
    /// More failures within `recent_hours` than the runs before let expect are an opportunity.
    pub bursts: bool,
    /// A version that begins to fail more than it did is an opportunity.
    pub drift: bool,
    /// A version that takes longer than the one before is an opportunity. Nothing is repaired for it: a person is told.
    pub latency: bool,
    /// A success rate that falls and will probably be below `threshold` within so many hours is an opportunity. 0: none is foretold.
    pub forecast_hours: u64,
    /// Older executions are not looked at.
    pub window_days: u32,
}

/// How a low success rate is told from bad luck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LowSuccess {
    /// The rate is below the threshold. Of few runs, many innocent tools are.
    #[default]
    Rate,
    /// The upper end of Wilson's 95 % interval is below the threshold.
    Wilson,
    /// Benjamini-Hochberg over all tools: few of those that are named are innocent. Reads the sums of all tools.
    Bh,
    /// The same by evidence that may be looked at again and again, which the loop does; slower to name a tool.
    EBh,
}

/// How a failure is looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InvestigateConfig {
    /// Distinct failing inputs that are run again.
    pub inputs: usize,
    /// Times each of them is run on the untouched version.
    pub runs: u32,
    /// Versions of the tool that are looked back through for the culprit commit.
    pub versions: usize,
}

/// How an improvement lands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeployConfig {
    /// Land what the gate accepts. Without it every improvement waits on its branch for a person.
    pub land: bool,
    /// Land reverts of people's commits too. Without it they are proposed.
    pub land_reverts: bool,
    /// An improvement lands only after so many live runs, repeated beside it, agreed (`[validate] live_shadow`). Whatever the number, one
    /// that a live run speaks against waits for a person.
    pub shadow_runs: u64,
    /// Live runs through `fractal exec` get a proposal step by step before it lands.
    pub rollout: RolloutConfig,
    /// Versions of tools that are kept as folders, so that a run of one needs no checkout, may take so much room, in MiB; those that
    /// were not used for longest go first.
    pub versions_mib: u64,
    /// A remote to push branches, the base, notes and the log to, such as `origin`. Empty: nothing is pushed.
    pub remote: String,
    /// Author and committer of the bot's commits.
    pub author_name: String,
    /// See `author_name`.
    pub author_email: String,
}

/// One declared tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolConfig {
    /// Unique name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Files and folders that belong to the tool: only these may be changed.
    pub paths: Vec<String>,
    /// How to run it. `{root}` is the root of the checkout; an element that equals one of `paths` or `tests` is relative to it.
    pub run: Vec<String>,
    /// How to run its tests, in the root of a checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Its test files. They may be added to, never edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<String>,
    /// What a scratch checkout needs besides `paths` and `tests`. Empty: the whole repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// A longer run is ended and counts as a failure. `fractal exec` then returns 124.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How much of its runs is kept, if not what `[record] capture` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureLevel>,
    /// How long its runs are kept, if not what `[record] retention_days` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Its runs with their inputs and outputs may take so much room, in MiB; the oldest are removed by maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mib: Option<u64>,
    /// What is done with standard input that is a pipe: `capture` it, so that the run can be repeated, or leave it to the tool
    /// (`inherit`): right for tools that are run in a shell's `while read` loop and do not read it themselves.
    #[serde(default)]
    pub stdin: StdinUse,
    /// When a run counts as a success.
    #[serde(default)]
    pub success: SuccessRule,
    /// What a run does: `none`, `files`, `network` or `destructive`. Recorded runs of the last two are never repeated.
    #[serde(default)]
    pub effects: SideEffects,
    /// How strictly the answers of two versions are compared: `exact`, `json`, `semantic` (whatever the order), `masked` (all but what
    /// varies by itself), `schema` (keys and types). What varies by itself is compared more loosely without being told.
    #[serde(default)]
    pub compare: Comparison,
    /// Revert confirmed regressions of it, as `[monitor] revert` says for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Config::of(Profile::Default)
    }
}

macro_rules! defaults_of_default_profile {
    ($($part:ident: $type:ty),* $(,)?) => {
        $(impl Default for $type {
            fn default() -> Self {
                Config::of(Profile::Default).$part
            }
        })*
    };
}

defaults_of_default_profile! {
    engine: EngineConfig, discover: DiscoverConfig, record: RecordConfig, detect: DetectConfig,
    investigate: InvestigateConfig, improve: ImproveConfig, validate: ValidateConfig, deploy: DeployConfig,
    monitor: MonitorConfig, sandbox: SandboxConfig, sync: SyncConfig, serve: ServeConfig, forge: ForgeConfig,
    model: ModelConfig, agent: AgentConfig, budget: BudgetConfig,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        rollout::defaults()
    }
}

impl Config {
    /// The defaults of a profile.
    pub fn of(profile: Profile) -> Self {
        let (interval, maintenance_hours, minimum_executions, threshold) = match profile {
            Profile::Default => (300, 24, 10, 0.7),
            Profile::Development => (60, 1, 3, 0.8),
            Profile::Production => (1800, 24, 50, 0.7),
            Profile::Aggressive => (300, 6, 5, 0.75),
        };
        Config {
            profile,
            base: String::new(),
            store: String::new(),
            engine: EngineConfig {
                interval: Span::seconds(interval),
                maintenance: Span::seconds(maintenance_hours * 3600),
                opportunities_per_cycle: 8,
                parallel: 1,
                group: 1,
                paused: false,
                lease: Span::seconds(900),
                clock_skew: Span::seconds(60),
            },
            discover: DiscoverConfig { enabled: true, folders: vec![".".into()], limit: 500 },
            record: record_defaults(),
            detect: DetectConfig {
                rule: if profile == Profile::Production { LowSuccess::Wilson } else { LowSuccess::Rate },
                false_discoveries: 0.1,
                minimum_executions,
                threshold,
                high_below: 0.5,
                recent_failures: 3,
                recent_hours: 24,
                minimum_failures: 2,
                bursts: true,
                drift: true,
                latency: true,
                forecast_hours: 72,
                window_days: 30,
            },
            investigate: InvestigateConfig { inputs: 6, runs: 3, versions: 64 },
            improve: improve::defaults(),
            model: model::model_defaults(),
            agent: model::agent_defaults(),
            budget: model::budget_defaults(),
            validate: validate::defaults(profile),
            sandbox: sandbox::defaults(),
            deploy: DeployConfig {
                land: true,
                land_reverts: false,
                shadow_runs: 0,
                rollout: rollout::defaults(),
                versions_mib: 256,
                remote: String::new(),
                author_name: "Fractal".into(),
                author_email: "fractal@localhost".into(),
            },
            forge: forge::defaults(),
            monitor: monitor::defaults(),
            sync: SyncConfig { remote: String::new(), size_mib: 64, segments: 16 },
            serve: ServeConfig { listen: "127.0.0.1:4318".into(), queue: 20_000, body_mib: 16 },
            tools: Vec::new(),
        }
    }

    /// Reads the bytes of a `fractal.toml`.
    ///
    /// # Errors
    /// As [`Config::parse`], and bytes that are not UTF-8.
    pub fn read(bytes: &[u8]) -> Result<Config, ConfigError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            ConfigError { message: format!("line {line}: the text is not UTF-8"), hint: Some("save the file as UTF-8".into()) }
        })?;
        Config::parse(text)
    }

    /// Reads the text of a `fractal.toml`: the profile's defaults, and the file's keys over them.
    ///
    /// # Errors
    /// Anything that is not the documented form: unknown keys (with the nearest known one), wrong types, values out of range,
    /// tools declared twice. The message names line and column where there is one.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        // First strictly and alone, for messages with positions; then merged over the profile.
        let strict: Config = toml::from_str(text).map_err(|error| ConfigError::syntax(text, &error))?;
        let file: toml::Table = toml::from_str(text).map_err(|error| ConfigError::syntax(text, &error))?;
        let mut merged = toml::Table::try_from(Config::of(strict.profile)).map_err(ConfigError::bug)?;
        overlay(&mut merged, file);
        let config: Config = merged.try_into().map_err(|error: toml::de::Error| ConfigError::syntax(text, &error))?;
        check::check(&config)?;
        Ok(config)
    }

    /// How much of a tool's runs is kept.
    pub fn capture_of(&self, tool: &str) -> CaptureLevel {
        let declared = self.tools.iter().find(|declared| declared.name == tool);
        declared.and_then(|declared| declared.capture).unwrap_or(self.record.capture)
    }

    /// The JSON schema of `fractal.toml`.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
}

fn record_defaults() -> RecordConfig {
    RecordConfig {
        limit_kib: 256,
        retention_days: 90,
        size_mib: 0,
        capture: CaptureLevel::Redacted,
        spool_mib: 256,
        secrets: Vec::new(),
        harmless: Vec::new(),
        secret_environment: ["*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*API_KEY*", "*ACCESS_KEY*", "*PRIVATE_KEY*"]
            .map(String::from)
            .into(),
    }
}

/// Lays `over`'s keys over `under`, table by table.
fn overlay(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => overlay(inner, value),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// What is wrong with a `fractal.toml`, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    pub message: String,
    pub hint: Option<String>,
}

impl ConfigError {
    fn bug(error: impl std::fmt::Display) -> Self {
        ConfigError { message: format!("the defaults cannot be written as TOML: {error}"), hint: None }
    }

    fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            format!("line {line}, column {column}: ")
        });
        let message = error.message().to_string();
        ConfigError { hint: suggestion(&message), message: format!("{}{message}", place.unwrap_or_default()) }
    }
}

/// The nearest known key, from serde's `unknown field `x`, expected one of `a`, `b``.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown") {
        return None;
    }
    let unknown = quoted.next()?;
    let nearest = quoted.min_by_key(|known| strsim::damerau_levenshtein(unknown, known))?;
    (strsim::damerau_levenshtein(unknown, nearest) <= 3).then(|| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_have_the_documented_parameters() {
        let parameters = |profile| {
            let config = Config::of(profile);
            (
                config.engine.interval.0.as_secs(),
                config.engine.maintenance.0.as_secs() / 3600,
                config.detect.minimum_executions,
                config.detect.threshold,
            )
        };
        assert_eq!(parameters(Profile::Default), (300, 24, 10, 0.7));
        assert_eq!(parameters(Profile::Development), (60, 1, 3, 0.8));
        assert_eq!(parameters(Profile::Production), (1800, 24, 50, 0.7));
        assert_eq!(parameters(Profile::Aggressive), (300, 6, 5, 0.75));
    }

    #[test]
    fn keys_of_the_file_win_over_the_profile_and_the_rest_is_the_profile() {
        let config = Config::parse("profile = \"production\"\n[detect]\nthreshold = 0.9\n").expect("parses");
        assert_eq!(config.detect.threshold, 0.9);
        assert_eq!(config.detect.minimum_executions, 50);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place_and_a_suggestion() {
        let error = Config::parse("[detect]\nthreshhold = 0.9\n").expect_err("must be refused");
        assert!(error.message.starts_with("line 2, column 1: unknown field `threshhold`"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("did you mean `threshold`?"));
    }

    #[test]
    fn values_out_of_range_and_tools_declared_twice_are_refused() {
        assert!(Config::parse("[detect]\nthreshold = 1.5").is_err());
        assert!(Config::parse("[engine]\ninterval = \"5 fortnights\"").is_err());
        let tool = "[[tool]]\nname = \"a\"\npaths = [\"a\"]\nrun = [\"a\"]\n";
        assert!(Config::parse(tool).is_ok());
        assert!(Config::parse(&tool.repeat(2)).expect_err("twice").message.contains("declared twice"));
        assert!(Config::parse(&tool.replace("paths = [\"a\"]", "paths = [\"../a\"]")).is_err());
    }

    #[test]
    fn what_is_no_regular_expression_is_refused_with_the_reason() {
        let error = Config::parse("[record]\nsecrets = ['ok', 'a(b']\n").expect_err("must be refused");
        assert_eq!(error.message, "`record.secrets` has `a(b`, which is no regular expression: unclosed group");
        assert!(Config::parse("[record]\nharmless = ['[']\n").is_err());
        assert!(Config::parse("[record]\nsecrets = ['case-(?P<s>[0-9]+)']\n").is_ok());
    }

    #[test]
    fn the_reference_is_itself_a_valid_file_that_changes_nothing() {
        assert_eq!(Config::parse(&reference()).expect("the reference parses"), Config::default());
    }
}
