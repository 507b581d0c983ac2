//! Tools that Cargo builds: their package, their program, and how one test of theirs is run.

use crate::model::Tool;
use crate::world::sandbox::ScratchFile;

/// The package of a tool that `cargo run` runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// Its folder, with a `/` at its end where it is not the root.
    pub folder: String,
    /// The program that Cargo builds for integration tests too, with the arguments that the tool's command gives it.
    pub program: Option<(String, Vec<String>)>,
}

impl Package {
    /// `None` for a tool that Cargo does not run: there is nothing that would run a test.
    pub(super) fn of(tool: &Tool, files: &[ScratchFile]) -> Option<Package> {
        tool.run.first().filter(|program| *program == "cargo")?;
        let folder_of = |path: &String| {
            let parts: Vec<&str> = path.split('/').collect();
            let own = parts.iter().rposition(|part| matches!(*part, "src" | "Cargo.toml"))?;
            Some(parts[..own].iter().map(|part| format!("{part}/")).collect::<String>())
        };
        let folder = tool.paths.iter().find_map(folder_of)?;
        let program = program(tool, &folder, files);
        Some(Package { folder, program })
    }

    /// Runs the integration test of this name alone.
    pub(super) fn test(&self, tool: &Tool, name: &str) -> Vec<String> {
        let manifest = format!("{}Cargo.toml", self.folder);
        let mut words = vec!["cargo", "test", "--quiet", "--manifest-path", &manifest, "--test", name];
        if tool.run.iter().any(|word| word == "--offline") {
            words.push("--offline");
        }
        words.into_iter().map(str::to_string).collect()
    }
}

/// `None` when it is not certain which program is run, or when it is built in another way than for tests.
fn program(tool: &Tool, folder: &str, files: &[ScratchFile]) -> Option<(String, Vec<String>)> {
    let end = tool.run.iter().position(|word| word == "--").unwrap_or(tool.run.len());
    let options = &tool.run[..end];
    let other = |word: &String| word.contains("features") || matches!(word.as_str(), "--example" | "-F" | "--target");
    if options.iter().any(other) {
        return None;
    }
    let fixed = tool.run.iter().skip(end + 1).cloned().collect();
    let has = |path: String| files.iter().find(|file| file.path == path.as_bytes());
    let manifest = has(format!("{folder}Cargo.toml"))?;
    let manifest: toml::Table = std::str::from_utf8(&manifest.content).ok()?.parse().ok()?;
    let package = manifest.get("package")?;
    let listed = manifest.get("bin").and_then(toml::Value::as_array);
    let listed: Vec<&str> = listed.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str()).collect();
    let chosen = options.iter().position(|word| word == "--bin").and_then(|at| options.get(at + 1)).map(String::as_str);
    let name = match chosen.or(package.get("default-run").and_then(toml::Value::as_str)) {
        Some(name) => name,
        None if listed.len() == 1 => listed[0],
        None if listed.is_empty() && has(format!("{folder}src/main.rs")).is_some() => package.get("name")?.as_str()?,
        None => return None,
    };
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    plain.then(|| (name.to_string(), fixed))
}
