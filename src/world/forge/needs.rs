//! Whether a forge lets us do what the configuration wants: pure, over what it says of a token and of a branch.

use super::{Access, May, Rules, Way};
use crate::config::{Config, ForgeConfig, LandBy, TokenMode};

/// Something that is needed, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub what: &'static str,
    /// Nothing stands in the way, as far as can be known without trying.
    pub met: bool,
    /// For people.
    pub said: String,
}

/// What improvements need that go through proposals onto a branch. What is missing is said with the next step.
pub fn needs(access: &Access, rules: &Rules, config: &Config, base: &str) -> Vec<Need> {
    let kind = config.forge.token;
    let grant = |right: &str, permission: &str| match kind {
        TokenMode::App => format!("grant the App *{right}: read and write* in its settings, and accept that in the installation"),
        TokenMode::GithubToken => format!("give the job `permissions: {permission}: write`"),
        TokenMode::Pat => format!("make a token with *{right}: read and write* for this repository (classic: the scope `repo`)"),
    };
    let may = |what, may: May, yes: &str, no: &str, grant: String| {
        let said = match may {
            May::Yes => yes.to_string(),
            May::No => format!("{no}: {grant}"),
            May::Unknown => format!("{yes}, if nothing unseen forbids it: only trying tells"),
        };
        Need { what, met: may != May::No, said }
    };
    let mut all = vec![
        may("branches", access.push, "it may push", "it may not push", grant("Contents", "contents")),
        may("proposals", access.propose, "it may open them", "it may not open them", grant("Pull requests", "pull-requests")),
        may("comments", access.comment, "it may write them", "it may not write them", grant("Issues", "issues")),
    ];
    if kind == TokenMode::GithubToken && access.propose == May::Unknown {
        all[1].said =
            "it may open them, if *Allow GitHub Actions to create and approve pull requests* is on (Settings, Actions, General) \
                       and the job has `permissions: pull-requests: write`: only trying tells"
                .into();
    }
    let report = match (access.report, kind) {
        (May::No, TokenMode::App) => "none: grant the App *Checks: read and write*, or nobody sees why something does not land",
        (May::No, _) => "short statuses: checks with texts are for Apps",
        _ => "checks with texts",
    };
    all.push(Need { what: "reports", met: true, said: report.into() });
    if config.deploy.land {
        all.extend(landing(access, rules, &config.forge, base));
    }
    all
}

/// What landing by itself needs besides.
fn landing(access: &Access, rules: &Rules, forge: &ForgeConfig, base: &str) -> Vec<Need> {
    let need = |what, met, yes: String, no: String| Need { what, met, said: if met { yes } else { no } };
    let names: Vec<&str> = rules.checks.iter().map(String::as_str).collect();
    let demanded = match (names.is_empty(), forge.without_checks) {
        (false, _) => need("checks", true, format!("`{}` must pass on `{base}`", names.join("`, `")), String::new()),
        (true, true) => need(
            "checks",
            true,
            format!("none must pass on `{base}`, and `[forge] without_checks` lets the gate's word be enough"),
            String::new(),
        ),
        (true, false) => need(
            "checks",
            false,
            String::new(),
            format!(
                "none must pass on `{base}`, so what nobody has tested could land: demand one in a ruleset for `{base}` (Settings, Rules), or \
                 set `[deploy] land = false`"
            ),
        ),
    };
    let started = need(
        "their start",
        access.starts_checks != May::No,
        "what it pushes starts them".into(),
        "what it pushes starts none until a person presses *Approve workflows to run*, so nothing lands by itself: use an App \
         (`[forge] token = \"app\"`) or a person's token (`pat`), or set `[deploy] land = false`"
            .into(),
    );
    let signed = need(
        "signatures",
        !rules.signed || access.signs == May::Yes,
        if rules.signed { "demanded, and made by the forge" } else { "not demanded" }.into(),
        format!("demanded on `{base}`, and the forge signs nothing for this token: use an App, or do not demand them"),
    );
    let people = match rules.approvals {
        0 => "nobody has to approve".to_string(),
        count => format!("{count} must approve on `{base}`: nothing lands before they do"),
    };
    let people = Need { what: "people", met: true, said: people };
    vec![demanded, started, way(rules, forge), by_itself(rules, forge), signed, people]
}

