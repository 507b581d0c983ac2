//! What the form of a `fractal.toml` cannot say: ranges of values, names used once, paths inside the repository.

use std::time::Duration;

use super::{Config, ConfigError, Span, ToolConfig, forge, improve, model};
use crate::model::check_tool_name;

/// The longest time that is looked back: a century of days.
const DAYS_MAX: u64 = 36_500;
/// The most that is kept or used of anything that is measured in bytes: one tebibyte.
const MIB_MAX: u64 = 1 << 20;
/// A request is in memory as a whole.
const BODY_MIB_MAX: u64 = 1 << 10;
/// More at once only wait for each other.
const PARALLEL_MAX: u64 = 64;
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// No claim on a tool can last longer: one that says so comes from a clock that is wrong.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
const TRIAL_MIN: Duration = Duration::from_millis(10);

/// Refuses values that have the right type and no meaning.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    no_password(&config.store)?;
    share("detect.threshold", config.detect.threshold)?;
    share("validate.agreement", config.validate.agreement)?;
    share("validate.live_shadow", config.validate.live_shadow)?;
    share("validate.mutants_noticed", config.validate.mutants_noticed)?;
    factor("validate.slower", config.validate.slower)?;
    factor("validate.larger", config.validate.larger)?;
    share("detect.high_below", config.detect.high_below)?;
    share("detect.false_discoveries", config.detect.false_discoveries)?;
    at_most("detect.forecast_hours", config.detect.forecast_hours, 24 * DAYS_MAX)?;
    at_most("detect.recent_hours", config.detect.recent_hours, 24 * DAYS_MAX)?;
    at_most("detect.window_days", config.detect.window_days.into(), DAYS_MAX)?;
    at_most("record.retention_days", config.record.retention_days.into(), DAYS_MAX)?;
    at_most("record.limit_kib", config.record.limit_kib as u64, MIB_MAX)?;
    at_most("sync.size_mib", config.sync.size_mib, MIB_MAX)?;
    at_most("improve.revert_days", config.improve.revert_days.into(), DAYS_MAX)?;
    at_most("monitor.days", config.monitor.days.into(), DAYS_MAX)?;
    at_most("serve.body_mib", config.serve.body_mib, BODY_MIB_MAX)?;
    demand(config.serve.body_mib > 0, || "`serve.body_mib` is 0, so that no request would fit".into())?;
    at_most("validate.checkout_mib", config.validate.checkout_mib, MIB_MAX)?;
    at_most("validate.memory_mib", config.validate.memory_mib, MIB_MAX)?;
    at_most("sandbox.disk_mib", config.sandbox.disk_mib, MIB_MAX)?;
    at_most("sandbox.output_mib", config.sandbox.output_mib, MIB_MAX)?;
    demand(config.sandbox.processes > 0, || "`sandbox.processes` is 0, so that nothing could run".into())?;
    for folder in &config.sandbox.read {
        demand(folder.starts_with('/'), || format!("`sandbox.read` has `{folder}`, which is not an absolute path"))?;
    }
    at_most("deploy.versions_mib", config.deploy.versions_mib, MIB_MAX)?;
    steps(&config.deploy.rollout.canary)?;
    at_least("engine.interval", config.engine.interval, INTERVAL_MIN)?;
    demand(config.engine.parallel > 0, || "`engine.parallel` is 0, so that nothing would be looked into".into())?;
    at_most("engine.parallel", config.engine.parallel as u64, PARALLEL_MAX)?;
    demand(config.engine.group > 0, || "`engine.group` is 0, so that nothing would be repaired".into())?;
    at_most("engine.group", config.engine.group as u64, PARALLEL_MAX)?;
    at_least("engine.lease", config.engine.lease, INTERVAL_MIN)?;
    for (name, value) in [("engine.lease", config.engine.lease), ("engine.clock_skew", config.engine.clock_skew)] {
        demand(value.0 <= LEASE_MAX, || format!("`{name}` is {value}; it can be at most {}", Span(LEASE_MAX)))?;
    }
    at_least("validate.time_floor", config.validate.time_floor, TRIAL_MIN)?;
    at_least("validate.suite_time", config.validate.suite_time, TRIAL_MIN)?;
    expressions("record.secrets", &config.record.secrets)?;
    expressions("record.harmless", &config.record.harmless)?;
    demand(config.improve.gate_attempts > 0, || "`improve.gate_attempts` is 0, so that nothing could be accepted".into())?;
    forge::check(&config.forge)?;
    improve::check(&config.improve)?;
    model::check(&config.model, &config.agent)?;
    at_most("model.recordings_mib", config.model.recordings_mib, MIB_MAX)?;
    signs("deploy.author_name", &config.deploy.author_name)?;
    signs("deploy.author_email", &config.deploy.author_email)?;
    let mut seen = std::collections::BTreeSet::new();
    for tool in &config.tools {
        check_tool(tool)?;
        if !seen.insert(tool.name.as_str()) {
            return Err(ConfigError {
                message: format!("tool `{}` is declared twice", tool.name),
                hint: Some("give each `[[tool]]` its own `name`".into()),
            });
        }
    }
    Ok(())
}

