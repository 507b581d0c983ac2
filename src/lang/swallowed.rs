//! Failures that a patch hides: handlers that catch broadly and do nothing with what they catch. Owns what that looks like in each
//! language; that a handler was there before makes it nobody's news.

use std::collections::BTreeMap;

use super::capability::{Finding, Grade};
use super::{Item, Tree};
use crate::model::Language;

/// A handler that hides a failure.
struct Handler {
    grade: Grade,
    line: u32,
    /// Its own text without white space: what moves is the same handler.
    text: String,
    says: &'static str,
}

/// The handlers in `after` that hide failures and were not in `before`.
pub fn swallowed(language: Language, before: &str, after: &str) -> Vec<Finding> {
    let mut old: BTreeMap<String, usize> = BTreeMap::new();
    for handler in handlers(language, before) {
        *old.entry(handler.text).or_default() += 1;
    }
    let mut found = Vec::new();
    for handler in handlers(language, after) {
        match old.get_mut(&handler.text) {
            Some(count) if *count > 0 => *count -= 1,
            _ => found.push(Finding::new(handler.grade, handler.line, handler.says.to_string())),
        }
    }
    found
}

fn handlers(language: Language, source: &str) -> Vec<Handler> {
    let Some(tree) = Tree::of(language, source) else { return Vec::new() };
    let reader = Reader { tree: &tree, source };
    let look: fn(&Reader<'_>, usize) -> Option<(Grade, &'static str)> = match language {
        Language::Python => python,
        Language::Javascript => javascript,
        Language::Rust => rust,
        Language::Shell => shell,
        Language::Other => return Vec::new(),
    };
    let one = |at: usize| {
        let (grade, says) = look(&reader, at)?;
        let text = reader.text(at).split_whitespace().collect();
        Some(Handler { grade, line: tree.item(at).lines.0, text, says })
    };
    (0..tree.items().len()).filter_map(one).collect()
}

struct Reader<'s> {
    tree: &'s Tree,
    source: &'s str,
}

impl<'s> Reader<'s> {
    fn item(&self, at: usize) -> &Item {
        self.tree.item(at)
    }

    fn text(&self, at: usize) -> &'s str {
        self.tree.text(at, self.source)
    }

    fn field(&self, at: usize, field: &str) -> &'s str {
        self.tree.child(at, field).map(|child| self.text(child)).unwrap_or_default()
    }

    /// Whether a node below has one of these kinds.
    fn has(&self, at: usize, kinds: &[&str]) -> bool {
        self.tree.items()[at..self.item(at).after].iter().any(|item| kinds.contains(&item.kind))
    }

    /// Whether the body says something, as far as the names that it calls tell.
    fn is_told(&self, at: usize) -> bool {
        const TELLING: [&str; 12] =
            ["print", "console.", "stderr", "log", "warn", "error", "eprintln", "println", "report", "fail", "exit(", "exitCode"];
        let calls = (at..self.item(at).after).filter(|inner| {
            matches!(self.item(*inner).kind, "call" | "call_expression" | "macro_invocation" | "assignment_expression")
        });
        calls.into_iter().any(|call| TELLING.iter().any(|word| self.text(call).contains(word)) && !self.is_success(call))
    }

    fn is_success(&self, call: usize) -> bool {
        let text: String = self.text(call).split_whitespace().collect();
        ["exit(0)", "exit()", "exitCode=0", "_exit(0)"].iter().any(|end| text.ends_with(end))
    }

    /// Whether the body ends the program with success.
    fn ends_well(&self, at: usize) -> bool {
        (at..self.item(at).after).any(|inner| {
            matches!(self.item(inner).kind, "call" | "call_expression" | "assignment_expression") && self.is_success(inner)
        })
    }

    /// Whether the body only gives constants, or does nothing: nothing in it is computed.
    fn is_constant(&self, at: usize) -> bool {
        let computes = |inner: usize| {
            let item = self.item(inner);
            let around = std::iter::once(inner).chain(self.tree.ancestors(inner).take(8)).take_while(|node| *node > at);
            if around.into_iter().any(|node| self.item(node).field == Some("condition")) {
                return false;
            }
            let parent = self.item(item.parent).kind;
            let is_target = item.field == Some("left") && matches!(parent, "assignment" | "assignment_expression");
            match item.kind {
                "identifier" => !is_target && !matches!(self.text(inner), "None" | "undefined" | "Vec" | "String" | "Ok"),
                "call" | "member_expression" | "attribute" | "macro_invocation" => true,
                "call_expression" => {
                    !matches!(self.text(inner), "Vec::new()" | "String::new()" | "Ok(())" | "Default::default()")
                }
                _ => false,
            }
        };
        self.ends_well(at) || !(at..self.item(at).after).any(computes)
    }
}