fn way(rules: &Rules, forge: &ForgeConfig) -> Need {
    let words = |ways: &[Way]| ways.iter().map(|way| format!("{way:?}").to_lowercase()).collect::<Vec<_>>().join(", ");
    let allowed: Vec<Way> = rules.ways.iter().copied().collect();
    let wanted: Vec<Way> = match forge.way {
        LandBy::Any => allowed.clone(),
        LandBy::Merge => vec![Way::Merge],
        LandBy::Squash => vec![Way::Squash],
        LandBy::Rebase => vec![Way::Rebase],
        LandBy::Push => return Need { what: "landing", met: true, said: "by a push of the commit that was tested".into() },
    };
    let met = wanted.iter().any(|way| allowed.contains(way));
    let said = match (met, allowed.is_empty()) {
        (true, _) => format!("by {}", words(&wanted)),
        (false, true) => "in no way: allow one in Settings, General, *Pull Requests*, or in the ruleset".into(),
        (false, false) => format!(
            "not by {}, which `[forge] way` wants; the repository allows {}: change one of them",
            words(&wanted),
            words(&allowed)
        ),
    };
    Need { what: "landing", met, said }
}

/// Whether the forge lands by itself what is ready, where that is wanted.
fn by_itself(rules: &Rules, forge: &ForgeConfig) -> Need {
    let (met, said) = match (forge.automatic, rules.automatic, rules.queue) {
        (_, _, true) => (true, "through the queue of the base"),
        (false, ..) => (true, "not wanted (`[forge] automatic`): a later cycle lands what is green"),
        (true, true, _) => (true, "the forge lands what is ready"),
        (true, false, _) => (
            false,
            "`[forge] automatic` wants it, and the repository does not allow it: turn on *Allow auto-merge* (Settings, General), or set \
             `[forge] automatic = false`",
        ),
    };
    Need { what: "automatic", met, said: said.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
        unmet_with(|access, rules, config| {
            change(access, rules);
            config.deploy.land = land;
        })
    }

    fn unmet_with(change: impl Fn(&mut Access, &mut Rules, &mut Config)) -> Vec<&'static str> {
        let ((mut access, mut rules), mut config) = (all_good(), Config::default());
        change(&mut access, &mut rules, &mut config);
        let all = needs(&access, &rules, &config, "main").into_iter().filter(|need| !need.met);
        all.inspect(|need| assert!(need.said.len() > 40, "no next step: {}", need.said)).map(|need| need.what).collect()
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
    fn what_the_configuration_wants_of_landing_must_be_allowed() {
        assert_eq!(unmet_with(|_, _, config| config.forge.way = LandBy::Squash), [""; 0]);
        assert_eq!(unmet_with(|_, _, config| config.forge.way = LandBy::Rebase), ["landing"]);
        assert_eq!(unmet_with(|_, rules, config| (rules.ways, config.forge.way) = (BTreeSet::new(), LandBy::Push)), [""; 0]);
        assert_eq!(unmet_with(|_, _, config| config.forge.automatic = true), ["automatic"]);
        assert_eq!(unmet_with(|_, rules, config| (rules.automatic, config.forge.automatic) = (true, true)), [""; 0]);
        assert_eq!(unmet_with(|_, rules, config| (rules.queue, config.forge.automatic) = (true, true)), [""; 0]);
        let gate_alone = |_: &mut Access, rules: &mut Rules, config: &mut Config| {
            rules.checks.clear();
            config.forge.without_checks = true;
        };
        assert_eq!(unmet_with(gate_alone), [""; 0]);
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
