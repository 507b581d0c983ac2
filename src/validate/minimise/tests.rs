//! The minimiser on predicates that are computed: what it promises for every input and every predicate.

use proptest::prelude::*;

use super::*;
use crate::model::Arg;

fn input(args: &[&str], stdin: &str) -> ToolInput {
    ToolInput { args: args.iter().map(|arg| Arg::from(*arg)).collect(), stdin: stdin.into(), cwd: None }
}

fn text(input: &ToolInput) -> String {
    let mut all: Vec<String> = input.args.iter().map(ToString::to_string).collect();
    all.push(String::from_utf8_lossy(&input.stdin).into_owned());
    all.join("\u{1}")
}

#[test]
fn what_a_failure_does_not_need_is_gone() {
    let csv = "name,price\nnut,3\nbolt,x12\nwasher,9\n";
    let found = minimise(&input(&["--format", "table", "-v"], csv), 200, |tried| text(tried).contains('x'));
    assert_eq!((found.input, found.minimal), (input(&[], "x"), true));
    let found = minimise(&input(&["sum", "--currency=euro", "0"], ""), 200, |tried| {
        tried.args.first().is_some_and(|first| first.0 == b"sum") && tried.args.iter().any(|arg| arg.0.starts_with(b"--currency"))
    });
    assert_eq!(found.input, input(&["sum", "--currency="], ""));
}

#[test]
fn json_stays_json_and_keeps_its_notation() {
    let order = "{\"id\": 1.50e1, \"items\": [{\"tags\": [\"a\"], \"name\": \"nu\\u0061\"}, {\"name\": \"bolt\", \"n\": 007}]}";
    let valid = order.replace("007", "7");
    let fails = |tried: &ToolInput| {
        if tried.stdin.is_empty() {
            return false;
        }
        let json: serde_json::Value = serde_json::from_slice(&tried.stdin).expect("JSON, always");
        json["items"].as_array().is_some_and(|items| items.iter().any(|item| item["name"].is_string() && item["tags"].is_null()))
    };
    let found = minimise(&input(&[], &valid), 300, fails);
    assert_eq!((text(&found.input).as_str(), found.minimal), ("{\"items\":[{\"name\":\"\"}]}", true));
    let kept = minimise(&input(&[], &valid), 300, |tried| text(tried).contains("\"id\":1.50e1"));
    assert_eq!(text(&kept.input), "{\"id\":1.50e1}");
    // What only looks like JSON is text.
    assert_eq!(text(&minimise(&input(&[], order), 500, |tried| text(tried).contains("007")).input), "007");
}

#[test]
fn bytes_that_are_no_text_and_pairs_of_escapes_are_never_torn() {
    let odd = ToolInput { args: vec![Arg(vec![0xff, 0xfe]), Arg::from("é1")], stdin: Vec::new(), cwd: None };
    let found = minimise(&odd, 100, |tried| tried.args.iter().any(|arg| arg.0.contains(&0xfe)));
    assert_eq!(found.input.args, [Arg(vec![0xff, 0xfe])]);
    let pair = minimise(&input(&["[\"x\\ud83d\\ude00y\"]"], ""), 100, |tried| text(tried).contains("\\ude00"));
    assert_eq!(text(&pair.input), "[\"\\ud83d\\ude00\"]\u{1}");
}

#[test]
fn the_budget_is_a_bound_and_nothing_is_found_without_one() {
    let long = input(&["a", "b"], &"line\n".repeat(1000));
    let mut calls = 0;
    let found = minimise(&long, 7, |_| {
        calls += 1;
        false
    });
    assert_eq!((found.tries, calls, found.minimal, &found.input), (7, 7, false, &long));
    let none = minimise(&long, 0, |_| panic!("is not tried"));
    assert_eq!((none.tries, none.minimal), (0, false));
}

