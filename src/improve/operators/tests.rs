//! Every operator keeps its promise, and nothing that is made leaves its place.

use super::*;
use crate::lang;
use crate::model::Language;

fn all(language: Language, source: &str) -> Vec<Made> {
    let (grammar, shape) = Grammar::of(language).zip(lang::shape(language)).expect("built in");
    let tree = Tree::of(language, source).expect("parses");
    made(grammar, shape, &tree, source, &|_, _| true)
}

#[test]
fn every_operator_makes_each_of_its_cases() {
    let mut broken = Vec::new();
    for (id, language, before, after) in CASES {
        let texts: Vec<String> = all(*language, before)
            .into_iter()
            .filter(|made| made.operator.id == *id)
            .filter_map(|made| made.edit.apply(before))
            .collect();
        if !texts.iter().any(|text| text == after) {
            broken.push(format!("{id} {language:?}: {after:?} is not among {texts:#?}"));
        }
    }
    for operator in operators() {
        if !CASES.iter().any(|(id, ..)| *id == operator.id) {
            broken.push(format!("`{}` has no case", operator.id));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn operators_have_names_of_their_own_and_weights_like_templates() {
    let mut names: Vec<&str> = operators().iter().map(|operator| operator.id).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), operators().len());
    for operator in operators() {
        assert!(operator.weight > 0.0 && operator.weight < 0.5 && operator.doc.ends_with('.'), "{}", operator.id);
        assert!(!super::super::templates().iter().any(|template| template.id == operator.id), "{} is a template", operator.id);
    }
}

#[test]
fn most_of_what_is_made_parses_and_all_of_it_stays_within_the_file() {
    for (_, language, source, _) in CASES {
        let made = all(*language, source);
        let texts: Vec<String> = made.iter().filter_map(|made| made.edit.apply(source)).collect();
        assert_eq!(texts.len(), made.len(), "{source}");
        let bad: Vec<&String> = texts.iter().filter(|text| lang::parses(*language, text.as_bytes()).is_err()).collect();
        assert!(bad.len() * 10 <= texts.len(), "{} of {} do not parse: {bad:#?}", bad.len(), texts.len());
    }
}

#[test]
fn only_wanted_lines_are_changed() {
    let source = "def f(a, b):\n    return a + b\n\n\ndef g(a, b):\n    return a - b\n";
    let tree = Tree::of(Language::Python, source).expect("parses");
    let (grammar, shape) = Grammar::of(Language::Python).zip(lang::shape(Language::Python)).expect("built in");
    let made = made(grammar, shape, &tree, source, &|first, last| first <= 2 && last <= 2);
    let second = source.find("def g").expect("there");
    assert!(!made.is_empty() && made.iter().all(|made| made.edit.span.end <= second));
}

#[test]
fn a_file_without_functions_and_an_empty_one_are_no_matter() {
    for language in [Language::Python, Language::Javascript, Language::Rust] {
        assert!(all(language, "").is_empty());
        let _ = all(language, "\n\n");
    }
    assert!(!all(Language::Python, "import sys\nx = int(sys.argv[1])\nprint(10 / x)\n").is_empty());
}
