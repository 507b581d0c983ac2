//! Which tool of the repository a command line runs.

use std::collections::BTreeMap;

use crate::model::{SuccessRule, Tool};
use crate::record::Observed;

/// Programs whose first argument that is a file is the program.
const INTERPRETERS: [&str; 11] = ["sh", "bash", "dash", "zsh", "ksh", "node", "deno", "bun", "ruby", "perl", "php"];
/// Options of interpreters after which no file comes.
const CODE_OPTIONS: [&str; 3] = ["-c", "-e", "-m"];

/// The tools of a repository, by the names that a command line knows them by.
#[derive(Debug, Default)]
pub struct Tools {
    by_name: BTreeMap<String, Tool>,
    /// Names of tools by the last part of their paths.
    by_file: BTreeMap<String, Vec<String>>,
}

/// What a command line runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// A tool of the repository, or else the name of the program.
    pub name: String,
    pub is_known: bool,
    /// What its caller gave it.
    pub args: Vec<String>,
}

impl Tools {
    /// Of a catalog.
    pub fn of(tools: Vec<Tool>) -> Self {
        let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for tool in &tools {
            let program = tool.run.first().map(|program| program.trim_start_matches("{root}/")).filter(|run| run.contains('/'));
            let mut files: Vec<&str> = tool.paths.iter().map(String::as_str).chain(program).map(last_part).collect();
            files.sort_unstable();
            files.dedup();
            for file in files {
                by_file.entry(file.to_string()).or_default().push(tool.name.clone());
            }
        }
        Tools { by_name: tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect(), by_file }
    }

    /// The tool of that name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name)
    }

    /// When a run is a success: exit code 0 for a tool that nobody has declared. Of an output that nobody sent, nothing is demanded.
    pub fn success_of(&self, run: &Observed) -> SuccessRule {
        let rule = self.get(&run.tool).map(|tool| tool.success.clone()).unwrap_or_default();
        SuccessRule { stdout: rule.stdout.filter(|_| run.stdout.is_some()), ..rule }
    }

    /// What a command line (the program first) runs; `None` when it is empty.
    pub fn program(&self, line: &[String]) -> Option<Program> {
        let first = line.first().filter(|first| !first.is_empty())?;
        let own = last_part(first);
        let interpreter = own.starts_with("python") || own.starts_with("pypy") || INTERPRETERS.contains(&own);
        let script = if interpreter { script(&line[1..]) } else { None };
        let at = script.map_or(0, |at| at + 1);
        let found = self.of_file(&line[at]);
        let name = found.unwrap_or_else(|| last_part(&line[at])).to_string();
        let always = found.map_or(&[][..], |found| self.always(found, &line[at]));
        let args = line[at + 1..].strip_prefix(always).unwrap_or(&line[at + 1..]);
        Some(Program { name, is_known: found.is_some(), args: args.to_vec() })
    }

    /// What follows the file in the tool's own command, before the caller's arguments.
    fn always(&self, name: &str, path: &str) -> &[String] {
        let run = self.get(name).map_or(&[][..], |tool| &tool.run);
        let at = run.iter().position(|part| last_part(part) == last_part(path));
        at.map_or(&[], |at| &run[at + 1..])
    }

    /// The one tool that a file is the program of.
    fn of_file(&self, path: &str) -> Option<&str> {
        let own = last_part(path);
        let named = self.by_file.get(own).map_or(&[][..], Vec::as_slice);
        let ends_with = |part: &str| path == part || path.strip_suffix(part).is_some_and(|before| before.ends_with('/'));
        let whole = named.iter().filter(|name| self.by_name[*name].paths.iter().any(|known| ends_with(known)));
        match (whole.collect::<Vec<_>>().as_slice(), named) {
            ([one], _) => Some(one),
            ([], [one]) => Some(one),
            _ => self.by_name.get_key_value(own).map(|(name, _)| name.as_str()),
        }
    }
}

/// Where among an interpreter's arguments the script is.
fn script(args: &[String]) -> Option<usize> {
    let code = args.iter().position(|arg| CODE_OPTIONS.contains(&arg.as_str())).unwrap_or(args.len());
    args[..code].iter().position(|arg| !arg.starts_with('-') && arg.contains(['.', '/']))
}

fn last_part(path: &str) -> &str {
    let part = path.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(path);
    part.strip_suffix(".exe").unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Language, Origin};

    fn tool(name: &str, paths: &[&str], run: &[&str]) -> Tool {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Tool::known_by(name, texts(paths), texts(run), Language::Other, Origin::Declared)
    }

    fn run(line: &[&str]) -> (String, bool, String) {
        let tools = Tools::of(vec![
            tool("report", &["tools/report.py"], &["python3", "tools/report.py"]),
            tool("a-sync", &["a/sync.sh"], &["sh", "a/sync.sh"]),
            tool("b-sync", &["b/sync.sh"], &["sh", "b/sync.sh"]),
            tool("tidy", &["bin/tidy.sh"], &["sh", "bin/tidy.sh", "--in", "data"]),
            tool("disk", &["rust/disk/src", "rust/disk/Cargo.toml"], &["cargo", "run", "--bin", "disk"]),
        ]);
        let line: Vec<String> = line.iter().map(ToString::to_string).collect();
        let program = tools.program(&line).expect("not empty");
        (program.name, program.is_known, program.args.join(" "))
    }

    #[test]
    fn a_tool_is_found_by_its_file_wherever_the_checkout_is() {
        let known = |name: &str, args: &str| (name.to_string(), true, args.to_string());
        assert_eq!(run(&["report.py"]), known("report", ""));
        assert_eq!(run(&["/srv/app/tools/report.py", "-v"]), known("report", "-v"));
        assert_eq!(run(&["/usr/bin/python3.11", "-u", "tools/report.py", "x"]), known("report", "x"));
        assert_eq!(run(&["python3", "-W", "ignore", "report.py", "-c"]), known("report", "-c"));
        assert_eq!(run(&["/srv/b/sync.sh"]), known("b-sync", ""));
        assert_eq!(run(&["target/debug/disk", "1k"]), known("disk", "1k"));
        assert_eq!(run(&["bash", "bin/tidy.sh", "--in", "data", "now"]), known("tidy", "now"));
        assert_eq!(run(&["bash", "bin/tidy.sh", "now"]), known("tidy", "now"));
    }

    #[test]
    fn what_could_be_several_tools_or_none_keeps_the_name_of_its_program() {
        let other = |name: &str, args: &str| (name.to_string(), false, args.to_string());
        assert_eq!(run(&["sync.sh"]), other("sync.sh", ""));
        assert_eq!(run(&["cat", "tools/report.py"]), other("cat", "tools/report.py"));
        assert_eq!(run(&["python3", "-c", "import report.py"]), other("python3", "-c import report.py"));
        assert_eq!(run(&["bash", "other.sh", "1"]), other("other.sh", "1"));
        assert_eq!(run(&["cargo", "run"]), other("cargo", "run"));
        assert_eq!(run(&[r"C:\bin\convert.exe"]), other("convert", ""));
    }
}