/// What a handler of a language with exceptions is worth.
fn judged(reader: &Reader<'_>, body: usize, is_broad: bool) -> Option<(Grade, &'static str)> {
    let told = reader.is_told(body);
    match (is_broad, reader.is_constant(body)) {
        (true, true) if !told => Some((Grade::Refuse, "a handler catches every failure and hides it")),
        (true, _) => Some((Grade::Doubt, "a handler catches every failure and goes on")),
        (false, true) if !told => Some((Grade::Doubt, "a handler answers a failure with a constant")),
        (false, _) => None,
    }
}

fn python(reader: &Reader<'_>, at: usize) -> Option<(Grade, &'static str)> {
    const BROAD: [&str; 3] = ["Exception", "BaseException", "builtins"];
    let broad = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|name| BROAD.contains(&name));
    match reader.item(at).kind {
        "except_clause" | "except_group_clause" => {
            let body = reader.tree.children(at).find(|child| reader.item(*child).kind == "block")?;
            let leaves = reader.has(body, &["raise_statement", "assert_statement"]) || ends_badly(reader, body);
            let caught: Vec<usize> = reader.tree.named(at).into_iter().filter(|child| *child != body).collect();
            let is_broad = caught.is_empty() || caught.iter().any(|what| broad(reader.text(*what)));
            if leaves { None } else { judged(reader, body, is_broad) }
        }
        "call" if matches!(reader.field(at, "function"), "contextlib.suppress" | "suppress") => {
            let is_broad = broad(reader.field(at, "arguments"));
            Some((if is_broad { Grade::Refuse } else { Grade::Doubt }, "failures are suppressed"))
        }
        "finally_clause" if reader.has(at, &["return_statement", "break_statement", "continue_statement"]) => {
            Some((Grade::Refuse, "a `finally` that leaves hides every failure"))
        }
        "function_definition" if reader.field(at, "name") == "__exit__" => {
            let body = reader.tree.child(at, "body")?;
            let hides = reader.text(body).contains("return True");
            hides.then_some((Grade::Refuse, "`__exit__` that answers `True` hides every failure"))
        }
        _ => None,
    }
}

/// Whether the body ends the program with anything but success.
fn ends_badly(reader: &Reader<'_>, body: usize) -> bool {
    let calls = (body..reader.item(body).after).filter(|inner| matches!(reader.item(*inner).kind, "call" | "call_expression"));
    calls.into_iter().any(|call| {
        let function = reader.field(call, "function");
        matches!(function, "sys.exit" | "exit" | "quit" | "os._exit" | "process.exit") && !reader.is_success(call)
    })
}

fn javascript(reader: &Reader<'_>, at: usize) -> Option<(Grade, &'static str)> {
    let leaves = |body: usize| {
        let sets_code = reader.text(body).split_whitespace().collect::<String>();
        let code = sets_code.find("process.exitCode=").and_then(|start| sets_code.get(start + 17..));
        let reject = reader.text(body).contains("reject(");
        reader.has(body, &["throw_statement"])
            || ends_badly(reader, body)
            || reject
            || code.is_some_and(|rest| !rest.starts_with('0'))
    };
    match reader.item(at).kind {
        "catch_clause" => {
            let body = reader.tree.child(at, "body")?;
            // A handler that looks at what it has caught is a specific one.
            let name = reader.field(at, "parameter");
            let asks =
                !name.is_empty() && reader.has(body, &["if_statement", "switch_statement"]) && reader.text(body).contains(name);
            if leaves(body) { None } else { judged(reader, body, !(asks || only_reads(reader, at))) }
        }
        "finally_clause" if reader.has(at, &["return_statement", "break_statement", "continue_statement"]) => {
            Some((Grade::Refuse, "a `finally` that leaves hides every failure"))
        }
        "call_expression" => {
            let function = reader.tree.child(at, "function")?;
            let arguments = reader.tree.named(reader.tree.child(at, "arguments")?);
            let method = reader.field(function, "property");
            let handler = match method {
                "catch" => *arguments.first()?,
                "then" => *arguments.get(1)?,
                "on" | "once" => {
                    let event = reader.text(*arguments.first()?).trim_matches(['\'', '"']);
                    let catches = matches!(event, "uncaughtException" | "unhandledRejection")
                        && reader.text(function).starts_with("process");
                    return catches.then_some((Grade::Refuse, "failures that nobody catches are hidden"));
                }
                _ => return None,
            };
            let body = reader.tree.child(handler, "body")?;
            if leaves(body) { None } else { judged(reader, body, true) }
        }
        _ => None,
    }
}