fn demand(fits: bool, message: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if fits { Ok(()) } else { Err(ConfigError { message: message(), hint: None }) }
}

/// The file is committed, and read by everyone who has the repository.
fn no_password(store: &str) -> Result<(), ConfigError> {
    let user = store.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()?.rsplit_once('@'));
    if !user.is_some_and(|(user, _)| user.contains(':')) && !store.contains("password=") {
        return Ok(());
    }
    Err(ConfigError {
        message: "`store` holds a password, and this file is for everyone who has the repository".into(),
        hint: Some("take it out and set `PGPASSWORD`, or the whole address as `FRACTAL_STORE`".into()),
    })
}

fn share(name: &str, value: f64) -> Result<(), ConfigError> {
    demand((0.0..=1.0).contains(&value), || format!("`{name}` is {value}, but it is a share between 0 and 1"))
}

fn factor(name: &str, value: f64) -> Result<(), ConfigError> {
    demand((1.0..1e6).contains(&value), || format!("`{name}` is {value}, but it is a factor of at least 1"))
}

fn at_most(name: &str, value: u64, limit: u64) -> Result<(), ConfigError> {
    demand(value <= limit, || format!("`{name}` is {value}; it can be at most {limit}"))
}

fn at_least(name: &str, value: Span, limit: Duration) -> Result<(), ConfigError> {
    demand(value.0 >= limit, || format!("`{name}` is {value}; it must be at least {}", Span(limit)))
}

fn expressions(name: &str, all: &[String]) -> Result<(), ConfigError> {
    let wrong = all.iter().find_map(|one| Some((one, regex::bytes::Regex::new(one).err()?)));
    let Some((one, error)) = wrong else { return Ok(()) };
    // The last line of a syntax error says what is wrong; those before it draw where.
    let why = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
    Err(ConfigError {
        message: format!("`{name}` has `{one}`, which is no regular expression: {why}"),
        hint: Some("it is the syntax of the Rust crate `regex`; in TOML, write it between single quotes".into()),
    })
}

/// Shares rise to the whole.
fn steps(canary: &[u8]) -> Result<(), ConfigError> {
    let rise = canary.is_empty() || canary[0] > 0 && canary.last() == Some(&100) && canary.is_sorted_by(|a, b| a < b);
    if rise {
        return Ok(());
    }
    Err(ConfigError {
        message: format!(
            "`deploy.rollout.canary` is {canary:?}, which are no steps: per cent of the runs, rising, the last one 100"
        ),
        hint: Some("write `canary = [5, 25, 100]`, or `[]` to land without steps".into()),
    })
}

/// Git keeps authors as `name <email>` on one line.
fn signs(name: &str, value: &str) -> Result<(), ConfigError> {
    let fits = !value.trim().is_empty() && !value.contains(['<', '>', '\n', '\0']);
    demand(fits, || format!("`{name}` is `{value}`, which git does not take: it must be text without `<`, `>` and line ends"))
}

fn check_tool(tool: &ToolConfig) -> Result<(), ConfigError> {
    check_tool_name(&tool.name).map_err(|error| ConfigError { message: error.to_string(), hint: None })?;
    demand(!tool.run.is_empty(), || format!("tool `{}` has an empty `run`; write the command as a list", tool.name))?;
    demand(!tool.paths.is_empty(), || format!("tool `{}` has no `paths`; name the files that belong to it", tool.name))?;
    for path in tool.paths.iter().chain(&tool.tests).chain(&tool.needs) {
        let has = |wanted: &str| path.split('/').any(|part| part == wanted);
        let outside = path.starts_with('/') || path.is_empty() || has("..") || has(".git");
        demand(!outside, || format!("tool `{}`: `{path}` is not a path inside the repository", tool.name))?;
        let plain: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if path.trim_end_matches('/') != plain.join("/") {
            return Err(ConfigError {
                message: format!("tool `{}`: `{path}` is not written as git writes paths", tool.name),
                hint: Some(match plain.is_empty() {
                    true => "name the files and folders one by one".into(),
                    false => format!("write `{}`", plain.join("/")),
                }),
            });
        }
    }
    Ok(())
}
