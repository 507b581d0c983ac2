//! The generated regression test: the incident's smallest input, run as the caller ran it.
//!
//! The test is a file of its own in the language of the tool, beside the tool's tests; existing tests are never edited. Text that
//! came from outside goes in as a string literal of that language and nowhere else.

use minijinja::{Environment, context};

use crate::model::{Exit, Language, Outcome, Patch, Recording, Tool, plain_line};
use crate::world::bench::Run;

/// Larger inputs make unreadable tests.
const INPUT_MAX: usize = 16 * 1024;

/// A test file and the command that runs it alone, in the root of a checkout.
pub(super) struct RegressionTest {
    pub patch: Patch,
    pub command: Vec<String>,
}

/// The test for `recording`, whose right answer `answer` shows; `None` when the language or the input does not allow one.
pub(super) fn write(tool: &Tool, recording: &Recording, answer: &Run, id8: &str) -> Option<RegressionTest> {
    let (template, program): (_, &[&str]) = match tool.language {
        Language::Python => (include_str!("../../templates/text/regression/python.txt"), &["python3"]),
        Language::Shell => (include_str!("../../templates/text/regression/shell.txt"), &["sh"]),
        Language::Javascript => (include_str!("../../templates/text/regression/javascript.txt"), &["node"]),
        Language::Rust => (include_str!("../../templates/text/regression/rust.txt"), &[]),
        Language::Other => return None,
    };
    let Exit::Code(code) = answer.exit else { return None };
    if answer.outcome != Outcome::Success {
        return None;
    }
    let args: Option<Vec<&str>> = recording.execution.input.args.iter().map(|arg| std::str::from_utf8(&arg.0).ok()).collect();
    let args = args?;
    let stdin = std::str::from_utf8(&recording.stdin).ok()?;
    if stdin.len() + args.iter().map(|arg| arg.len()).sum::<usize>() > INPUT_MAX || (stdin.contains('\0')) {
        return None;
    }
    let stem = format!("{}_{id8}", tool.name.replace(['-', '.'], "_"));
    let place = Place::of(tool, &stem)?;
    // The command as seen from the root of the checkout, which the test finds from its own place.
    let run: Vec<String> = tool.run.iter().map(|word| word.replace("{root}/", "").replace("{root}", ".")).collect();
    let expected = recording.expected.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let literal = |text: &str| literal(tool.language, text);
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    let text = environment
        .render_str(
            template,
            context! {
                tool => tool.name, id => id8, up => place.up,
                class_name => class_name(&stem),
                run => run.iter().map(|word| literal(word)).collect::<Vec<_>>(),
                args => args.iter().map(|word| literal(word)).collect::<Vec<_>>(),
                stdin => literal(stdin),
                expected => expected.map(literal),
                exits => tool.success.exit, exit => code,
                failure => recording.execution.failure.as_ref().map(|failure| plain_line(&failure.class, 60)),
                seconds => tool.timeout.map_or(60, |limit| limit.as_secs().max(1) + 9),
            },
        )
        .ok()?;
    let command = match tool.language {
        Language::Rust => place.cargo_test(tool),
        _ => program.iter().map(ToString::to_string).chain([place.path.clone()]).collect(),
    };
    Some(RegressionTest { patch: Patch::write(place.path, text.into_bytes()), command })
}

/// Where a test goes.
struct Place {
    path: String,
    /// From there, or in Rust from the package's folder, to the root.
    up: String,
    /// The folder of the Cargo package, with a `/` at its end where it is not the root.
    package: String,
}

impl Place {
    /// `None` for a Rust tool that Cargo does not run: there is nothing that would run a test.
    fn of(tool: &Tool, stem: &str) -> Option<Place> {
        let package = if tool.language == Language::Rust { package(tool)? } else { String::new() };
        let path = match tool.language {
            Language::Python => format!("{}test_{stem}.py", test_folder(tool)),
            Language::Shell => format!("{}{stem}_test.sh", test_folder(tool)),
            // Cargo finds tests of the whole program only here. A name may not begin with a digit.
            Language::Rust => format!("{package}tests/regression_{stem}.rs"),
            _ => format!("{}{stem}.test.js", test_folder(tool)),
        };
        let from = if tool.language == Language::Rust { &package } else { &path };
        let up = "../".repeat(from.matches('/').count());
        let up = if up.is_empty() { ".".to_string() } else { up.trim_end_matches('/').to_string() };
        Some(Place { path, up, package })
    }

