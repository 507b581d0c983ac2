//! A simulated forge on the simulated remote: it lists, opens, closes and lands proposals, runs checks that take half an hour, and now and
//! then does not answer, or does something of which the answer gets lost. Other loops, people and kills come in around each change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::checks;
use super::dice::percent_of;
use super::sim::{Sim, State, outward};
use crate::model::CommitId;
use crate::world::forge::{
    Access, Change, Check, Comment, Draft, Files, Forge, ForgeError, Landable, Later, Level, May, Message, Proposal, Reaction,
    Report, Review, Rules, State as Became, Verdict, Way,
};

const BASE: &str = "refs/heads/main";
/// How long the checks of a commit run.
const CHECKS: SignedDuration = SignedDuration::from_mins(30);
/// Of a hundred commits, those whose checks fail.
const RED: u64 = 8;

/// A proposal as the forge knows it.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) proposal: Proposal,
    /// Land it in this way when its checks have passed.
    later: Option<(Way, Message)>,
}

/// What the forge remembers.
#[derive(Default)]
pub(super) struct Hub {
    pub(super) pulls: BTreeMap<u64, Pull>,
    pub(super) comments: Vec<Comment>,
    /// When the checks of a commit began.
    checks: BTreeMap<CommitId, Timestamp>,
    said: BTreeMap<(CommitId, String), Report>,
    next: u64,
}

impl Hub {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Somebody says something on a proposal.
    pub(super) fn say(&mut self, number: u64, author: &str, text: &str, at: Timestamp) {
        let (id, author, text) = (self.next(), author.to_string(), text.to_string());
        self.comments.push(Comment {
            id,
            on: number,
            author,
            bot: false,
            text,
            at,
            updated: at,
            key: None,
            signs: Default::default(),
        });
    }

    fn verdict(&self, seed: u64, commit: &CommitId, now: Timestamp) -> Verdict {
        match self.checks.get(commit) {
            Some(began) if now.duration_since(*began) >= CHECKS => {
                if percent_of(&[&seed.to_string(), "checks", commit.as_str()]) < RED { Verdict::Failed } else { Verdict::Passed }
            }
            _ => Verdict::Pending,
        }
    }
}

/// The forge as one loop reaches it.
pub(super) struct SimForge(pub(super) Arc<Sim>);

impl State {
    /// What follows by itself: heads that are on the base have landed, branches that are gone close their proposals, and what was asked to
    /// land when it is ready lands.
    pub(super) fn settle(&mut self, seed: u64) -> anyhow::Result<()> {
        let now = self.now();
        let (Some(mut hub), Some(remote)) = (self.hub.take(), self.remote.clone()) else { return Ok(()) };
        let on_base = self.ground.ancestors(remote.get(BASE))?;
        let mut ready = Vec::new();
        for (number, pull) in hub.pulls.iter_mut().filter(|(_, pull)| pull.proposal.state == Became::Open) {
            let proposal = &mut pull.proposal;
            let Some(head) = remote.get(&format!("refs/heads/{}", proposal.branch)) else {
                proposal.state = Became::Closed { at: now };
                continue;
            };
            if proposal.head != *head {
                (proposal.head, proposal.updated) = (head.clone(), now);
            }
            hub.checks.entry(head.clone()).or_insert(now);
            if on_base.contains(head) {
                proposal.state = Became::Landed { at: now, commit: Some(head.clone()) };
            } else if pull.later.is_some() {
                ready.push(*number);
            }
        }
        self.hub = Some(hub);
        for number in ready {
            let Some(pull) = self.hub.as_ref().and_then(|hub| hub.pulls.get(&number)).cloned() else { continue };
            let passed = self.hub.as_ref().is_some_and(|hub| hub.verdict(seed, &pull.proposal.head, now) == Verdict::Passed);
            if let (true, Some((way, message))) = (passed, pull.later) {
                // The forge does it whoever has paused what.
                let paused = std::mem::replace(&mut self.paused, false);
                let is_ours = !self.people.contains(&pull.proposal.head);
                let landed = self.land(number, way, &message, is_ours);
                self.paused = paused;
                if let Err(why) = landed {
                    self.tell(format!("the forge does not land #{number}: {why}"));
                }
            }
        }
        Ok(())
    }