/// Whether all that may fail is one call that fails for one reason: what it is given cannot be read.
fn only_reads(reader: &Reader<'_>, handler: usize) -> bool {
    let attempt = reader.item(handler).parent;
    let Some(body) = reader.tree.child(attempt, "body") else { return false };
    let calls =
        (body..reader.item(body).after).filter(|at| matches!(reader.item(*at).kind, "call_expression" | "new_expression"));
    let names: Vec<&str> = calls.map(|at| callee(reader, at)).collect();
    matches!(names.as_slice(), ["JSON.parse" | "decodeURIComponent" | "decodeURI" | "BigInt" | "URL" | "RegExp"])
}

fn callee<'s>(reader: &Reader<'s>, call: usize) -> &'s str {
    match reader.field(call, "function") {
        "" => reader.field(call, "constructor"),
        function => function,
    }
}

/// Calls whose result is a value or an error, by the method's or function's name.
const FALLIBLE: [&str; 20] = [
    "parse",
    "from_str",
    "try_from",
    "try_into",
    "from_utf8",
    "read",
    "read_to_string",
    "read_line",
    "read_to_end",
    "open",
    "create",
    "write",
    "write_all",
    "from_str_radix",
    "lock",
    "recv",
    "send",
    "join",
    "spawn",
    "output",
];

/// Methods that find something or nothing: no failure is hidden when nothing is answered with a default.
const LOOKING: [&str; 17] = [
    "get",
    "get_mut",
    "first",
    "last",
    "max",
    "min",
    "max_by_key",
    "min_by_key",
    "next",
    "nth",
    "pop",
    "pop_front",
    "pop_back",
    "find",
    "position",
    "copied",
    "cloned",
];

fn rust(reader: &Reader<'_>, at: usize) -> Option<(Grade, &'static str)> {
    match reader.item(at).kind {
        "match_arm" => {
            let pattern = reader.field(at, "pattern").split_whitespace().collect::<String>();
            let body = reader.tree.child(at, "value")?;
            let is_broad = pattern.starts_with("Err(_") || pattern == "Err(..)";
            let is_error = pattern.starts_with("Err(");
            (is_error
                && reader.is_constant(body)
                && !reader.text(body).contains("Err(")
                && !reader.has(body, &["return_expression"]))
            .then_some((if is_broad { Grade::Refuse } else { Grade::Doubt }, "an error is answered with a constant"))
        }
        "let_declaration" if reader.field(at, "pattern") == "_" => {
            let value = reader.tree.child(at, "value")?;
            match reader.item(value).kind {
                "call_expression" => Some((Grade::Refuse, "a result is thrown away")),
                "macro_invocation" => Some((Grade::Doubt, "a result is thrown away")),
                _ => None,
            }
        }
        "call_expression" => discarded(reader, at),
        _ => None,
    }
}

/// `.ok()`, `.unwrap_or_default()` and their like on what may be an error.
fn discarded(reader: &Reader<'_>, at: usize) -> Option<(Grade, &'static str)> {
    let function = reader.tree.child(at, "function")?;
    if reader.field(function, "field") == "catch_unwind" || reader.text(function).ends_with("catch_unwind") {
        return Some((Grade::Refuse, "panics are caught"));
    }
    let value = reader.tree.child(function, "value")?;
    // The name of what gives the value: the last one before its arguments.
    let giver = reader.tree.child(value, "function").map(|giver| reader.text(giver)).unwrap_or_default();
    let giver = giver.split("::<").next().unwrap_or(giver);
    let giver = giver.rsplit(['.', ':']).next().unwrap_or(giver).trim();
    let is_fallible = FALLIBLE.contains(&giver);
    let parent = reader.item(reader.item(at).parent).kind;
    match reader.field(function, "field") {
        "ok" if parent == "expression_statement" => Some((Grade::Refuse, "a result is thrown away")),
        "ok" if parent == "try_expression" => None,
        "ok" => Some((Grade::Doubt, "an error becomes nothing")),
        "unwrap_or_default" if is_fallible => Some((Grade::Refuse, "an error is answered with a constant")),
        "unwrap_or_default" if LOOKING.contains(&giver) => None,
        "unwrap_or_default" => Some((Grade::Doubt, "what is missing is answered with a constant")),
        "unwrap_or" if is_fallible => Some((Grade::Refuse, "an error is answered with a constant")),
        _ => None,
    }
}

