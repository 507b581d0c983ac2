//! What the strategies propose for small realistic programs, and that every template keeps its own promises.

use proptest::prelude::*;

use super::*;
use crate::model::{
    CommitId, Conclusion, Culprit, Exit, Failure, Language, Location, Origin, SideEffects, StdinUse, SuccessRule, Trust,
};

fn tool() -> Tool {
    Tool {
        name: "t".into(),
        paths: vec!["tools".into()],
        run: vec![],
        test: None,
        tests: vec!["tools/test_t.py".into()],
        needs: vec![],
        timeout: None,
        success: SuccessRule::default(),
        stdin: StdinUse::default(),
        effects: SideEffects::None,
        compare: crate::model::Comparison::Exact,
        language: Language::Python,
        origin: Origin::Declared,
    }
}

fn investigation(failure: Failure, lines: &[(u32, f64)]) -> Investigation {
    let location = |&(line, suspicion): &(u32, f64)| Location { path: "tools/t.py".into(), line, function: None, suspicion };
    Investigation {
        commit: CommitId("0".repeat(40)),
        failure,
        reproductions: vec![],
        locations: lines.iter().map(location).collect(),
        culprit: None,
        suite: None,
        remarks: vec![],
        others: Vec::new(),
        conclusion: Conclusion::Improvable,
    }
}

fn raised(line: &str) -> Failure {
    let stderr = format!("Traceback (most recent call last):\n  File \"tools/t.py\", line 1, in f\n{line}\n");
    lang::failure(&Exit::Code(1), stderr.as_bytes(), "/r")
}

fn proposed(source: &[u8], investigation: &Investigation, limit: usize) -> Vec<Candidate> {
    let sources = BTreeMap::from([("tools/t.py".to_string(), source.to_vec())]);
    candidates(&Case { tool: &tool(), investigation, sources: &sources, revert: None, learned: None }, limit, None)
}