    /// Lands a proposal on the remote's base. When it was not just asked to, a person may have pushed there since: that is their doing.
    fn land(&mut self, number: u64, way: Way, message: &Message, asked: bool) -> Result<CommitId, ForgeError> {
        let refused = |why: &str| ForgeError::Refused(why.to_string());
        let now = self.now();
        let pull = self.hub.as_ref().and_then(|hub| hub.pulls.get(&number)).cloned().ok_or_else(|| refused("no such"))?;
        let head = pull.proposal.head;
        let main = self.remote.as_ref().and_then(|remote| remote.get(BASE)).cloned().ok_or_else(|| refused("no base"))?;
        let failed = |error: anyhow::Error| ForgeError::Refused(format!("{error:#}"));
        let edits = match way {
            Way::Merge => self.ground.merged(&main, &head),
            Way::Squash | Way::Rebase => self.ground.picked(&head, &main),
        };
        let edits = edits.map_err(failed)?.ok_or_else(|| refused("it conflicts with the base"))?;
        let text = format!("{}\n\n{}\n", message.title, message.text);
        let (parents, text) = match way {
            Way::Merge => (vec![&main, &head], text),
            Way::Squash => (vec![&main], text),
            Way::Rebase => (vec![&main], self.ground.message(&head)),
        };
        let made = self.ground.commit(&parents, &edits, &text, "the forge", now).map_err(failed)?;
        if asked {
            checks::landed(self, &main, &head);
        }
        if way != Way::Merge && !self.people.contains(&head) {
            self.ours.insert(made.clone());
        }
        if let Some(remote) = &mut self.remote {
            remote.insert(BASE.to_string(), made.clone());
        }
        if let Some(pull) = self.hub.as_mut().and_then(|hub| hub.pulls.get_mut(&number)) {
            pull.proposal.state = Became::Landed { at: now, commit: Some(made.clone()) };
        }
        self.tell(format!("the forge lands #{number} by {way:?}: the base on the remote is {}", made.short()));
        Ok(made)
    }
}

impl SimForge {
    /// A look: nothing happens, but the forge may be away.
    fn look<T>(&self, read: impl FnOnce(&mut State, u64) -> Result<T, ForgeError>) -> Result<T, ForgeError> {
        let seed = self.0.seed;
        self.0.with(|state| {
            if state.dice.permille(state.rates.remote / 2) {
                state.tally.faults += 1;
                state.tell("the forge cannot be reached".into());
                return Err(ForgeError::Unreachable("no answer".into()));
            }
            state.settle(seed).map_err(|error| ForgeError::Refused(format!("{error:#}")))?;
            read(state, seed)
        })
    }

    /// A change, with everything that may come in between.
    fn change<T>(&self, what: &str, make: impl FnOnce(&mut State) -> Result<T, ForgeError>) -> Result<T, ForgeError> {
        let seed = self.0.seed;
        self.0.with(|state| outward(state, true));
        self.0.happen(&format!("before the forge is asked to {what}"));
        let done = self.0.with(|state| {
            let fate = if state.dice.permille(state.rates.remote) { state.dice.below(3) } else { 3 };
            if fate < 3 {
                state.tally.faults += 1;
            }
            if fate == 0 {
                state.tell(format!("the request to {what} does not arrive"));
                return Err(ForgeError::Unreachable("no answer".into()));
            }
            let excused = state.stack.last().is_some_and(|frame| frame.excused);
            if state.paused && !excused {
                state.breaks(format!("the forge was asked to {what} although everything was paused"));
            }
            state.settle(seed).map_err(|error| ForgeError::Refused(format!("{error:#}")))?;
            let made = make(state);
            let how = made.as_ref().map_or_else(|error| format!(": {error}"), |_| String::new());
            state.tell(format!("the forge was asked to {what}{how}"));
            match fate {
                1 => {
                    state.tell("the answer gets lost".into());
                    Err(ForgeError::Unclear("the connection broke".into()))
                }
                _ => made,
            }
        });
        self.0.happen(&format!("after the forge was asked to {what}"));
        self.0.with(|state| outward(state, false));
        done
    }
}

fn gone() -> ForgeError {
    ForgeError::Gone("no such proposal".into())
}

fn pull(state: &mut State, number: u64) -> Result<&mut Pull, ForgeError> {
    state.hub.as_mut().and_then(|hub| hub.pulls.get_mut(&number)).ok_or_else(gone)
}

fn shown(state: &State, proposal: &Proposal) -> Proposal {
    let main = state.remote.as_ref().and_then(|remote| remote.get(BASE));
    let conflicts = main.is_some_and(|main| !matches!(state.ground.merged(main, &proposal.head), Ok(Some(_))));
    Proposal { landable: if conflicts { Landable::Conflicts } else { Landable::Yes }, ..proposal.clone() }
}

impl Forge for SimForge {
    fn place(&self) -> String {
        "a simulated forge".into()
    }

    fn access(&self) -> Result<Access, ForgeError> {
        let yes = May::Yes;
        Ok(Access {
            me: "loop".into(),
            push: yes,
            propose: yes,
            comment: yes,
            report: yes,
            starts_checks: yes,
            change_workflows: yes,
            signs: May::No,
        })
    }

