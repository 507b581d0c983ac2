//! Random histories of the whole engine: what must hold in each of them, and that what must hold can fail.

use fractal::engine::simulate::{Case, Plant, Tally, play};

/// Histories that are played every time; `fractal simulate` plays others.
const CASES: u64 = 120;

fn played(seed: u64, plant: Option<Plant>) -> Case {
    play(seed, plant, false).expect("a temporary folder")
}

/// Plays a history in which everything must hold.
fn holds(seed: u64) -> Case {
    let case = played(seed, None);
    assert_eq!(case.broken, None, "\n{}\nfractal simulate --seed {seed} --cases 1", case.history.join("\n"));
    case
}

/// The same with proposals on a forge.
fn holds_on_a_forge(seed: u64) -> Case {
    let case = play(seed, None, true).expect("a temporary folder");
    assert_eq!(case.broken, None, "\n{}\nfractal simulate --forge --seed {seed} --cases 1", case.history.join("\n"));
    case
}

#[test]
fn everything_holds_in_many_random_histories() {
    let mut tally = Tally::default();
    for seed in 10_000..10_000 + CASES {
        tally += holds(seed).tally;
    }
    // Of nothing, everything holds.
    let Tally { kills, acts, faults, proposed, landed, groups, reverted, .. } = tally;
    assert!(groups > CASES / 60, "{tally:?}");
    assert!([kills, acts, faults, proposed, landed, reverted].into_iter().all(|count| count > CASES / 4), "{tally:?}");
}

#[test]
fn everything_holds_in_many_random_histories_with_proposals_on_a_forge() {
    let mut tally = Tally::default();
    for seed in 20_000..20_000 + CASES / 2 {
        tally += holds_on_a_forge(seed).tally;
    }
    let Tally { kills, acts, faults, opened, landed, reverted, .. } = tally;
    assert!([kills, acts, faults, opened, landed, reverted].into_iter().all(|count| count > CASES / 8), "{tally:?}");
}

#[test]
fn the_same_seed_is_the_same_history_to_the_letter() {
    for seed in 0..8 {
        assert_eq!(played(seed, None), played(seed, None), "seed {seed}");
    }
    assert_ne!(played(1, None).history, played(2, None).history);
}

/// The seeds in which bugs of the engine were found, as the simulation was then.
#[test]
fn what_was_found_once_holds_now() {
    for seed in [4, 11, 42, 88, 122, 137, 164, 197, 213, 293, 313, 10_002, 20_136, 50_180, 90_104, 100_826, 101_020, 200_079] {
        holds(seed);
    }
}

/// The same on a forge: a wish that could not be met was tried for ever, an approval counted for what came after it, a pause let the log
/// grow, a revert nobody knew.
#[test]
fn what_was_found_once_on_a_forge_holds_now() {
    for seed in [4, 77, 193, 264, 287] {
        holds_on_a_forge(seed);
    }
}

/// What the first of so many histories breaks in which a planted bug shows.
fn found(plant: Plant, cases: u64) -> Option<String> {
    (0..cases).find_map(|seed| played(seed, Some(plant)).broken)
}

#[test]
fn a_planted_bug_breaks_what_must_hold() {
    for (plant, cases, what) in [
        (Plant::BlindLease, 600, "the log was rewritten"),
        (Plant::OtherTree, 10, "is not what was validated"),
        (Plant::Unasked, 10, "something landed unasked"),
        (Plant::Endless, 10, "do not come to rest"),
    ] {
        let broken = found(plant, cases).unwrap_or_default();
        assert!(broken.contains(what), "{plant:?}: {broken:?}");
    }
}