fn text(candidate: &Candidate) -> String {
    match candidate.patch.edits.values().next() {
        Some(FileEdit::Write(content)) => String::from_utf8_lossy(content).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// The place in the list (0 is first) of the candidate that replaces `old` by `new`, and the candidate.
fn place(source: &str, failure: Failure, lines: &[(u32, f64)], old: &str, new: &str) -> (usize, Candidate) {
    let all = proposed(source.as_bytes(), &investigation(failure, lines), 200);
    let wanted = source.replacen(old, new, 1);
    assert_ne!(wanted, source, "`{old}` is not in the program");
    let found = all.iter().position(|candidate| text(candidate) == wanted);
    let shown: Vec<_> = all.iter().take(40).map(|c| format!("{:.3} {} {}", c.rank, c.source, c.title)).collect();
    let at = found.unwrap_or_else(|| panic!("not proposed; {} candidates:\n{}", all.len(), shown.join("\n")));
    (at, all[at].clone())
}

macro_rules! demo {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/demo/history/", $file))
    };
}

fn line_with(source: &str, needle: &str) -> u32 {
    let at = source.lines().position(|line| line.contains(needle)).expect("the demo has the line");
    u32::try_from(at + 1).expect("small")
}

#[test]
fn every_template_file_is_a_valid_rule_with_a_case() {
    let errors: Vec<String> = rules::load_all().into_iter().filter_map(Result::err).collect();
    assert_eq!(errors, Vec::<String>::new());
    for template in templates() {
        assert!(!template.cases.is_empty() && !template.fixes.is_empty() && !template.doc.is_empty(), "{}", template.id);
        assert!(template.weight > 0.0, "{}", template.id);
    }
    assert!(templates().len() >= 14);
}

/// Everything that `template` makes of `before`.
fn made(template: &Template, before: &str) -> Vec<String> {
    let grammar = lang::Grammar::of(template.language).expect("built in");
    let tree = grammar.tree(before).expect("parses");
    let edits = |matched| {
        let edits = template.fixes.iter().filter_map(|fix| edit::render(template, fix, &matched, before));
        edits.filter_map(|edit| edit.apply(before)).collect::<Vec<_>>()
    };
    tree.root().find_all(&template.rule.matcher).flat_map(edits).collect()
}

#[test]
fn every_template_makes_each_of_its_cases() {
    let mut broken = Vec::new();
    for template in templates() {
        for case in &template.cases {
            let made = made(template, &case.before);
            if !made.contains(&case.after) {
                broken.push(format!("{:?} {}: {:?} is not among {made:#?}", template.language, template.id, case.after));
            }
            for source in made.iter().chain([&case.before]) {
                if let Err(why) = lang::parses(template.language, source.as_bytes()) {
                    broken.push(format!("{:?} {}: {why}: {source}", template.language, template.id));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_language_has_templates_with_names_of_their_own() {
    for language in [Language::Javascript, Language::Python, Language::Rust, Language::Shell] {
        let names: Vec<&str> = templates().iter().filter(|t| t.language == language).map(|t| t.id.as_str()).collect();
        assert!(names.len() >= 40, "{language:?}: {}", names.len());
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{language:?}");
    }
}

#[test]
fn a_zero_divisor_is_refused_first() {
    let source = demo!("01-calculator/files/tools/buggy_calculator.py");
    let line = line_with(source, "return a / b");
    let guard = "    if b == 0:\n        raise ValueError(\"division by zero\")\n    return a / b";
    let (rank, candidate) =
        place(source, raised("ZeroDivisionError: float division by zero"), &[(line, 1.0)], "    return a / b", guard);
    assert_eq!((rank, candidate.title.as_str()), (0, "refuse a zero divisor in `divide`"));
    assert_eq!((candidate.trust, candidate.source.as_str()), (Trust::Land, "zero-divisor-refused"));
}

#[test]
fn a_missing_nickname_is_read_with_a_default_first() {
    let source = demo!("02-club-and-pages/files/tools/member_report.py");
    let line = line_with(source, "nickname = member");
    let (rank, candidate) =
        place(source, raised("KeyError: 'nickname'"), &[(line, 1.0)], "member[\"nickname\"]", "member.get(\"nickname\")");
    assert_eq!((rank, candidate.trust), (0, Trust::Land));
    assert_eq!(candidate.title, "read a missing \"nickname\" as None in `describe`");
}

#[test]
fn a_wrong_page_boundary_is_among_the_first_without_any_location() {
    let source = demo!("02-club-and-pages/files/tools/page_slice.py");
    let (rank, candidate) = place(source, Failure::wrong_output(), &[], "number <= start + size", "number < start + size");
    assert!(rank < 4, "{rank}");
    assert_eq!(candidate.trust, Trust::Land);
    let line = line_with(source, "number <= start + size");
    let (rank, _) = place(source, Failure::wrong_output(), &[(line, 1.0)], "number <= start + size", "number < start + size");
    assert!(rank < 3, "{rank}");
}

#[test]
fn a_loop_that_steps_over_its_bound_is_ended_first() {
    let source = demo!("05-imports/files/tools/retry_schedule.py");
    let failure = lang::failure(&Exit::TimedOut, b"", "/r");
    let line = line_with(source, "retries += 1");
    let (rank, candidate) = place(source, failure, &[(line, 1.0), (line + 20, 0.5)], "remaining != 0", "remaining > 0");
    assert_eq!((rank, candidate.trust), (0, Trust::Land));
}

#[test]
fn a_decimal_quantity_is_read_first() {
    let source = demo!("04-orders/files/tools/order_check.py");
    let line = line_with(source, "return int(text)");
    let error = raised("ValueError: invalid literal for int() with base 10: '3.0'");
    let (rank, candidate) = place(source, error, &[(line, 1.0)], "int(text)", "int(float(text))");
    assert_eq!((rank, candidate.trust), (0, Trust::Land));
}

#[test]
fn edits_keep_every_other_byte_and_the_line_ends() {
    let source = b"def f(a, b):\r\n\tx = \"\"\"\r\n deep\r\n\"\"\"\r\n\treturn a / b  # \xc3\xa9\r\n";
    let all = proposed(source, &investigation(raised("ZeroDivisionError: division by zero"), &[(5, 1.0)]), 1);
    let expected = "def f(a, b):\r\n\tx = \"\"\"\r\n deep\r\n\"\"\"\r\n\tif b == 0:\r\n\t\traise ValueError(\"division by zero\")\r\n\treturn a / b  # \u{e9}\r\n";
    assert_eq!(text(&all[0]), expected);
}

#[test]
fn files_that_are_not_text_or_do_not_parse_or_are_tests_are_left_alone() {
    let found = investigation(raised("ZeroDivisionError: division by zero"), &[(1, 1.0)]);
    assert_eq!(proposed(b"x = 1 / y  # \xff\n", &found, 10), []);
    assert_eq!(proposed(b"x = (1 / y\n", &found, 10), []);
    for path in ["tools/test_t.py", "other/t.py", "tools/t.txt"] {
        let sources = BTreeMap::from([(path.to_string(), b"x = 1 / y\n".to_vec())]);
        let case = Case { tool: &tool(), investigation: &found, sources: &sources, revert: None, learned: None };
        assert_eq!(candidates(&case, 10, None), [], "{path}");
    }
}

#[test]
fn a_revert_comes_before_every_template_and_a_person_lands_it() {
    let mut found = investigation(raised("ZeroDivisionError: division by zero"), &[(1, 1.0)]);
    let commit = CommitId("abc".into());
    found.culprit =
        Some(Culprit { commit: commit.clone(), summary: "pages: faster".into(), author: "A".into(), versions_tried: 2 });
    let sources = BTreeMap::from([("tools/t.py".to_string(), b"x = 1 / y\n".to_vec())]);
    let inverse = Patch::write("tools/t.py", b"x = 1\n".to_vec());
    let case = Case { tool: &tool(), investigation: &found, sources: &sources, revert: Some(&inverse), learned: None };
    let all = candidates(&case, 5, None);
    assert_eq!((all[0].strategy.as_str(), all[0].source.as_str()), ("revert", commit.as_str()));
    assert_eq!((all[0].title.as_str(), all[0].trust), ("revert \"pages: faster\"", Trust::Review));
    assert!(all.len() > 1 && all[1..].iter().all(|candidate| candidate.strategy == "template"));
    assert!(all[1..].windows(2).all(|pair| pair[0].rank >= pair[1].rank));
}

#[test]
fn no_patch_is_proposed_twice_and_none_changes_nothing() {
    let source = demo!("02-club-and-pages/files/tools/page_slice.py");
    let all = proposed(source.as_bytes(), &investigation(Failure::wrong_output(), &[]), 500);
    let ids: BTreeSet<_> = all.iter().map(|candidate| candidate.patch.id()).collect();
    assert_eq!(ids.len(), all.len());
    assert!(all.iter().all(|candidate| text(candidate) != source));
}
#[test]
fn without_locations_the_frames_of_the_failure_say_where_to_begin() {
    let source = "def f(a, b):\n    return a / b\n\n\ndef g(a, b):\n    return a / b\n";
    let stderr = "Traceback (most recent call last):\n  File \"tools/t.py\", line 6, in g\nZeroDivisionError: division by zero\n";
    let all = proposed(source.as_bytes(), &investigation(lang::failure(&Exit::Code(1), stderr.as_bytes(), "/r"), &[]), 1);
    assert_eq!(all[0].title, "refuse a zero divisor in `g`");
}

#[test]
fn a_tool_that_catches_the_error_itself_is_known_by_the_message() {
    let source = "import sys\n\n\ndef f(text):\n    return int(text)\n";
    let caught = lang::failure(&Exit::Code(1), b"error: invalid literal for int() with base 10: '2.0'\n", "/r");
    assert_eq!(caught.class, "exit 1");
    assert_eq!(place(source, caught, &[], "int(text)", "int(float(text))").0, 0);
}

#[test]
fn how_a_program_is_entered_is_not_searched_by_generic_templates() {
    let source = b"import sys\n\nif __name__ == \"__main__\":\n    sys.exit(main(sys.argv[1:]))\n";
    assert_eq!(proposed(source, &investigation(Failure::wrong_output(), &[]), 10), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_program_made_of_odd_lines_makes_a_strategy_panic(picks in proptest::collection::vec(0usize..16, 0..12), class in 0usize..5) {
        const LINES: [&str; 16] = [
            "def f(a, b):", "    return a / b", "    while a != 0: a -= 1", "if x: y = d[k] / len(z)", "\tx = a % b", "\u{e9} = \u{e9}[0:1]",
            "for i in range(n): print(i)", "x = [a / b for a in c if a]", "lambda: x[-1]", "class A: pass", "    else:", "(", "\"\"\"",
            "print(f\"{d['k']!r:>{w}} {a / b}\")", "x = y if not z and w or v else int(u)", "with open(p) as q: del d[k], e[0]",
        ];
        let text: Vec<&str> = picks.iter().map(|pick| LINES[*pick]).collect();
        let errors = ["ZeroDivisionError: division by zero", "KeyError: 'k'", "IndexError: x", "AttributeError: 'NoneType' x", "TypeError: 'NoneType' object is not iterable"];
        let found = investigation(raised(errors[class]), &[(2, 1.0), (9999, 0.5)]);
        for candidate in proposed(text.join("\r\n").as_bytes(), &found, 2000) {
            prop_assert!(candidate.rank.is_finite() && candidate.rank >= 0.0);
        }
    }
}

#[test]
fn what_was_undone_before_comes_later_and_what_was_kept_earlier() {
    let source = "def f(rows, size):\n    if len(rows) < size:\n        return rows\n    return rows[:size]\n";
    let sources = BTreeMap::from([("tools/t.py".to_string(), source.as_bytes().to_vec())]);
    let found = investigation(raised("AssertionError: no"), &[(2, 1.0)]);
    let order = |learned: Option<&Learned>| {
        let case = Case { tool: &tool(), investigation: &found, sources: &sources, revert: None, learned };
        candidates(&case, 200, None)
    };
    let before = order(None);
    let first = &before[0];
    let other = before.iter().find(|candidate| candidate.source != first.source).expect("more than one template fits");
    let mut learned = Learned::default();
    for _ in 0..50 {
        learned.record(Language::Python, &first.source, false);
        learned.record(Language::Python, &other.source, true);
    }
    let after = order(Some(&learned));
    let place = |wanted: &Candidate| after.iter().position(|candidate| candidate.patch == wanted.patch).expect("still proposed");
    assert!(place(other) < place(first), "{} and {}", place(other), place(first));
}
