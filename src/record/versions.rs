//! Which version of which tool a run from elsewhere was: what the catalog and git know of it.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::config::Config;
use crate::model::{CommitId, SuccessRule, Tool, Version, plain_line};
use crate::world::catalog::{catalog, declared};
use crate::world::git::Repo;

/// Looked up once for each tool and commit.
pub struct Versions<'a> {
    repo: &'a Repo,
    config: &'a Config,
    declared: HashMap<String, Tool>,
    /// Found in the commit that is checked out: asked for when a tool is not declared.
    found: OnceCell<HashMap<String, Tool>>,
    known: HashMap<(String, String), Version>,
    default: SuccessRule,
}

impl<'a> Versions<'a> {
    /// Nothing is looked up yet.
    pub fn new(repo: &'a Repo, config: &'a Config) -> Self {
        let declared = by_name(declared(config));
        Versions { repo, config, declared, found: OnceCell::new(), known: HashMap::new(), default: SuccessRule::default() }
    }

    /// When a run of the tool is a success. What is not declared has no rule of its own.
    pub fn rule(&self, tool: &str) -> &SuccessRule {
        self.declared.get(tool).map_or(&self.default, |tool| &tool.success)
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.declared.get(name).or_else(|| self.found().get(name))
    }

    fn found(&self) -> &HashMap<String, Tool> {
        self.found.get_or_init(|| {
            let found = self.repo.head().map_err(anyhow::Error::from).and_then(|head| catalog(self.repo, self.config, &head));
            found.map(|found| by_name(found.tools)).unwrap_or_else(|error| {
                tracing::debug!("no tools are found: {error:#}");
                HashMap::new()
            })
        })
    }

    /// The tool's version at a commit; the commit itself when one of them is not known here.
    pub fn at(&mut self, tool: &str, commit: &str) -> Version {
        let key = (tool.to_string(), commit.to_string());
        if let Some(version) = self.known.get(&key) {
            return version.clone();
        }
        let id = CommitId(commit.to_string());
        let listed = self.tool(tool).and_then(|tool| self.repo.version_at(&id, &tool.paths).ok().flatten());
        let version = listed.unwrap_or_else(|| Version(plain_line(commit, 80)));
        self.known.insert(key, version.clone());
        version
    }

    /// The tool's version as it lies in the work tree; `None` when it is no tool of this repository.
    pub fn in_work_tree(&mut self, tool: &str) -> Option<Version> {
        let key = (tool.to_string(), String::new());
        if let Some(version) = self.known.get(&key) {
            return Some(version.clone());
        }
        let version = self.repo.version_in_work_tree(&self.tool(tool)?.paths).ok().flatten()?;
        self.known.insert(key, version.clone());
        Some(version)
    }
}

fn by_name(tools: Vec<Tool>) -> HashMap<String, Tool> {
    tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect()
}
