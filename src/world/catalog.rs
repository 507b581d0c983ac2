//! The catalog: the tools of a repository, declared in `fractal.toml` or found in a commit.
//!
//! Declared values win: what is found at a declared path or under a declared name is dropped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::git::{Repo, TreeFile};
use crate::config::{Config, ToolConfig};
use crate::lang;
use crate::model::{CommitId, Language, Origin, Tool, check_tool_name};

/// Bytes of a file looked at to tell what it is.
const HEAD_BYTES: usize = 64 * 1024;
/// Programs of one tool whose first line is looked at for what they are written in.
const PROGRAMS: usize = 20;

/// What was found, and what was passed over and why.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub tools: Vec<Tool>,
    pub remarks: Vec<String>,
}

impl Catalog {
    /// The tool of that name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The name most like `name`, for a hint.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(self.tools.iter().map(|tool| tool.name.as_str()), name)
    }
}

/// The one of these names that is most like `name`, for a hint.
pub fn nearest<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    names
        .min_by_key(|known| strsim::damerau_levenshtein(name, known))
        .filter(|known| strsim::damerau_levenshtein(name, known) <= 3)
}

/// The declared tools alone: all that `fractal exec` needs for most runs.
pub fn declared(config: &Config) -> Vec<Tool> {
    config.tools.iter().map(from_config).collect()
}

/// Every tool of `commit`, sorted by name.
///
/// # Errors
/// When the commit cannot be read.
pub fn catalog(repo: &Repo, config: &Config, commit: &CommitId) -> Result<Catalog> {
    let mut catalog = Catalog { tools: declared(config), remarks: Vec::new() };
    for tool in catalog.tools.iter_mut().filter(|tool| tool.language == Language::Other) {
        tool.language = language_of(repo, tool, commit)?;
    }
    if config.discover.enabled {
        let files = repo.files_at(commit, &[])?;
        let mut found = Finder { repo, config, files: &files, tools: Vec::new(), remarks: Vec::new() };
        found.cargo_binaries();
        found.package_json()?;
        found.pyproject()?;
        found.scripts()?;
        let Finder { tools, remarks, .. } = found;
        catalog.remarks = remarks;
        for tool in tools {
            add(&mut catalog, tool, config.discover.limit);
        }
    }
    catalog.tools.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(catalog)
}

/// What its files are written in, of which none has a name that tells: the first lines do.
fn language_of(repo: &Repo, tool: &Tool, commit: &CommitId) -> Result<Language> {
    for file in repo.files_at(commit, &tool.paths)?.iter().filter(|file| file.mode == 0o100755).take(PROGRAMS) {
        let content = repo.blob(file.oid)?;
        let language = lang::detect(file.utf8().unwrap_or_default(), &content[..content.len().min(HEAD_BYTES)]);
        if language != Language::Other {
            return Ok(language);
        }
    }
    Ok(Language::Other)
}

/// The tool's own plain files at `commit` without its tests, by repository-relative path: what a repair may change.
///
/// # Errors
/// When the commit or a file cannot be read.
pub fn sources(repo: &Repo, tool: &Tool, commit: &CommitId) -> Result<BTreeMap<String, Vec<u8>>> {
    let plain = |file: &&TreeFile| matches!(file.mode, 0o100644 | 0o100755);
    let files = repo.files_at(commit, &tool.paths)?;
    files
        .iter()
        .filter(plain)
        .filter_map(|file| Some((file.utf8()?.to_string(), file.oid)))
        .filter(|(path, _)| !tool.tests_own(path))
        .map(|(path, oid)| Ok((path, repo.blob(oid)?)))
        .collect()
}

