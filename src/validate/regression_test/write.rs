//! Writes a test: the facts of a recording in a template of its form, in a given style.

use minijinja::{Environment, context};

use super::cargo::Package;
use super::literal::{Notation, printf};
use super::name::Incident;
use super::place::{folder_of, up};
use super::style::{Form, Style};
use super::{Subject, shown};
use crate::model::{Language, Patch};

/// Larger inputs make unreadable tests.
const INPUT_MAX: usize = 16 * 1024;
/// How long a tool that hung may take in a test, at least, and how long any other that says nothing of its time. In seconds.
const HANG_SECONDS: u64 = 10;
const SECONDS: u64 = 60;

/// A test that nobody has run yet.
pub(super) struct Draft {
    pub path: String,
    pub text: String,
    /// Runs it alone, in the root of a checkout.
    pub command: Vec<String>,
    /// For people.
    pub framework: &'static str,
}

impl Draft {
    pub(super) fn patch(&self) -> Patch {
        Patch::write(self.path.clone(), self.text.clone().into_bytes())
    }
}

/// The recorded text of a test, in literals.
struct Written {
    /// The tool's command, seen from where it runs, and the caller's arguments.
    words: Vec<String>,
    /// A literal, or in a shell the format of a `printf`.
    stdin: Option<String>,
    expected: Option<String>,
    /// What somebody has called wrong, when nobody has said what is right.
    wrong: Option<String>,
    cwd: Option<String>,
}

/// The test of this style, whose right answer has this exit code and took so many seconds; `smaller` says that its input is not the
/// recorded one. `None` when language or input do not allow one.
pub(super) fn draft(asked: &Subject<'_>, style: &Style, (code, took): (i32, u64), smaller: bool) -> Option<Draft> {
    let (tool, failure) = (asked.tool, asked.recording.execution.failure.as_ref());
    // A test that demands less than the tool's own rule would pass on any failure that the rule sees.
    if tool.success.stdout.is_some() {
        return None;
    }
    let package = Package::of(tool, asked.files);
    let program = match &style.form {
        Form::Cargo { program } => package.as_ref()?.program.clone().filter(|_| *program),
        _ => None,
    };
    if style.form == (Form::Cargo { program: true }) && program.is_none() {
        return None;
    }
    let incident = Incident { tool: &tool.name, class: failure.map(|failure| failure.class.as_str()), id8: asked.id8 };
    let stem = format!("{}_{}", tool.name.replace(['-', '.'], "_"), asked.id8);
    let folder = match (&style.form, &package) {
        // Cargo finds tests of the whole program only here.
        (Form::Cargo { .. }, Some(package)) => format!("{}tests/", package.folder),
        _ => style.folder.clone(),
    };
    let path = format!("{folder}{}", style.naming.name(&stem));
    if asked.files.iter().any(|file| file.path == path.as_bytes()) {
        return None;
    }
    let command = command(asked, style, package.as_ref(), &path);
    let hangs = failure.is_some_and(|failure| failure.class == "time-out");
    let seconds = match tool.timeout {
        Some(limit) => limit.as_secs().max(1) + 9,
        None if hangs => HANG_SECONDS.max(took.saturating_mul(10)),
        None => SECONDS,
    };
    let fixed = program.as_ref().map(|(_, fixed)| fixed.as_slice());
    let written = literals(asked, style, fixed, hangs.then_some(seconds))?;
    let (template, framework) = template(&style.form);
    let from = if let Form::Cargo { .. } = style.form { package.map(|package| package.folder)? } else { folder };
    let text = environment()
        .render_str(
            &styled(template, style),
            context! {
                tool => tool.name, id => asked.id8, failure => incident.failure(), title => incident.title(), seconds, smaller,
                slug => identifier(incident.slug(), &style.form), class_name => class_name(&incident, style),
                alone => Some(shown(&command)).filter(|line| is_plain(line)),
                up => up(&from), exits => tool.success.exit, code,
                words => written.words, rest => written.words.get(1..), stdin => written.stdin, expected => written.expected,
                wrong => written.wrong, cwd => written.cwd,
                unittest => matches!(style.form, Form::Unittest(_)), main => matches!(&style.form, Form::Unittest(words) if words.is_empty()) || style.main,
                module => matches!(style.form, Form::Node { module: true, .. }),
                describe => matches!(style.form, Form::Node { describe: true, .. }),
                program => program.map(|(name, _)| name),
            },
        )
        .ok()?;
    Some(Draft { path, text, command, framework })
}

fn template(form: &Form) -> (&'static str, &'static str) {
    match form {
        Form::Pytest(_) => (include_str!("../../../templates/text/regression/python.txt"), "pytest"),
        Form::Unittest(_) => (include_str!("../../../templates/text/regression/python.txt"), "unittest"),
        Form::Node { .. } => (include_str!("../../../templates/text/regression/javascript.txt"), "node:test"),
        Form::Cargo { .. } => (include_str!("../../../templates/text/regression/rust.txt"), "cargo test"),
        Form::Bats(_) => (include_str!("../../../templates/text/regression/bats.txt"), "bats"),
        Form::Script => (include_str!("../../../templates/text/regression/shell.txt"), "shell script"),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment
}

/// The template in the style: it is written with four spaces, `"` and `;`.
fn styled(template: &str, style: &Style) -> String {
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        let inner = line.trim_start_matches(' ');
        let depth = (line.len() - inner.len()) / 4;
        text.push_str(&style.indent.repeat(depth));
        text.push_str(if style.semicolons { inner } else { inner.strip_suffix(';').unwrap_or(inner) });
        text.push('\n');
    }
    if style.quote == '\'' {
        // A docstring keeps its quotes (PEP 257).
        text = text.split("\"\"\"").map(|part| part.replace('"', "'")).collect::<Vec<_>>().join("\"\"\"");
    }
    text
}

