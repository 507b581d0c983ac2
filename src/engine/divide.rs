//! Which of several repairs pass together, found in few validations when few of them do not. Pure.

use std::collections::BTreeMap;

use anyhow::Result;

/// What passes together, and what was left out and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Divided {
    /// In order.
    pub(super) together: Vec<usize>,
    pub(super) left: Vec<(usize, String)>,
}

/// Divides the first `count` numbers. `refused` validates some of them together and says why they do not pass; it is not asked about one
/// alone. It was satisfied with `together`, unless that is one alone.
///
/// All are tried at once; what does not pass is halved until it does. Then the halves that pass are put together again, the largest first,
/// and one that does not pass with the others is halved once more. With few that have to be left out of N, that asks in the order of
/// log N times for each of them.
///
/// # Errors
/// What `refused` fails with.
pub(super) fn divide(count: usize, mut refused: impl FnMut(&[usize]) -> Result<Option<String>>) -> Result<Divided> {
    let mut known: BTreeMap<Vec<usize>, Option<String>> = BTreeMap::new();
    let mut refused = |some: &[usize]| match known.get(some) {
        Some(known) => Ok(known.clone()),
        None => {
            let why = refused(some)?;
            known.insert(some.to_vec(), why.clone());
            anyhow::Ok(why)
        }
    };
    let mut pieces = Vec::new();
    halve(&(0..count).collect::<Vec<_>>(), &mut pieces, &mut refused)?;
    // Sorting is stable: of equal ones the first stays first.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    let mut left = Vec::new();
    loop {
        let mut divided = Divided::default();
        for piece in &pieces {
            add(&mut divided, piece, &mut refused)?;
        }
        // One with which no other passes is in the way of the others.
        if let ([alone], Some((_, why))) = (&divided.together[..], divided.left.first()) {
            left.push((*alone, why.clone()));
            let alone = [*alone];
            pieces.retain(|piece| piece[..] != alone);
            continue;
        }
        divided.left.extend(left);
        divided.left.sort();
        return Ok(divided);
    }
}

/// Halves that pass by themselves, in order.
fn halve(
    some: &[usize],
    pieces: &mut Vec<Vec<usize>>,
    refused: &mut impl FnMut(&[usize]) -> Result<Option<String>>,
) -> Result<()> {
    if some.len() < 2 || refused(some)?.is_none() {
        pieces.extend((!some.is_empty()).then(|| some.to_vec()));
        return Ok(());
    }
    let (first, second) = some.split_at(some.len() / 2);
    halve(first, pieces, refused)?;
    halve(second, pieces, refused)
}

fn add(divided: &mut Divided, more: &[usize], refused: &mut impl FnMut(&[usize]) -> Result<Option<String>>) -> Result<()> {
    let mut tried = [&divided.together, more].concat();
    tried.sort_unstable();
    // The first piece has passed as it is.
    let why = if divided.together.is_empty() { None } else { refused(&tried)? };
    match (why, more) {
        (None, _) => divided.together = tried,
        (Some(why), [one]) => divided.left.push((*one, why)),
        (Some(_), _) => {
            let (first, second) = more.split_at(more.len() / 2);
            add(divided, first, refused)?;
            add(divided, second, refused)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Divides where some pass with nothing else and some pairs not with each other; how often it asked, and what satisfied it.
    fn played(count: usize, bad: &[usize], pairs: &[(usize, usize)]) -> (Divided, usize, Vec<Vec<usize>>) {
        let (mut asked, mut passed) = (0, Vec::new());
        let divided = divide(count, |some| {
            asked += 1;
            let fails = some.iter().any(|one| bad.contains(one))
                || pairs.iter().any(|(one, other)| one != other && some.contains(one) && some.contains(other));
            if !fails {
                passed.push(some.to_vec());
            }
            Ok(fails.then(|| format!("{some:?}")))
        });
        (divided.expect("is never away"), asked, passed)
    }

    #[test]
    fn what_passes_is_asked_about_once() {
        assert_eq!(played(8, &[], &[]), (Divided { together: (0..8).collect(), left: Vec::new() }, 1, vec![(0..8).collect()]));
        assert_eq!(played(1, &[0], &[]).1, 0);
        assert_eq!(played(0, &[], &[]).0, Divided::default());
    }

    #[test]
    fn who_is_left_out_says_with_what_it_did_not_pass() {
        let (divided, _, _) = played(4, &[3], &[]);
        assert_eq!(divided, Divided { together: vec![0, 1, 2], left: vec![(3, "[0, 1, 2, 3]".into())] });
        assert_eq!(played(4, &[0], &[]).0.together, [1, 2, 3]);
        assert_eq!(played(4, &[0, 2], &[]).0.together, [1, 3]);
    }

    #[test]
    fn of_two_that_do_not_go_together_the_first_stays() {
        assert_eq!(played(4, &[], &[(1, 2)]).0.together, [0, 1, 3]);
    }

    proptest! {
        #[test]
        fn everything_has_its_place_and_what_stays_together_has_passed(
            count in 0_usize..20,
            bad in prop::collection::vec(0_usize..20, 0..5),
            pairs in prop::collection::vec((0_usize..20, 0_usize..20), 0..6),
        ) {
            let (divided, _, passed) = played(count, &bad, &pairs);
            let mut placed: Vec<usize> = divided.together.iter().copied().chain(divided.left.iter().map(|(one, _)| *one)).collect();
            placed.sort_unstable();
            prop_assert_eq!(placed, (0..count).collect::<Vec<_>>());
            if divided.together.len() > 1 {
                prop_assert!(passed.contains(&divided.together), "{:?}", divided);
            }
            // Nobody is left out without need.
            for (one, _) in divided.left.iter().filter(|(one, _)| !bad.contains(one) && divided.together.len() > 1) {
                let apart = |other: &usize| pairs.contains(&(*one, *other)) || pairs.contains(&(*other, *one));
                prop_assert!(divided.together.iter().any(apart), "{} of {:?}", one, divided);
            }
        }

        #[test]
        fn few_that_do_not_pass_are_found_in_few_validations(count in 1_usize..64, bad in prop::collection::btree_set(0_usize..64, 0..4)) {
            let bad: Vec<usize> = bad.into_iter().filter(|one| *one < count).collect();
            let (_, asked, _) = played(count, &bad, &[]);
            let halvings = usize::BITS as usize - (count - 1).leading_zeros() as usize;
            prop_assert!(asked <= 2 + 3 * bad.len() * (halvings + 1) + 2 * bad.len() * bad.len(), "{} asked of {} for {:?}", asked, count, bad);
        }
    }
}