    fn rules(&self, _: &str) -> Result<Rules, ForgeError> {
        self.look(|_, seed| {
            let ways = match percent_of(&[&seed.to_string(), "ways"]) % 3 {
                0 => BTreeSet::from([Way::Merge, Way::Squash, Way::Rebase]),
                1 => BTreeSet::from([Way::Squash]),
                _ => BTreeSet::from([Way::Rebase]),
            };
            Ok(Rules { checks: BTreeSet::from(["tests".to_string()]), ways, automatic: true, ..Rules::default() })
        })
    }

    fn proposals(&self, base: &str) -> Result<Vec<Proposal>, ForgeError> {
        self.look(|state, _| {
            let all = state.hub.iter().flat_map(|hub| hub.pulls.values().rev()).map(|pull| &pull.proposal);
            Ok(all.filter(|one| one.state == Became::Open && one.base == base).cloned().collect())
        })
    }

    fn proposal(&self, number: u64) -> Result<Proposal, ForgeError> {
        self.look(|state, _| {
            let proposal = pull(state, number)?.proposal.clone();
            Ok(shown(state, &proposal))
        })
    }

    fn proposal_from(&self, branch: &str) -> Result<Option<Proposal>, ForgeError> {
        self.look(|state, _| {
            let all = state.hub.iter().flat_map(|hub| hub.pulls.values().rev()).map(|pull| &pull.proposal);
            Ok(all.filter(|one| one.branch == branch).max_by_key(|one| one.number).cloned())
        })
    }

    fn open(&self, draft: &Draft) -> Result<Proposal, ForgeError> {
        self.change(&format!("open a proposal from `{}`", draft.branch), |state| {
            let head = state.remote.as_ref().and_then(|remote| remote.get(&format!("refs/heads/{}", draft.branch))).cloned();
            let head = head.ok_or_else(|| ForgeError::Refused("there is no such branch".into()))?;
            let now = state.now();
            let Some(hub) = &mut state.hub else { return Err(gone()) };
            let mut own = hub.pulls.values().map(|pull| &pull.proposal).filter(|one| one.branch == draft.branch);
            if let Some(open) = own.clone().find(|one| one.state == Became::Open) {
                return Ok(open.clone());
            }
            let again = own.find(|one| one.head == head && matches!(one.state, Became::Closed { .. })).map(|one| one.number);
            let number = hub.next();
            let proposal = Proposal {
                number,
                branch: draft.branch.clone(),
                from_here: true,
                base: draft.base.clone(),
                head,
                title: draft.title.clone(),
                text: draft.text.clone(),
                state: Became::Open,
                draft: draft.draft,
                author: "loop".into(),
                labels: BTreeSet::new(),
                landable: Landable::Unknown,
                automatic: None,
                updated: now,
                url: format!("https://forge/{number}"),
            };
            hub.pulls.insert(number, Pull { proposal: proposal.clone(), later: None });
            state.tally.opened += 1;
            if let Some(earlier) = again {
                state.breaks(format!("#{number} proposes the very commit of #{earlier}, which was closed"));
            }
            Ok(proposal)
        })
    }

    fn update(&self, number: u64, change: &Change) -> Result<Proposal, ForgeError> {
        self.change(&format!("change the text of #{number}"), |state| {
            let now = state.now();
            let proposal = &mut pull(state, number)?.proposal;
            proposal.title = change.title.clone().unwrap_or_else(|| proposal.title.clone());
            proposal.text = change.text.clone().unwrap_or_else(|| proposal.text.clone());
            proposal.updated = now;
            Ok(proposal.clone())
        })
    }

    fn close(&self, number: u64) -> Result<(), ForgeError> {
        self.change(&format!("close #{number}"), |state| {
            let at = state.now();
            let proposal = &mut pull(state, number)?.proposal;
            if proposal.state == Became::Open {
                proposal.state = Became::Closed { at };
            }
            Ok(())
        })
    }