fn shell(reader: &Reader<'_>, at: usize) -> Option<(Grade, &'static str)> {
    /// Commands whose exit code is an answer.
    const ANSWERING: [&str; 10] = ["grep", "egrep", "fgrep", "diff", "cmp", "expr", "let", "read", "test", "["];
    let text = reader.text(at);
    match reader.item(at).kind {
        "list" => {
            let children: Vec<usize> = reader.tree.children(at).collect();
            let operator = children.iter().position(|child| reader.text(*child) == "||")?;
            let handler = reader.text(*children.get(operator + 1)?).split_whitespace().collect::<Vec<_>>().join(" ");
            let hides = matches!(handler.as_str(), "true" | ":" | "exit 0" | "return 0" | "/bin/true" | "echo" | "continue")
                || handler.starts_with("true ")
                || handler.starts_with(": ");
            let first = reader.text(*children.first()?).split_whitespace().next().unwrap_or_default().to_string();
            let answers = ANSWERING.contains(&first.as_str()) || first.starts_with("((");
            let says_only = (handler.starts_with("echo ") || handler.starts_with("printf ")) && !handler.contains(">&2");
            match (hides, answers) {
                (true, false) => Some((Grade::Refuse, "a failing command counts as a success")),
                (true, true) => Some((Grade::Doubt, "a command that answers no counts as a success")),
                (false, _) => says_only.then_some((Grade::Doubt, "a failing command is answered with a text")),
            }
        }
        "command" => {
            let words: Vec<&str> = text.split_whitespace().collect();
            match words.as_slice() {
                ["set", rest @ ..]
                    if rest.iter().any(|o| matches!(*o, "+e" | "+eu" | "+ue" | "+euo" | "errexit" | "pipefail")) =>
                {
                    rest.iter()
                        .any(|option| option.starts_with('+'))
                        .then_some((Grade::Refuse, "failing commands do not end the script any more"))
                }
                ["trap", ..] => Some((Grade::Doubt, "a trap decides how the script ends")),
                _ => None,
            }
        }
        "file_redirect" => {
            let hides = reader.field(at, "destination") == "/dev/null"
                && (reader.field(at, "descriptor") == "2" || text.starts_with('&'));
            hides.then_some((Grade::Doubt, "complaints are thrown away"))
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(all(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust", feature = "lang-shell"))]
mod tests {
    use super::*;

    fn worst(language: Language, before: &str, after: &str) -> Option<Grade> {
        swallowed(language, before, after).into_iter().map(|finding| finding.grade).max()
    }

    fn obeys(language: Language, around: (&str, &str), rows: &[(Option<Grade>, &str)]) {
        for (expected, body) in rows {
            let after = format!("{}{body}{}", around.0, around.1);
            assert!(crate::lang::parses(language, after.as_bytes()).is_ok(), "{after}");
            assert_eq!(worst(language, "", &after), *expected, "{after}");
            assert_eq!(worst(language, &after, &after), None, "{after}");
        }
    }

    const REFUSE: Option<Grade> = Some(Grade::Refuse);
    const DOUBT: Option<Grade> = Some(Grade::Doubt);

    #[test]
    fn handlers_of_python_that_hide_a_failure_are_found() {
        obeys(
            Language::Python,
            ("try:\n    f()\n", "\n"),
            &[
                (REFUSE, "except:\n    pass"),
                (REFUSE, "except Exception:\n    pass"),
                (REFUSE, "except BaseException as e:\n    x = None"),
                (REFUSE, "except (ValueError, Exception):\n    ..."),
                (REFUSE, "except Exception:\n    sys.exit(0)"),
                (REFUSE, "except:\n    x = []"),
                (REFUSE, "finally:\n    while a:\n        break"),
                (DOUBT, "except Exception as e:\n    print(e)"),
                (DOUBT, "except Exception:\n    x = g(y)"),
                (DOUBT, "except ValueError:\n    pass"),
                (DOUBT, "except (ValueError, KeyError):\n    x = 0"),
                (None, "except Exception as e:\n    raise ValueError('x') from e"),
                (None, "except Exception as e:\n    print(e)\n    sys.exit(1)"),
                (None, "except ValueError as e:\n    print(e, file=sys.stderr)"),
                (None, "except ValueError:\n    x = g(y)"),
                (None, "finally:\n    f.close()"),
            ],
        );
        assert_eq!(worst(Language::Python, "", "with suppress(Exception):\n    f()\n"), REFUSE);
        assert_eq!(worst(Language::Python, "", "with contextlib.suppress(KeyError):\n    f()\n"), DOUBT);
        assert_eq!(worst(Language::Python, "", "# try: f()\n# except: pass\nx = 'except: pass'\n"), None);
        let reraising = "try:\n    f()\nexcept Exception:\n    raise\n";
        assert_eq!(worst(Language::Python, reraising, &reraising.replace("raise\n", "pass\n")), REFUSE);
    }

    #[test]
    fn handlers_of_javascript_that_hide_a_failure_are_found() {
        obeys(
            Language::Javascript,
            ("function f() { try { g(); } ", " }"),
            &[
                (REFUSE, "catch (e) {}"),
                (REFUSE, "catch { return null; }"),
                (REFUSE, "catch (e) { return []; }"),
                (REFUSE, "catch (e) { process.exit(0); }"),
                (REFUSE, "finally { return 1; }"),
                (DOUBT, "catch (e) { console.error(e); return null; }"),
                (DOUBT, "catch (e) { return h(x); }"),
                (DOUBT, "catch (e) { if (e instanceof TypeError) { return 0; } }"),
                (None, "catch (e) { throw new Error('x'); }"),
                (None, "catch (e) { console.error(e); process.exit(1); }"),
                (None, "catch (e) { console.error(e); process.exitCode = 2; }"),
                (None, "finally { h(); }"),
            ],
        );
        let parses = |body: &str| format!("function f(a) {{ try {{ {body} }} catch {{ return null; }} }}");
        assert_eq!(worst(Language::Javascript, "", &parses("return JSON.parse(a);")), DOUBT);
        assert_eq!(worst(Language::Javascript, "", &parses("return g(JSON.parse(a));")), REFUSE);
        assert_eq!(worst(Language::Javascript, "", "p.catch(() => {});"), REFUSE);
        assert_eq!(worst(Language::Javascript, "", "p.catch((e) => { throw e; });"), None);
        assert_eq!(worst(Language::Javascript, "", "process.on('uncaughtException', () => {});"), REFUSE);
        assert_eq!(worst(Language::Javascript, "", "// try {} catch (e) {}\nconst s = 'catch (e) {}';"), None);
    }

    #[test]
    fn errors_of_rust_that_are_dropped_are_found() {
        obeys(
            Language::Rust,
            ("fn f() -> i32 { ", " 0 }"),
            &[
                (REFUSE, "let _ = g();"),
                (REFUSE, "g().ok();"),
                (REFUSE, "let x = s.parse::<i32>().unwrap_or_default();"),
                (REFUSE, "let x = s.parse().unwrap_or(0);"),
                (REFUSE, "match g() { Ok(x) => x, Err(_) => 0 };"),
                (REFUSE, "std::panic::catch_unwind(|| g());"),
                (DOUBT, "let x = g().ok();"),
                (DOUBT, "let x = g().unwrap_or_default();"),
                (DOUBT, "match g() { Ok(x) => x, Err(E::Empty) => 0 };"),
                (None, "let x = g().ok()?;"),
                (None, "let x = xs.first().unwrap_or(&0);"),
                (None, "let x = xs.iter().copied().max().unwrap_or_default();"),
                (None, "match g() { Ok(x) => x, Err(e) => return Err(e) };"),
                (None, "match g() { Ok(x) => x, Err(e) => { eprintln!(\"{e}\"); h(e) } };"),
                (None, "let _unused = g();"),
                (None, "// let _ = g(); x.ok();\n"),
            ],
        );
    }

    #[test]
    fn failures_of_a_shell_that_are_hidden_are_found() {
        obeys(
            Language::Shell,
            ("", "\n"),
            &[
                (REFUSE, "f x || true"),
                (REFUSE, "x=$(f x | g || :)"),
                (REFUSE, "f x || exit 0"),
                (REFUSE, "set +e"),
                (REFUSE, "set +o pipefail"),
                (DOUBT, "grep -c x y || true"),
                (DOUBT, "f x 2>/dev/null"),
                (DOUBT, "f x &>/dev/null"),
                (DOUBT, "f x || echo 0"),
                (DOUBT, "trap 'exit 0' ERR"),
                (None, "f x || exit 1"),
                (None, "f x || { echo bad >&2; exit 2; }"),
                (None, "f x >/dev/null"),
                (None, "set -euo pipefail"),
                (None, "# f || true\necho '|| true' \"2>/dev/null\""),
            ],
        );
    }
}
