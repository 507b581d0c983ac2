//! A program that tries many candidates one after the other, and writes a line for each into a file: `3 passed`, `3 failed 1`,
//! `3 late`. When it ends early, it is started again behind the candidate that ended it.

use anyhow::Result;

use crate::model::Triaged;

/// Fills in the verdicts that are not there yet. `tests` are the tests' numbers in the order in which they were put. `start` runs the program
/// from a candidate on and returns the whole file.
///
/// # Errors
/// Those of `start`.
pub(super) fn fill(
    verdicts: &mut [Option<Triaged>],
    tests: &[usize],
    mut start: impl FnMut(usize) -> Result<String>,
) -> Result<()> {
    let Some(first) = tests.first().copied() else { return Ok(()) };
    let mut from = 0;
    while from < verdicts.len() {
        let told = start(from)?;
        let before = from;
        for (at, verdict) in told.lines().filter_map(|line| read(line, tests)) {
            if let Some(slot) = verdicts.get_mut(at) {
                slot.get_or_insert(verdict);
                from = from.max(at + 1);
            }
        }
        if from == before {
            // It ended without a word about the next one, which took the process with it.
            verdicts[from].get_or_insert(Triaged::Failed { test: first });
            from += 1;
        }
    }
    Ok(())
}

fn read(line: &str, tests: &[usize]) -> Option<(usize, Triaged)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [at, verdict, rest @ ..] = &words[..] else { return None };
    let test = match rest {
        [test] => tests.get(test.parse::<usize>().ok()?),
        _ => tests.first(),
    };
    let verdict = match *verdict {
        "passed" => Triaged::Passed,
        "failed" => Triaged::Failed { test: *test? },
        "late" => Triaged::TimedOut { test: *test? },
        _ => return None,
    };
    Some((at.parse().ok()?, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ends_the_program_loses_only_itself() {
        // The program ends without a word at 1, tells of being late at 3, and goes to the end then.
        let runs = ["0 failed 1\n", "0 failed 1\n2 passed\n3 late 1\n", "0 failed 1\n2 passed\n3 late 1\n4 passed\n5 fai"];
        let mut starts = Vec::new();
        let mut verdicts = vec![None; 6];
        fill(&mut verdicts, &[7, 4], |from| {
            starts.push(from);
            Ok(match from {
                0 => runs[0],
                1 | 2 => {
                    if from == 1 {
                        runs[0]
                    } else {
                        runs[1]
                    }
                }
                _ => runs[2],
            }
            .to_string())
        })
        .expect("runs");
        let failed = |test| Some(Triaged::Failed { test });
        let wanted =
            [failed(4), failed(7), Some(Triaged::Passed), Some(Triaged::TimedOut { test: 4 }), Some(Triaged::Passed), failed(7)];
        assert_eq!((verdicts, starts), (wanted.to_vec(), vec![0, 1, 2, 4, 5]));
    }
}
