//! `[forge]`: where proposals are looked at and landed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Span};

/// Where proposals are looked at and landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForgeConfig {
    /// `local`: git alone, a branch is a proposal. `github`: pull requests; branches go to `[deploy] remote`.
    pub kind: ForgeKind,
    /// `OWNER/NAME` on GitHub. Empty: what `GITHUB_REPOSITORY` says.
    pub repository: String,
    /// Where GitHub's interface for programs is, such as `https://github.example.com/api/v3` of a server of one's own. Empty: what
    /// `GITHUB_API_URL` says, else `https://api.github.com`.
    pub url: String,
    /// Whose token it is, which decides what it may do: `app`, `pat` or `github-token`. Tokens themselves never stand here:
    /// `FRACTAL_GITHUB_TOKEN` or `GITHUB_TOKEN` holds one, or `FRACTAL_GITHUB_TOKEN_FILE` names a file with one. With `app` it is the App's
    /// private key: `FRACTAL_GITHUB_APP_KEY`, or the file that `FRACTAL_GITHUB_APP_KEY_FILE` names.
    pub token: TokenMode,
    /// With `token = "app"`: the number of the App.
    pub app: u64,
    /// So many proposals are open at once; what is accepted besides waits on its branch. Reverts do not count.
    pub open_max: u32,
    /// So many proposals are opened within an hour. Reverts do not count.
    pub per_hour: u32,
    /// So long at least from one change on the forge to the next. GitHub asks for a second; a server of one's own may allow less.
    pub pace: Span,
    /// A proposal that waits for a person and that nobody has touched for so many days is closed. 0: never.
    pub stale_days: u32,
    /// Labels that a new proposal gets.
    pub labels: Vec<String>,
    /// How proposals are landed: `merge`, `squash` or `rebase`; `any`: the first of these that the forge allows. `push`: the base is moved
    /// to the validated commit under a lease, so that nothing can come in between; the forge's rules have to allow that.
    pub way: LandBy,
    /// Land also what no check of the forge has looked at. The gate has, but on our machine only.
    pub without_checks: bool,
    /// Have the forge land by itself (automatic merging, merge queue) what only waits for checks that its rules demand.
    pub automatic: bool,
    /// Keep one issue that says how everything stands: what waits for a person, what is open, watched, reverted, turned down. Closed by a
    /// person, it is left alone until it is opened again.
    pub dashboard: bool,
    /// Workflows of the forge whose runs and jobs are recorded as executions of tools of these names, as `fractal import` does: names of
    /// workflows, or of their files such as `build.yml`. What was run for copies of the repository (forks) is left out.
    pub runs: Vec<String>,
    /// Artifacts of these names hold executions as JSON lines (`fractal executions export`), plain or gzip, and are read once each.
    /// Whoever may start workflows on branches of the repository may write them.
    pub artifacts: Vec<String>,
}

/// How proposals are landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LandBy {
    /// What the forge allows; merge before squash before rebase.
    #[default]
    Any,
    /// The commit that was validated, and a merge commit with the same tree.
    Merge,
    /// A new commit with the same tree.
    Squash,
    /// A new commit with the same tree, without the forge's mark of a pull request.
    Rebase,
    /// The commit that was validated, and nothing else.
    Push,
}

/// What proposals are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForgeKind {
    /// Branches, in git alone.
    #[default]
    Local,
    /// Pull requests.
    GitHub,
}

/// Whose token it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenMode {
    /// An installation of a GitHub App: its pushes start checks, it may report checks, its commits can be verified.
    App,
    /// A person's token: its pushes start checks; it reports statuses instead of checks.
    Pat,
    /// The token of a workflow: what it pushes starts no checks until a person says so.
    #[default]
    GithubToken,
}

/// No forge but git.
pub(super) fn defaults() -> ForgeConfig {
    ForgeConfig {
        kind: ForgeKind::Local,
        repository: String::new(),
        url: String::new(),
        token: TokenMode::GithubToken,
        app: 0,
        open_max: 2,
        per_hour: 1,
        pace: Span(std::time::Duration::from_secs(1)),
        stale_days: 60,
        labels: vec!["fractal".into()],
        way: LandBy::Any,
        without_checks: false,
        automatic: false,
        dashboard: false,
        runs: Vec::new(),
        artifacts: Vec::new(),
    }
}

/// Refuses what cannot be meant.
pub(super) fn check(forge: &ForgeConfig) -> Result<(), ConfigError> {
    let wrong = |message: String, hint: &str| Err(ConfigError { message, hint: Some(hint.to_string()) });
    if !forge.repository.is_empty() && !is_repository(&forge.repository) {
        let message = format!("`forge.repository` is `{}`, which is no repository", forge.repository);
        return wrong(message, "write `OWNER/NAME`, without a host");
    }
    let plain = ["https://", "http://"].iter().find_map(|scheme| forge.url.strip_prefix(scheme));
    if !forge.url.is_empty() && !plain.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#', ' '])) {
        let message = format!("`forge.url` is `{}`, which is no address of an interface", forge.url.replace('@', "…"));
        return wrong(message, "write it as in `https://github.example.com/api/v3`, without a user");
    }
    if forge.token == TokenMode::App && forge.app == 0 && forge.kind == ForgeKind::GitHub {
        return wrong("`forge.token` is `app`, and `forge.app` does not say which".into(), "the number stands on the App's page");
    }
    let names = [("runs", &forge.runs), ("artifacts", &forge.artifacts)];
    for (key, name) in names.into_iter().flat_map(|(key, names)| names.iter().map(move |name| (key, name))) {
        if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            let message = format!("`forge.{key}` holds {name:?}, which is no name");
            return wrong(message, "write the name as the forge shows it, or leave the list empty");
        }
    }
    Ok(())
}

/// `OWNER/NAME` of letters, digits, `.`, `_` and `-`.
pub fn is_repository(text: &str) -> bool {
    let plain = |part: &str| {
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part.len() <= 100 && part.bytes().all(sign) && !matches!(part, "." | "..")
    };
    text.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_is_no_repository_or_no_address_is_refused() {
        let parse = |text: &str| Config::parse(&format!("[forge]\n{text}\n")).map(|config| config.forge);
        assert!(parse("kind = \"github\"\nrepository = \"ana/tools\"\nurl = \"https://github.example.com/api/v3\"").is_ok());
        for repository in ["ana", "ana/tools/x", "https://github.com/ana/tools", "ana/..", "ana/to ols", "/tools"] {
            let error = parse(&format!("repository = \"{repository}\"")).expect_err(repository);
            assert!(error.message.contains("forge.repository"), "{}", error.message);
        }
        for url in ["github.com", "ftp://x", "https://", "https://ana:secret@x/api"] {
            assert!(parse(&format!("url = \"{url}\"")).is_err(), "{url}");
        }
        assert!(parse("kind = \"github\"\ntoken = \"app\"").expect_err("no number").message.contains("forge.app"));
        assert!(parse("runs = [\"CI\", \"\"]").expect_err("no name").message.contains("forge.runs"));
        assert!(parse("token = \"ghp_123\"").is_err(), "a token is no mode");
    }
}