fn command(asked: &Subject<'_>, style: &Style, package: Option<&Package>, path: &str) -> Vec<String> {
    let with_path = |words: &[String]| words.iter().cloned().chain([path.to_string()]).collect();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    match &style.form {
        Form::Unittest(runner) if runner.is_empty() => words(&["python3", path]),
        Form::Pytest(runner) | Form::Unittest(runner) | Form::Bats(runner) => with_path(runner),
        Form::Node { .. } => words(&["node", "--test", path]),
        Form::Script => words(&["sh", path]),
        Form::Cargo { .. } => {
            let name = path[folder_of(path).len()..].trim_end_matches(".rs");
            package.map(|package| package.test(asked.tool, name)).unwrap_or_default()
        }
    }
}

/// `fixed` are the arguments of a program that is run in the place of the tool's command; `limit` is for a tool that hung, in seconds.
fn literals(asked: &Subject<'_>, style: &Style, fixed: Option<&[String]>, limit: Option<u64>) -> Option<Written> {
    let (tool, recording) = (asked.tool, asked.recording);
    let input = &recording.execution.input;
    let args: Option<Vec<&str>> = input.args.iter().map(|arg| std::str::from_utf8(&arg.0).ok()).collect();
    let args = args?;
    let stdin = std::str::from_utf8(&recording.stdin).ok()?;
    if stdin.len() + args.iter().map(|arg| arg.len()).sum::<usize>() > INPUT_MAX {
        return None;
    }
    let notation = match &style.form {
        Form::Pytest(_) | Form::Unittest(_) | Form::Node { .. } => Notation::Quoted(style.quote),
        Form::Cargo { .. } => Notation::Rust,
        Form::Bats(_) => Notation::Bash,
        Form::Script => Notation::Shell,
    };
    // Only a folder that the checkout has: that is where the recording is repeated, too.
    let has = |folder: &&str| asked.files.iter().any(|file| file.path.starts_with(format!("{folder}/").as_bytes()));
    let cwd = input.cwd.as_deref().map(|cwd| cwd.trim_end_matches('/')).filter(|cwd| !cwd.is_empty()).filter(has);
    // The command as seen from where it runs, which the test finds from its own place.
    let root = cwd.map(|cwd| "../".repeat(cwd.split('/').count())).unwrap_or_default();
    let inside = |word: &String| match word.strip_prefix("{root}/") {
        Some(path) => format!("{root}{path}"),
        None if tool.paths.contains(word) || tool.tests.contains(word) => format!("{root}{word}"),
        None => word.replace("{root}", if root.is_empty() { "." } else { root.trim_end_matches('/') }),
    };
    let mut run: Vec<String> = fixed.unwrap_or(&tool.run).iter().map(inside).collect();
    let shell = tool.language == Language::Shell;
    if let Some(limit) = limit.filter(|_| shell) {
        run.splice(0..0, ["timeout".to_string(), limit.to_string()]);
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
    let said = |bytes: &[u8]| text(bytes).and_then(|text| if shell { sh_output(&text) } else { notation.literal(&text) });
    let demanded = |bytes: Option<&Vec<u8>>| match bytes {
        // What cannot be written cannot be demanded.
        Some(bytes) => said(bytes).map(Some),
        None => Some(None),
    };
    let unsaid = recording.execution.mark.is_some() && recording.expected.is_none();
    let each = |words: &mut dyn Iterator<Item = &str>| words.map(|word| notation.literal(word)).collect::<Option<Vec<_>>>();
    let stdin = (!stdin.is_empty()).then(|| if shell { Some(printf(stdin)) } else { notation.literal(stdin) });
    Some(Written {
        words: each(&mut run.iter().map(String::as_str))?
            .iter()
            .map(|word| bare(word, tool.language))
            .chain(each(&mut args.into_iter())?)
            .collect(),
        stdin: match stdin {
            Some(literal) => Some(literal?),
            None => None,
        },
        expected: demanded(recording.expected.as_ref())?,
        wrong: demanded(unsaid.then_some(&recording.stdout))?,
        cwd: match cwd {
            Some(cwd) => Some(notation.literal(cwd)?),
            None => None,
        },
    })
}

/// Output of a tool as the format of a `printf`; a shell cannot hold NUL.
fn sh_output(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| printf(text))
}

/// A word of the tool's command without the quotes that it does not need in a shell; the interpreter that runs the test in Python.
fn bare(literal: &str, language: Language) -> String {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    match language {
        Language::Shell if is_plain(inner) && !inner.contains([' ', '=']) => inner.to_string(),
        Language::Python if matches!(inner, "python3" | "python") => "sys.executable".to_string(),
        _ => literal.to_string(),
    }
}

/// Whether text is harmless in any comment and as a word of a shell, but for spaces.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=+@ ".contains(c))
}

fn identifier(slug: String, form: &Form) -> String {
    match form {
        Form::Cargo { .. } if slug.starts_with(|c: char| c.is_ascii_digit()) => format!("test_{slug}"),
        _ => slug,
    }
}

fn class_name(incident: &Incident<'_>, style: &Style) -> String {
    let name = incident.camel();
    match style.test_first || name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("Test{name}"),
        false => format!("{name}Test"),
    }
}