/// Everything that is one part smaller, made in another way than the search makes it.
fn one_smaller(input: &ToolInput) -> Vec<ToolInput> {
    let without = |text: &str, at: usize| text.chars().enumerate().filter(|(n, _)| *n != at).map(|(_, c)| c).collect::<String>();
    let mut all = vec![ToolInput { stdin: Vec::new(), ..input.clone() }];
    all.retain(|emptied| emptied != input);
    for at in 0..input.args.len() {
        let mut fewer = input.clone();
        fewer.args.remove(at);
        all.push(fewer);
        let arg = input.args[at].to_string();
        if arg.starts_with("--") || arg.starts_with('[') {
            continue;
        }
        for character in 0..arg.chars().count() {
            let mut shorter = input.clone();
            shorter.args[at] = Arg::from(without(&arg, character).as_str());
            all.push(shorter);
        }
    }
    let stdin = String::from_utf8(input.stdin.clone()).expect("text");
    match serde_json::from_str::<Vec<u8>>(&stdin) {
        Ok(numbers) if stdin.starts_with('[') => {
            for at in 0..numbers.len() {
                let kept: Vec<String> =
                    numbers.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, number)| number.to_string()).collect();
                all.push(ToolInput { stdin: format!("[{}]", kept.join(",")).into_bytes(), ..input.clone() });
            }
        }
        _ => all
            .extend((0..stdin.chars().count()).map(|at| ToolInput { stdin: without(&stdin, at).into_bytes(), ..input.clone() })),
    }
    all
}

/// Inputs with a predicate that holds for them: every one of some texts must be in.
fn inputs() -> impl Strategy<Value = (ToolInput, Vec<char>, usize)> {
    let arg = prop_oneof![Just("--flag".to_string()), "[a-eé]{0,6}"];
    let numbers = prop::collection::vec(0_u8..30, 0..6).prop_map(|numbers| serde_json::to_string(&numbers).expect("JSON"));
    let stdin = prop_oneof!["([a-eé ]{0,5}\n){0,4}", numbers];
    let input = (prop::collection::vec(arg, 0..5), stdin).prop_map(|(args, stdin)| ToolInput {
        args: args.iter().map(|arg| Arg::from(arg.as_str())).collect(),
        stdin: stdin.into(),
        cwd: None,
    });
    (input, prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0_usize..3).prop_map(|(input, chosen, least)| {
        let all: Vec<char> = text(&input).chars().filter(|c| c.is_alphanumeric()).collect();
        let needed = if all.is_empty() { Vec::new() } else { chosen.iter().map(|index| *index.get(&all)).collect() };
        let least = least.min(input.args.len());
        (input, needed, least)
    })
}

/// Every needed character is in, as often as it is needed, with so many arguments.
fn holds(tried: &ToolInput, needed: &[char], least: usize) -> bool {
    let text = text(tried);
    let enough = |c: &char| text.matches(*c).count() >= needed.iter().filter(|other| *other == c).count();
    tried.args.len() >= least && needed.iter().all(enough)
}

proptest! {
    #[test]
    fn the_smallest_holds_is_never_larger_and_is_minimal_once_the_search_has_ended(
        (input, needed, least) in inputs(), budget in prop_oneof![0_usize..60, Just(100_000)],
    ) {
        let predicate = |tried: &ToolInput| holds(tried, &needed, least);
        prop_assume!(predicate(&input));
        let mut seen = Vec::new();
        let found = minimise(&input, budget, |tried| {
            seen.push(tried.clone());
            predicate(tried)
        });
        prop_assert!(predicate(&found.input), "{:?}", found);
        prop_assert!(found.input.size() <= input.size());
        prop_assert!(found.tries == seen.len() && found.tries <= budget);
        let distinct: BTreeSet<&ToolInput> = seen.iter().collect();
        prop_assert_eq!(distinct.len(), seen.len(), "nothing is tried twice");
        prop_assert!(found.minimal || budget < 100_000);
        if found.minimal {
            let smaller = one_smaller(&found.input).into_iter().find(|smaller| predicate(smaller));
            prop_assert!(smaller.is_none(), "{:?} holds too, smaller than {:?}", smaller, found.input);
        }
        prop_assert_eq!(minimise(&input, budget, predicate), found, "always the same");
    }
}