fn from_config(tool: &ToolConfig) -> Tool {
    let language = tool.paths.iter().map(|path| lang::detect(path, b"")).find(|language| *language != Language::Other);
    let cargo = tool.run.first().is_some_and(|program| program == "cargo");
    Tool {
        name: tool.name.clone(),
        paths: tool.paths.clone(),
        run: tool.run.clone(),
        test: tool.test.clone(),
        tests: tool.tests.clone(),
        needs: tool.needs.clone(),
        timeout: tool.timeout.map(|span| span.0),
        stdin: tool.stdin,
        success: tool.success.clone(),
        effects: tool.effects,
        compare: tool.compare,
        language: if cargo { Language::Rust } else { language.unwrap_or_default() },
        origin: Origin::Declared,
    }
}

fn add(catalog: &mut Catalog, tool: Tool, limit: usize) {
    let covered = |known: &Tool| tool.paths.iter().any(|path| known.owns(path) || known.tests_own(path));
    if catalog.tools.iter().any(|known| known.origin == Origin::Declared && (covered(known) || known.name == tool.name)) {
        return;
    }
    if catalog.tools.len() >= limit {
        if catalog.tools.len() == limit {
            catalog.remarks.push(format!("more than {limit} tools: the rest is left out (`[discover] limit`)"));
        }
        return;
    }
    let mut tool = tool;
    if catalog.get(&tool.name).is_some() {
        // Namesakes in different folders carry their folder.
        let folder = tool.paths.first().and_then(|path| path.rsplit('/').nth(1)).unwrap_or("root");
        tool.name = safe_name(&format!("{folder}-{}", tool.name));
    }
    if check_tool_name(&tool.name).is_ok() && catalog.get(&tool.name).is_none() {
        catalog.tools.push(tool);
    }
}

struct Finder<'a> {
    repo: &'a Repo,
    config: &'a Config,
    files: &'a [TreeFile],
    tools: Vec<Tool>,
    remarks: Vec<String>,
}

