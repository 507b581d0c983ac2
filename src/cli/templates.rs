//! `fractal templates`: the manual of the fix templates and of the coded operators, rendered from themselves.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::render::{self, Paint};
use super::{Failure, Outcome, Output};
use crate::improve::{OPERATOR_CASES, Operator, Template, operators, templates};
use crate::lang;
use crate::model::{Language, Trust};

/// A template is tried where its rule matches, when it is for the failure. What it makes is a candidate: the checks decide.
#[derive(clap::Args)]
pub(super) struct Templates {
    /// Only this template, with its cases
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only templates for this language: javascript, python, rust, shell
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,
    #[command(flatten)]
    output: Output,
}

impl Templates {
    pub(super) fn run(&self) -> Outcome {
        let of_language: Vec<&Template> =
            templates().iter().filter(|template| self.language.is_none_or(|language| language == template.language)).collect();
        let chosen: Vec<&Template> = match &self.name {
            None => of_language.clone(),
            Some(name) => of_language.iter().copied().filter(|template| template.id == *name).collect(),
        };
        let is_coded = self.language.is_none_or(|language| lang::shape(language).is_some());
        let is_named = |operator: &&Operator| self.name.as_ref().is_none_or(|name| operator.id == *name);
        let coded: Vec<&Operator> = operators().into_iter().filter(|operator| is_coded && is_named(operator)).collect();
        match &self.name {
            Some(name) if chosen.is_empty() && coded.is_empty() => return Err(unknown(name, &of_language)),
            _ if self.output.json => render::say_json_pretty(&json!({
                "templates": chosen.into_iter().map(whole).collect::<Vec<_>>(),
                "operators": coded.into_iter().map(whole_operator).collect::<Vec<_>>(),
            })),
            Some(_) => {
                chosen.into_iter().for_each(show);
                coded.into_iter().for_each(show_operator);
            }
            None => list(&chosen, &coded),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn language(text: &str) -> Result<Language, String> {
    let known = [Language::Javascript, Language::Python, Language::Rust, Language::Shell];
    let named = known.into_iter().find(|language| word(*language) == text.to_lowercase());
    named.ok_or_else(|| format!("there are templates for {}", known.map(word).join(", ")))
}

fn word(language: Language) -> String {
    format!("{language:?}").to_lowercase()
}

/// How far what it makes may go: `land` by itself, `review` only through a person.
fn safety(template: &Template) -> &'static str {
    match template.trust {
        Trust::Land => "land",
        _ => "review",
    }
}

fn unknown(name: &str, templates: &[&Template]) -> Failure {
    let distance = |id: &&str| strsim::damerau_levenshtein(name, id);
    let ids = templates.iter().map(|template| template.id.as_str()).chain(operators().into_iter().map(|operator| operator.id));
    let nearest = ids.min_by_key(distance).filter(|id| distance(id) <= 3);
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? `fractal templates` lists them all"),
        None => "`fractal templates` lists them all".to_string(),
    };
    Failure::mistake(format!("there is no template `{}`", crate::model::plain_line(name, 80)), hint)
}

fn list(templates: &[&Template], operators: &[&Operator]) {
    let rows = templates.iter().map(|template| {
        let weight = format!("{:.2}", template.weight);
        [
            word(template.language),
            template.id.clone(),
            template.class.clone(),
            weight,
            safety(template).into(),
            template.doc.clone(),
        ]
    });
    let coded = operators.iter().map(|operator| {
        let weight = format!("{:.2}", operator.weight);
        ["(coded)".into(), operator.id.into(), operator.class.into(), weight, "review".into(), operator.doc.into()]
    });
    let rows = rows.chain(coded);
    render::say(&render::table(["language", "name", "class", "weight", "safety", "what it does"], rows));
    render::say(&Paint::for_stdout().dim("`fractal templates NAME` shows one with its cases"));
}

fn show(template: &Template) {
    let paint = Paint::for_stdout();
    render::say(&format!("{} ({})", paint.bold(&template.id), word(template.language)));
    render::say(&template.doc);
    render::say(&format!("class {}, weight {:.2}, safety {}", template.class, template.weight, safety(template)));
    if !template.errors.is_empty() {
        render::say(&format!("only for {}", template.errors.join(", ")));
    }
    if let Some(message) = template.message() {
        render::say(&format!("only for messages like /{message}/"));
    }
    for (title, text) in template.fixes() {
        let one_line = if text.trim_end().contains('\n') { String::new() } else { format!(": {}", text.trim_end()) };
        render::say(&format!("- {title}{one_line}"));
    }
    for case in &template.cases {
        show_case(&case.before, &case.after);
    }
    render::say("");
}

fn show_operator(operator: &Operator) {
    let paint = Paint::for_stdout();
    render::say(&format!("{} (coded, for languages with names in scope: javascript, python, rust)", paint.bold(operator.id)));
    render::say(operator.doc);
    render::say(&format!("class {}, weight {:.2}, safety review", operator.class, operator.weight));
    for (_, _, before, after) in OPERATOR_CASES.iter().filter(|(id, ..)| *id == operator.id) {
        show_case(before, after);
    }
    render::say("");
}

fn show_case(before: &str, after: &str) {
    let paint = Paint::for_stdout();
    let marked = |sign: &str, text: &str| text.lines().map(|line| format!("{sign} {line}\n")).collect::<String>();
    render::say("");
    render::say(paint.red(marked("-", before).trim_end()).as_str());
    render::say(paint.green(marked("+", after).trim_end()).as_str());
}

fn whole_operator(operator: &Operator) -> Value {
    let cases: Vec<Value> = OPERATOR_CASES
        .iter()
        .filter(|(id, ..)| *id == operator.id)
        .map(|(_, language, before, after)| json!({ "language": word(*language), "before": before, "after": after }))
        .collect();
    json!({ "name": operator.id, "class": operator.class, "weight": operator.weight, "safety": "review", "doc": operator.doc, "cases": cases })
}

fn whole(template: &Template) -> Value {
    let fixes: Vec<Value> = template.fixes().map(|(title, text)| json!({ "title": title, "template": text })).collect();
    let cases: Vec<Value> = template.cases.iter().map(|case| json!({ "before": case.before, "after": case.after })).collect();
    json!({
        "language": word(template.language),
        "name": template.id,
        "class": template.class,
        "weight": template.weight,
        "safety": safety(template),
        "doc": template.doc,
        "errors": template.errors,
        "message": template.message(),
        "fixes": fixes,
        "cases": cases,
    })
}
