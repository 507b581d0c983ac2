//! Whether a forge lets us do what the configuration wants: pure, over what it says of a token and of a branch.

use super::{Access, May, Rules};
use crate::config::DeployConfig;

/// Something that is needed, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub what: &'static str,
    /// Nothing stands in the way, as far as can be known without trying.
    pub met: bool,
    /// For people.
    pub said: String,
}

/// What improvements need that go through proposals onto a branch.
pub fn needs(access: &Access, rules: &Rules, deploy: &DeployConfig, base: &str) -> Vec<Need> {
    let may = |what, may: May, yes: &str, no: &str| {
        let said = match may {
            May::Yes => yes.to_string(),
            May::No => no.to_string(),
            May::Unknown => format!("{yes}, if nothing unseen forbids it: only trying tells"),
        };
        Need { what, met: may != May::No, said }
    };
    let mut all = vec![
        may("branches", access.push, "it may push", "it may not push: nothing can be proposed"),
        may("proposals", access.propose, "it may open them", "it may not open them"),
        may("comments", access.comment, "it may write them", "it may not write them"),
    ];
    let report =
        if access.report == May::No { "short statuses: checks with texts are not for this token" } else { "checks with texts" };
    all.push(Need { what: "reports", met: true, said: report.into() });
    if deploy.land {
        all.extend(landing(access, rules, base));
    }
    all
}

/// What landing by itself needs besides.
fn landing(access: &Access, rules: &Rules, base: &str) -> Vec<Need> {
    let need = |what, met, yes: String, no: String| Need { what, met, said: if met { yes } else { no } };
    let names: Vec<&str> = rules.checks.iter().map(String::as_str).collect();
    let demanded = need(
        "checks",
        !rules.checks.is_empty(),
        format!("`{}` must pass on `{base}`", names.join("`, `")),
        format!("none must pass on `{base}`: what nobody has tested could land. Demand one, or set `[deploy] land = false`"),
    );
    let started = need(
        "their start",
        access.starts_checks != May::No,
        "what it pushes starts them".into(),
        "what it pushes starts none until a person says so: nothing lands by itself. Use the token of an App or of a person"
            .into(),
    );
    let ways: Vec<String> = rules.ways.iter().map(|way| format!("{way:?}").to_lowercase()).collect();
    let way = need("landing", !ways.is_empty(), format!("by {}", ways.join(", ")), "in no way".into());
    let signed = need(
        "signatures",
        !rules.signed || access.signs == May::Yes,
        if rules.signed { "demanded, and made by the forge" } else { "not demanded" }.into(),
        format!("demanded on `{base}`, and the forge signs nothing for this token"),
    );
    let people = match rules.approvals {
        0 => "nobody has to approve".to_string(),
        count => format!("{count} must approve: nothing lands before they do"),
    };
    let people = Need { what: "people", met: true, said: people };
    vec![demanded, started, way, signed, people]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::forge::Way;

    fn all_good() -> (Access, Rules) {
        let yes = May::Yes;
        let access = Access {
            me: "bot".into(),
            push: yes,
            propose: yes,
            comment: yes,
            report: yes,
            starts_checks: yes,
            change_workflows: yes,
            signs: yes,
        };
        let rules = Rules { checks: ["tests".to_string()].into(), ways: BTreeSet::from([Way::Squash]), ..Rules::default() };
        (access, rules)
    }

    fn unmet(change: impl Fn(&mut Access, &mut Rules), land: bool) -> Vec<&'static str> {
        let (mut access, mut rules) = all_good();
        change(&mut access, &mut rules);
        let deploy = DeployConfig { land, ..DeployConfig::default() };
        needs(&access, &rules, &deploy, "main").into_iter().filter(|need| !need.met).map(|need| need.what).collect()
    }

    #[test]
    fn each_thing_that_is_missing_is_named_and_nothing_else() {
        assert_eq!(unmet(|_, _| {}, true), [""; 0]);
        assert_eq!(unmet(|access, _| access.push = May::No, true), ["branches"]);
        assert_eq!(unmet(|access, _| access.propose = May::No, true), ["proposals"]);
        assert_eq!(unmet(|access, _| access.propose = May::Unknown, true), [""; 0]);
        assert_eq!(unmet(|access, _| access.comment = May::No, true), ["comments"]);
        assert_eq!(unmet(|access, _| access.report = May::No, true), [""; 0]);
        assert_eq!(unmet(|access, _| access.starts_checks = May::No, true), ["their start"]);
        assert_eq!(unmet(|_, rules| rules.checks.clear(), true), ["checks"]);
        assert_eq!(unmet(|_, rules| rules.ways.clear(), true), ["landing"]);
        let unsigned = |access: &mut Access, rules: &mut Rules| (access.signs, rules.signed) = (May::No, true);
        assert_eq!(unmet(unsigned, true), ["signatures"]);
    }

    #[test]
    fn who_lands_by_hand_needs_less() {
        let little = |access: &mut Access, rules: &mut Rules| {
            access.starts_checks = May::No;
            *rules = Rules::default();
        };
        assert_eq!(unmet(little, false), [""; 0]);
        assert_eq!(unmet(little, true), ["checks", "their start", "landing"]);
    }
}