    fn merge(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<CommitId, ForgeError> {
        self.change(&format!("land #{number}"), |state| {
            let proposal = pull(state, number)?.proposal.clone();
            match proposal.state {
                Became::Landed { commit: Some(commit), .. } if proposal.head == *head => return Ok(commit),
                Became::Open if proposal.head == *head => {}
                Became::Open => return Err(ForgeError::Moved("its head is another one".into())),
                _ => return Err(ForgeError::Refused("it is not open".into())),
            }
            state.land(number, way, message, true)
        })
    }

    fn merge_when_ready(&self, number: u64, head: &CommitId, way: Way, message: &Message) -> Result<Later, ForgeError> {
        self.change(&format!("land #{number} when it is ready"), |state| {
            let pull = pull(state, number)?;
            if pull.proposal.head != *head {
                return Err(ForgeError::Moved("its head is another one".into()));
            }
            (pull.proposal.automatic, pull.later) = (Some("loop".into()), Some((way, message.clone())));
            Ok(Later::Automatic)
        })
    }

    fn merge_not(&self, number: u64) -> Result<(), ForgeError> {
        self.change(&format!("not land #{number} by itself"), |state| {
            let pull = pull(state, number)?;
            (pull.proposal.automatic, pull.later) = (None, None);
            Ok(())
        })
    }

    fn checks(&self, commit: &CommitId) -> Result<Vec<Check>, ForgeError> {
        self.look(|state, seed| {
            let now = state.now();
            let Some(hub) = &mut state.hub else { return Ok(Vec::new()) };
            hub.checks.entry(commit.clone()).or_insert(now);
            let tests = Check {
                name: "tests".into(),
                source: "ci".into(),
                verdict: hub.verdict(seed, commit, now),
                title: String::new(),
            };
            let said = hub.said.iter().filter(|((of, _), _)| of == commit).map(|(_, report)| Check {
                name: report.name.clone(),
                source: "loop".into(),
                verdict: report.verdict,
                title: report.title.clone(),
            });
            Ok(std::iter::once(tests).chain(said).collect())
        })
    }

    fn report(&self, commit: &CommitId, report: &Report) -> Result<(), ForgeError> {
        self.change(&format!("show `{}` of {}", report.name, commit.short()), |state| {
            let Some(hub) = &mut state.hub else { return Ok(()) };
            hub.said.insert((commit.clone(), report.name.clone()), report.clone());
            Ok(())
        })
    }

    fn comments(&self, on: Option<u64>, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        self.look(|state, _| {
            let all = state.hub.iter().flat_map(|hub| &hub.comments);
            let wanted = |one: &&Comment| on.is_none_or(|on| one.on == on) && since.is_none_or(|since| one.updated >= since);
            Ok(all.filter(wanted).cloned().collect())
        })
    }

    fn say(&self, number: u64, key: &str, text: &str) -> Result<Comment, ForgeError> {
        self.change(&format!("say `{key}` on #{number}"), |state| {
            let now = state.now();
            pull(state, number)?;
            let Some(hub) = &mut state.hub else { return Err(gone()) };
            if let Some(known) = hub.comments.iter_mut().find(|one| one.on == number && one.key.as_deref() == Some(key)) {
                (known.text, known.updated) = (text.to_string(), now);
                return Ok(known.clone());
            }
            let (id, key) = (hub.next(), Some(key.to_string()));
            let (author, text) = ("loop".to_string(), text.to_string());
            let comment =
                Comment { id, on: number, author, bot: true, text, at: now, updated: now, key, signs: Default::default() };
            hub.comments.push(comment.clone());
            Ok(comment)
        })
    }

    fn react(&self, comment: u64, _: Reaction) -> Result<(), ForgeError> {
        self.change(&format!("answer comment {comment} by a sign"), |_| Ok(()))
    }

    fn reviews(&self, _: u64) -> Result<Vec<Review>, ForgeError> {
        self.look(|_, _| Ok(Vec::new()))
    }

    fn level(&self, person: &str) -> Result<Level, ForgeError> {
        self.look(|_, _| Ok(if person == "Eve" { Level::Read } else { Level::Write }))
    }

    fn label(&self, number: u64, labels: &BTreeSet<String>) -> Result<(), ForgeError> {
        self.change(&format!("put labels on #{number}"), |state| {
            pull(state, number)?.proposal.labels.extend(labels.iter().cloned());
            Ok(())
        })
    }

    fn unlabel(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        self.change(&format!("take a label off #{number}"), |state| {
            pull(state, number)?.proposal.labels.remove(label);
            Ok(())
        })
    }

    fn branch(&self, name: &str) -> Result<Option<CommitId>, ForgeError> {
        self.look(|state, _| Ok(state.remote.as_ref().and_then(|remote| remote.get(&format!("refs/heads/{name}"))).cloned()))
    }

    fn commit(&self, _: &CommitId, _: &Files, _: &str) -> Result<CommitId, ForgeError> {
        Err(ForgeError::Refused("the simulated forge makes no commits".into()))
    }

    fn move_branch(&self, _: &str, _: Option<&CommitId>, _: Option<&CommitId>) -> Result<(), ForgeError> {
        Err(ForgeError::Refused("the simulated forge moves no branches".into()))
    }
}
