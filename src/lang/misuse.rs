//! When a run failed because of how it was called: the tool says so itself, or it asks for an argument that nobody gave. Owns these signs
//! and nothing else: whether a version before answered the same call is found by running it.

use std::sync::LazyLock;

use regex::Regex;

use super::regex;
use crate::model::{Failure, plain_line};

/// As argparse, click, docopt, clap, getopt and most scripts by hand begin to say how they are called.
static USAGE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?im)^[ \t]*(usage: .*)$"));
static ARGV: LazyLock<Regex> = LazyLock::new(|| regex(r"\bsys\.argv\[(\d{1,4})\]"));
static ARGV_UNPACKED: LazyLock<Regex> = LazyLock::new(|| regex(r"[\w\s,()]+=[^=].*\bsys\.argv\[1:\]"));
static FEWER: LazyLock<Regex> = LazyLock::new(|| regex(r"not enough values to unpack \(expected (?:at least )?(\d{1,4})"));

/// Characters of a usage line that are told.
const SHOWN: usize = 120;

/// Why the caller is at fault, as a sentence; `None` when nothing says so. `said` is what the run printed on its standard error, `args` how
/// many arguments it was given, `line` the tool's own line that failed, where one is known.
pub fn misuse_reason(failure: &Failure, said: &[u8], args: usize, line: Option<&str>) -> Option<String> {
    let given = |wanted: usize| format!("it was called with {args} arguments and needs {wanted}");
    let number = |pattern: &Regex, text: &str| pattern.captures(text)?.get(1)?.as_str().parse::<usize>().ok();
    if failure.class.starts_with("exit ") {
        let said = String::from_utf8_lossy(said);
        let usage = USAGE.captures(&said)?.get(1)?;
        return Some(format!(
            "it says itself that it was called in another way than it wants: `{}`",
            plain_line(usage.as_str(), SHOWN)
        ));
    }
    let line = line?;
    let wanted = match failure.class.as_str() {
        "IndexError" => ARGV.captures_iter(line).filter_map(|found| found.get(1)?.as_str().parse().ok()).max(),
        "ValueError" if ARGV_UNPACKED.is_match(line) => number(&FEWER, &failure.message),
        _ => None,
    };
    wanted.filter(|wanted| *wanted > args).map(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Exit;

    fn reason(class: Option<&str>, message: &str, said: &str, args: usize, line: &str) -> Option<String> {
        let failure = Failure::new(&Exit::Code(2), class.map(str::to_string), message, Vec::new());
        misuse_reason(&failure, said.as_bytes(), args, Some(line))
    }

    #[test]
    fn a_tool_that_tells_how_it_is_called_was_called_in_another_way() {
        let by_argparse = "usage: body [-h] -n LINENO PATH\nbody: error: the following arguments are required: -n, PATH\n";
        let by_clap = "error: unexpected argument '--x' found\n\nUsage: count [OPTIONS] <FILE>\n";
        for said in [by_argparse, by_clap, "Usage: peek FILE\n"] {
            let reason = reason(None, "body: error", said, 0, "").expect(said);
            assert!(reason.contains("`usage: ") || reason.contains("`Usage: "), "{reason}");
        }
        assert_eq!(reason(None, "disk usage: 100 %", "disk usage: 100 %\n", 0, ""), None);
        assert_eq!(reason(None, "no such line", "no such line\n", 0, ""), None);
        // A crash that happens to print it is one.
        assert_eq!(reason(Some("KeyError"), "KeyError: 'a'", "usage: x\nKeyError: 'a'\n", 0, "x = y['a']"), None);
    }

    #[test]
    fn an_argument_that_nobody_gave_is_the_callers_and_one_that_was_given_is_not() {
        let index = |args, line| reason(Some("IndexError"), "IndexError: list index out of range", "", args, line);
        assert_eq!(index(0, "    path = sys.argv[1]"), Some("it was called with 0 arguments and needs 1".into()));
        assert_eq!(
            index(1, "first, second = sys.argv[1], sys.argv[2]"),
            Some("it was called with 1 arguments and needs 2".into())
        );
        assert_eq!(index(1, "    path = rows[sys.argv[1]]"), None);
        assert_eq!(index(0, "    path = names[1]"), None);
        let fewer = |args, line| {
            reason(Some("ValueError"), "ValueError: not enough values to unpack (expected 2, got 1)", "", args, line)
        };
        assert_eq!(fewer(1, "total, people = map(int, sys.argv[1:])"), Some("it was called with 1 arguments and needs 2".into()));
        assert_eq!(fewer(2, "total, people = sys.argv[1:]"), None);
        assert_eq!(fewer(1, "key, value = line.split('=')"), None);
    }
}
