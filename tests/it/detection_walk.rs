//! The one walk through history for all tools answers what a walk for each of them would.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fractal::model::{CommitId, Version};
use fractal::world::git::{Before, Repo};
use proptest::prelude::*;

/// Files that commits write: one is a folder at other times.
const FILES: [&str; 6] = ["a.txt", "d/x", "d/y", "d/e/z", "d", "f"];
const MODES: [&str; 3] = ["100644", "100755", "120000"];
/// The paths of tools.
const TOOLS: [&[&str]; 11] = [
    &["a.txt"],
    &["d"],
    &["d/"],
    &["d/e"],
    &["d/x", "f"],
    &[],
    &["missing"],
    &["d", "d/x"],
    &["a.txt/x"],
    &["d//x", "d/y"],
    &["f", "f", "d/e/z"],
];

/// One commit: how far back its first parent is, whether it is a merge and of what, and its files with their modes and contents (none: it
/// goes).
type Step = (u8, Option<u8>, Vec<(prop::sample::Index, prop::sample::Index, Option<u8>)>);

fn step() -> impl Strategy<Value = Step> {
    let file = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::option::weighted(0.8, 0u8..3));
    let back = prop_oneof![4 => Just(1u8), 1 => 2u8..6];
    (back, prop::option::weighted(0.3, 1u8..6), prop::collection::vec(file, 0..3))
}

fn make(root: &Path, steps: &[Step]) {
    let mut stream = String::new();
    for (number, (back, merged, files)) in steps.iter().enumerate() {
        let mark = number + 1;
        let _ = write!(stream, "commit refs/heads/main\nmark :{mark}\ncommitter A <a@localhost> {mark} +0000\ndata 1\n.\n");
        let parent = |back: u8| number.saturating_sub(usize::from(back) - 1).max(1);
        if number > 0 {
            let _ = writeln!(stream, "from :{}", parent(*back));
            let other = merged.map(parent).filter(|other| *other != parent(*back));
            other.into_iter().for_each(|other| {
                let _ = writeln!(stream, "merge :{other}");
            });
        }
        for (file, mode, content) in files {
            let file = file.get(&FILES);
            let _ = match content {
                Some(content) => write!(stream, "M {} inline {file}\ndata 1\n{content}\n", mode.get(&MODES)),
                None => writeln!(stream, "D {file}"),
            };
        }
        stream.push('\n');
    }
    git(root, &["init", "-q", "-b", "main"]);
    let mut import = Command::new("git");
    import.current_dir(root).args(["fast-import", "--quiet", "--force"]).stdin(Stdio::piped());
    let mut import = import.spawn().expect("git runs");
    import.stdin.take().expect("is piped").write_all(stream.as_bytes()).expect("is read");
    assert!(import.wait().expect("ends").success(), "{stream}");
}

fn git(root: &Path, args: &[&str]) -> String {
    let done = Command::new("git").current_dir(root).args(args).output().expect("git runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The straightforward answer: every commit is asked for the version of every tool.
fn straight(repo: &Repo, chain: &[CommitId], asked: &Before<'_>) -> Option<(CommitId, Version)> {
    let (mut since, mut seen) = (None, 0);
    for pair in chain.windows(2) {
        let at = |commit| repo.version_at(commit, asked.paths).expect("reads");
        let (now, before) = (at(&pair[0]), at(&pair[1]));
        if now == before {
            continue;
        }
        let since: &CommitId = since.get_or_insert(pair[0].clone());
        seen += 1;
        match before {
            Some(before) if (asked.wanted)(&before) => return Some((since.clone(), before)),
            _ if seen == asked.limit => return None,
            _ => {}
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_walk_for_all_tools_answers_as_a_walk_for_each_would(
        steps in prop::collection::vec(step(), 1..40),
        limits in prop::collection::vec(1usize..5, TOOLS.len()),
        remainders in prop::collection::vec(0u8..5, TOOLS.len()),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path(), &steps);
        let repo = Repo::open(folder.path()).expect("opens");
        let listed = git(folder.path(), &["rev-list", "--first-parent", "main"]);
        let chain: Vec<CommitId> = listed.lines().map(|line| CommitId(line.into())).collect();
        let paths: Vec<Vec<String>> = TOOLS.iter().map(|paths| paths.iter().map(|path| (*path).to_string()).collect()).collect();
        // Some versions ran and some did not.
        let ran: Vec<_> = remainders
            .iter()
            .map(|remainder| move |version: &Version| version.0.bytes().fold(0u8, u8::wrapping_add) % 5 >= *remainder)
            .collect();
        let asked = || paths.iter().zip(&limits).zip(&ran).map(|((paths, limit), wanted)| Before { paths, limit: *limit, wanted });
        let answers = repo.versions_before(&chain[0], &asked().collect::<Vec<_>>()).expect("reads");
        prop_assert_eq!(answers, asked().map(|one| straight(&repo, &chain, &one)).collect::<Vec<_>>());
    }
}
