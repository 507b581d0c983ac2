//! What a bundle must be before anything is done because of it: everything in it is looked at again that can be without running anything.

use anyhow::Result;

use super::bundle::{Bundle, BundleError, Came, JudgedHere, OfOpportunity, OfTool, find};
use crate::detect::detect;
use crate::engine::improvement::Improvement;
use crate::engine::offer::culprit_undone;
use crate::model::{Candidate, Character, CommitId, Conclusion, Investigation, Opportunity, Tool};
use crate::validate::{Claim, Judged, admit};
use crate::world::View;
use crate::world::catalog::{Catalog, catalog};

/// What an answer is about, as it is known here.
pub(super) struct About<'a> {
    pub view: &'a View,
    pub tool: &'a Tool,
    pub character: &'a Character,
    pub opportunity: &'a Opportunity,
    pub investigation: &'a Investigation,
}

/// Looks at every answer of a bundle that was made for what is here.
///
/// # Errors
/// When one of them is none that a zone finds; or when the repository or the store cannot be read.
pub(super) fn check(view: &View, bundle: &Bundle) -> Result<(), BundleError> {
    let refused = |why: String| Err(BundleError::Refused(why));
    let (tip, answers) = (&bundle.made_for.tip, &bundle.answers);
    let tools = catalog(&view.repo, &view.config, tip).map_err(BundleError::Other)?;
    for answer in &answers.investigations {
        let OfOpportunity { tool, commit, .. } = &answer.question;
        if commit != tip || answer.answer.commit != *tip || !answer.answer.others.is_empty() {
            return refused(format!("an investigation of `{}` is about another commit", shown(tool)));
        }
        if tools.get(tool).is_none() {
            return refused(format!("there is no tool `{}`", shown(tool)));
        }
    }
    for search in &answers.searches {
        if let Some(why) = searched(view, bundle, &tools, &search.question, &search.answer).map_err(BundleError::Other)? {
            return refused(why);
        }
    }
    Ok(())
}

/// What is wrong with a search, if anything is.
fn searched(view: &View, bundle: &Bundle, tools: &Catalog, question: &OfOpportunity, came: &[Came]) -> Result<Option<String>> {
    let (answers, tip) = (&bundle.answers, &bundle.made_for.tip);
    let name = shown(&question.tool);
    let Some(tool) = tools.get(&question.tool) else { return Ok(Some(format!("there is no tool `{name}`"))) };
    if question.commit != *tip {
        return Ok(Some(format!("a search for a repair of `{name}` is about another commit")));
    }
    let of_tool = OfTool { tool: tool.name.clone(), commit: tip.clone() };
    let Some(seen) = find(&answers.characters, &of_tool) else {
        return Ok(Some(format!("nothing is said of what `{name}` does, and yet of a repair")));
    };
    let known = Improvement::fold(question.id.clone(), view.repo.read_improvement(&question.id)?)?;
    let recorded = known.investigation.as_ref().filter(|investigation| investigation.commit == *tip);
    let Some(investigation) = find(&answers.investigations, question).or(recorded) else {
        return Ok(Some(format!("nothing is said of why `{name}` fails, and yet of a repair")));
    };
    if investigation.conclusion != Conclusion::Improvable {
        return Ok(Some(format!("`{name}` is said to be beyond repair, and yet to be repaired")));
    }
    let Some(opportunity) = opportunity(view, tool, &known, question, tip)? else {
        return Ok(Some(format!("nothing that is recorded of `{name}` asks for this repair")));
    };
    let character = seen.character();
    let tool = Tool { effects: character.effects, ..tool.clone() };
    let about = About { view, tool: &tool, character: &character, opportunity: &opportunity, investigation };
    for came in came {
        if let Came::Judged(claimed) = came
            && let Err(why) = vet(&about, claimed)?
        {
            return Ok(Some(format!("`{name}`: {why}")));
        }
    }
    Ok(None)
}

/// What it is about: what is open in the log, or what the recordings raise.
fn opportunity(
    view: &View,
    tool: &Tool,
    known: &Improvement,
    question: &OfOpportunity,
    tip: &CommitId,
) -> Result<Option<Opportunity>> {
    let open = known.opportunity.as_ref().filter(|_| !known.stage.is_end());
    if let Some(open) = open {
        return Ok(Some(open.clone()));
    }
    let detected = detect(view, std::slice::from_ref(tool), tip)?;
    Ok(detected.opportunities.into_iter().find(|opportunity| opportunity.id == question.id))
}

/// The candidate and the verdict that a claim leads to here, or why it cannot be true.
///
/// # Errors
/// When the repository or the store cannot be read.
pub(super) fn vet(about: &About<'_>, claimed: &JudgedHere) -> Result<Result<(Candidate, Judged), String>> {
    let About { view, tool, character, opportunity, investigation } = about;
    let candidate = match claimed.candidate.candidate() {
        Ok(candidate) => candidate,
        Err(why) => return Ok(Err(why)),
    };
    // What undoes a commit may do more than other patches, so it is made again.
    if candidate.strategy == "revert" && !undoes(about, &candidate)? {
        return Ok(Err("it is said to undo a commit, and it is not the inverse of the one that is blamed".into()));
    }
    let claim = Claim { candidate: &candidate, checks: &claimed.checks, recipe: claimed.recipe.as_ref() };
    let admitted = admit(view, (tool, character), opportunity, investigation, &claim)?;
    Ok(admitted.map(|judged| (candidate, judged)))
}

fn undoes(about: &About<'_>, candidate: &Candidate) -> Result<bool> {
    let About { view, tool, investigation, .. } = about;
    let Some(culprit) = &investigation.culprit else { return Ok(false) };
    let is_commit = culprit.commit.as_str().len() == 40 && culprit.commit.as_str().bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit || !view.repo.contains(&investigation.commit, &culprit.commit)? {
        return Ok(false);
    }
    Ok(culprit_undone(view, tool, investigation)?.is_some_and(|patch| patch == candidate.patch))
}

/// Text of a bundle for a message.
fn shown(text: &str) -> String {
    crate::model::plain_line(text, 60)
}