impl Finder<'_> {
    fn named(&self, name: &str) -> Vec<(&str, &TreeFile)> {
        let matches = |path: &str| path == name || path.ends_with(&format!("/{name}"));
        self.files
            .iter()
            .filter_map(|file| Some((file.utf8()?, file)))
            .filter(|(path, _)| matches(path) && !is_foreign(path))
            .collect()
    }

    fn push(&mut self, name: &str, paths: Vec<String>, run: Vec<String>, language: Language, how: String) -> Option<&mut Tool> {
        let name = safe_name(name);
        if let Err(error) = check_tool_name(&name) {
            self.remarks.push(format!("{}: {error}", paths.join(", ")));
            return None;
        }
        self.tools.push(Tool::known_by(&name, paths, run, language, Origin::Found(how)));
        self.tools.last_mut()
    }

    fn cargo_binaries(&mut self) {
        let manifests: Vec<String> = self.named("Cargo.toml").into_iter().map(|(path, _)| path.to_string()).collect();
        let mut seen = BTreeSet::new();
        for manifest in manifests {
            let path = self.repo.root().join(&manifest);
            let metadata = cargo_metadata::MetadataCommand::new()
                .manifest_path(&path)
                // Not in the repository: its `.cargo/config.toml` and its `rust-toolchain.toml` can name programs, and this is asked
                // where nothing of it may run.
                .current_dir("/")
                .no_deps()
                .other_options(vec!["--offline".to_string()])
                .env("PATH", super::sandbox::direct_path())
                .exec();
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(error) => {
                    let why = error.to_string();
                    self.remarks.push(format!("{manifest}: {}", why.lines().last().unwrap_or("cargo metadata failed").trim()));
                    continue;
                }
            };
            for package in &metadata.packages {
                for target in package.targets.iter().filter(|target| target.is_bin()) {
                    if seen.insert((package.manifest_path.clone(), target.name.clone())) {
                        self.cargo_binary(package, &target.name);
                    }
                }
            }
        }
    }

    fn cargo_binary(&mut self, package: &cargo_metadata::Package, binary: &str) {
        let Ok(manifest) = package.manifest_path.strip_prefix(self.repo.root()) else { return };
        let manifest = manifest.to_string();
        let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_string();
        let below = |part: &str| if folder.is_empty() { part.to_string() } else { format!("{folder}/{part}") };
        let at = format!("{{root}}/{manifest}");
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let run = words(&["cargo", "run", "--quiet", "--manifest-path", &at, "--bin", binary, "--"]);
        let how = format!("binary of the Cargo package `{}`", package.name);
        let paths = vec![below("src"), below("Cargo.toml")];
        if let Some(tool) = self.push(binary, paths, run, Language::Rust, how) {
            tool.test = Some(words(&["cargo", "test", "--quiet", "--manifest-path", &at]));
            tool.tests = vec![below("tests")];
        }
    }

    fn package_json(&mut self) -> Result<()> {
        let manifests: Vec<(String, git2::Oid)> =
            self.named("package.json").into_iter().map(|(path, file)| (path.to_string(), file.oid)).collect();
        for (manifest, oid) in manifests {
            let json: serde_json::Value = serde_json::from_slice(&self.repo.blob(oid)?).unwrap_or_default();
            let folder = manifest.trim_end_matches("package.json").to_string();
            let bins: Vec<(String, String)> = match &json["bin"] {
                serde_json::Value::String(file) => vec![(json["name"].as_str().unwrap_or("bin").to_string(), file.clone())],
                serde_json::Value::Object(bins) => {
                    bins.iter().filter_map(|(name, file)| Some((name.clone(), file.as_str()?.to_string()))).collect()
                }
                _ => Vec::new(),
            };
            for (name, file) in bins {
                let path = format!("{folder}{}", file.trim_start_matches("./"));
                let name = name.rsplit('/').next().unwrap_or(&name).to_string();
                if self.files.iter().any(|known| known.path == path.as_bytes()) {
                    self.push(
                        &name,
                        vec![path.clone()],
                        vec!["node".into(), path],
                        Language::Javascript,
                        format!("`bin` of {manifest}"),
                    );
                }
            }
        }
        Ok(())
    }

    fn pyproject(&mut self) -> Result<()> {
        let manifests: Vec<(String, git2::Oid)> =
            self.named("pyproject.toml").into_iter().map(|(path, file)| (path.to_string(), file.oid)).collect();
        for (manifest, oid) in manifests {
            let text = String::from_utf8_lossy(&self.repo.blob(oid)?).into_owned();
            let Ok(project) = toml::from_str::<toml::Table>(&text) else {
                self.remarks.push(format!("{manifest}: not readable as TOML"));
                continue;
            };
            let scripts = project.get("project").and_then(|table| table.get("scripts")).and_then(toml::Value::as_table).cloned();
            let folder = manifest.trim_end_matches("pyproject.toml").to_string();
            for (name, entry) in scripts.unwrap_or_default() {
                self.python_entry(&manifest, &folder, &name, entry.as_str().unwrap_or_default());
            }
        }
        Ok(())
    }

    fn python_entry(&mut self, manifest: &str, folder: &str, name: &str, entry: &str) {
        let Some((module, function)) = entry.split_once(':') else { return };
        let identifier = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if !identifier(module) || !identifier(function) {
            return;
        }
        for source in ["src/", ""] {
            let package = format!("{folder}{source}{}", module.split('.').next().unwrap_or(module));
            let file = format!("{package}.py");
            let path = self.files.iter().filter_map(TreeFile::utf8).find_map(|known| match known {
                known if known == file => Some(file.clone()),
                known if known.starts_with(&format!("{package}/")) => Some(package.clone()),
                _ => None,
            });
            if let Some(path) = path {
                let code = format!(
                    "import sys; sys.path.insert(0, '{{root}}/{folder}{source}'); from {module} import {function}; sys.exit({function}())"
                );
                let run = vec!["python3".into(), "-c".into(), code];
                self.push(name, vec![path], run, Language::Python, format!("`project.scripts` of {manifest}"));
                return;
            }
        }
    }

    fn scripts(&mut self) -> Result<()> {
        let folders = self.config.discover.folders.clone();
        let inside = |path: &str| {
            folders.iter().any(|folder| {
                let folder = folder.trim_start_matches("./").trim_end_matches('/');
                folder == "." || folder.is_empty() || path.starts_with(&format!("{folder}/"))
            })
        };
        let tests = self.tests_by_stem();
        for file in self.files {
            let Some(path) = file.utf8() else { continue };
            if !inside(path) || is_foreign(path) || is_test(path) || !matches!(file.mode, 0o100644 | 0o100755) {
                continue;
            }
            let executable = file.mode == 0o100755;
            let known = lang::detect(path, b"") != Language::Other;
            if !executable && !known {
                continue;
            }
            let content = self.repo.blob(file.oid)?;
            let head = &content[..content.len().min(HEAD_BYTES)];
            let language = lang::detect(path, head);
            let Some((run, how)) = how_to_run(path, head, executable, language) else { continue };
            let stem = stem(path).to_string();
            if let Some(tool) = self.push(&stem, vec![path.to_string()], run, language, how)
                && let Some((file, command)) = tests.get(&(stem, language))
            {
                tool.tests = vec![file.clone()];
                tool.test = Some(command.clone());
            }
        }
        Ok(())
    }

    /// Test files by the stem of what they test: `test_x.py`, `x_test.sh`, `x.test.js`.
    fn tests_by_stem(&self) -> BTreeMap<(String, Language), (String, Vec<String>)> {
        let mut tests = BTreeMap::new();
        for path in self.files.iter().filter_map(TreeFile::utf8).filter(|path| is_test(path) && !is_foreign(path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let word = |word: &str| word.to_string();
            let language = lang::detect(path, b"");
            let (tested, command) = match language {
                Language::Python => (
                    name.strip_prefix("test_").and_then(|rest| rest.strip_suffix(".py")).or(name.strip_suffix("_test.py")),
                    vec![word("python3"), word("-m"), word("unittest"), word(path)],
                ),
                Language::Shell => (name.strip_suffix("_test.sh"), vec![word("sh"), word(path)]),
                Language::Javascript => (name.strip_suffix(".test.js"), vec![word("node"), word("--test"), word(path)]),
                Language::Rust | Language::Other => continue,
            };
            if let Some(tested) = tested {
                tests.insert((tested.to_string(), language), (path.to_string(), command));
            }
        }
        tests
    }
}