    fn cargo_test(&self, tool: &Tool) -> Vec<String> {
        let name = self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        let manifest = format!("{}Cargo.toml", self.package);
        let mut words = vec!["cargo", "test", "--quiet", "--manifest-path", &manifest, "--test", name];
        if tool.run.iter().any(|word| word == "--offline") {
            words.push("--offline");
        }
        words.into_iter().map(str::to_string).collect()
    }
}

/// The folder of the Cargo package that the tool's own files are in.
fn package(tool: &Tool) -> Option<String> {
    let cargo = tool.run.first().is_some_and(|program| program == "cargo");
    let folder = |path: &String| {
        let parts: Vec<&str> = path.split('/').collect();
        let own = parts.iter().rposition(|part| matches!(*part, "src" | "Cargo.toml"))?;
        Some(parts[..own].iter().map(|part| format!("{part}/")).collect())
    };
    tool.paths.iter().filter(|_| cargo).find_map(folder)
}

fn test_folder(tool: &Tool) -> String {
    let beside = tool.tests.first().or(tool.paths.first()).map(String::as_str).unwrap_or_default();
    if tool.tests.is_empty() {
        return "tests/".to_string();
    }
    beside.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"))
}

fn class_name(stem: &str) -> String {
    let mut name = String::from("Regression");
    for part in stem.split('_').filter(|part| !part.is_empty()) {
        let mut letters = part.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.extend(letters.filter(char::is_ascii_alphanumeric));
    }
    name
}

/// The text as a string literal that can be nothing but a string.
fn literal(language: Language, text: &str) -> String {
    match language {
        // Single quotes end nowhere but at a quote, which is written outside of them.
        Language::Shell => format!("'{}'", text.replace('\'', r"'\''")),
        // `Debug` of text is defined as a literal of Rust. Characters that turn the direction of text are escaped by it.
        Language::Rust => format!("{text:?}"),
        // A JSON string is a string literal of JavaScript and, without surrogate escapes (never written here), of Python.
        _ => serde_json::to_string(text)
            .unwrap_or_else(|_| "\"\"".into())
            .replace('\u{7f}', "\\u007f")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_text_cannot_leave_its_literal() {
        assert_eq!(literal(Language::Shell, "a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
        assert_eq!(literal(Language::Python, "\"\"\"\n\\"), r#""\"\"\"\n\\""#);
        assert_eq!(literal(Language::Rust, "\"#\n\\\u{202e}"), r##""\"#\n\\\u{202e}""##);
    }

    #[test]
    fn a_test_of_a_rust_tool_goes_where_cargo_finds_it() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let place = |run: &[&str], path: &str| {
            let tool = Tool {
                name: "t".into(),
                paths: words(&[path]),
                run: words(run),
                test: None,
                tests: vec![],
                needs: vec![],
                timeout: None,
                success: crate::model::SuccessRule::default(),
                stdin: crate::model::StdinUse::default(),
                effects: crate::model::SideEffects::None,
                compare: crate::model::Comparison::Exact,
                language: Language::Rust,
                origin: crate::model::Origin::Declared,
            };
            Place::of(&tool, "t_1").map(|place| (place.path.clone(), place.up.clone(), place.cargo_test(&tool).join(" ")))
        };
        let at_root = place(&["cargo", "run", "--offline", "--"], "src/main.rs").expect("a place");
        assert_eq!((at_root.0.as_str(), at_root.1.as_str()), ("tests/regression_t_1.rs", "."));
        assert_eq!(at_root.2, "cargo test --quiet --manifest-path Cargo.toml --test regression_t_1 --offline");
        let below = place(&["cargo", "run"], "crates/units/src").expect("a place");
        assert_eq!((below.0.as_str(), below.1.as_str()), ("crates/units/tests/regression_t_1.rs", "../.."));
        assert_eq!(place(&["target/t"], "src"), None);
        assert_eq!(place(&["cargo", "run"], "tools/t.rs"), None);
    }

    #[test]
    fn class_names_are_identifiers() {
        assert_eq!(class_name("buggy_calculator_1a2b"), "RegressionBuggyCalculator1a2b");
    }
}