fn how_to_run(path: &str, head: &[u8], executable: bool, language: Language) -> Option<(Vec<String>, String)> {
    let shebang = head.starts_with(b"#!");
    if executable && shebang {
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        return Some((vec![path.to_string()], format!("executable with `{}`", line.trim())));
    }
    let interpreter = match language {
        Language::Python => "python3",
        Language::Shell => "sh",
        Language::Javascript => "node",
        Language::Rust | Language::Other => return None,
    };
    let run = vec![interpreter.to_string(), path.to_string()];
    let has_main = language == Language::Python && String::from_utf8_lossy(head).contains("__main__");
    match (shebang || executable, has_main) {
        (true, _) => Some((run, format!("script with an interpreter line or the executable bit, run by {interpreter}"))),
        (_, true) => Some((run, "Python file with a `__main__` part".to_string())),
        _ => None,
    }
}

/// The name with every character that a tool's name cannot have replaced.
fn safe_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).take(64).collect()
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.split('/').rev().skip(1).any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec"));
    folder || name.starts_with("test_") || name.contains("_test.") || name.contains(".test.") || name == "conftest.py"
}

/// Hidden folders and other people's code.
fn is_foreign(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    let name = parts.next().unwrap_or_default();
    matches!(name, "setup.py" | "noxfile.py")
        || parts.any(|part| {
            part.starts_with('.') || matches!(part, "node_modules" | "vendor" | "third_party" | "target" | "site-packages")
        })
}
