//! `fractal sync`: many writers on one bare repository, and what goes wrong between them.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use fractal::world::store::Store as _;
use serde_json::Value;

use crate::common::{ended, text};
use crate::fleet::{Dice, Fleet, TOOLS, files_below, holds, kill_within, synced};
use crate::support::executable;

const FORMAT: &str = "fractal executions 1\n";

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn warnings(value: &Value) -> String {
    value["warnings"].as_array().expect("a list").iter().map(|text| format!("{}\n", text.as_str().expect("text"))).collect()
}

#[test]
fn executions_reach_every_clone_once_and_doing_it_again_changes_nothing() {
    let fleet = Fleet::of(3, &synced(""));
    for argument in ["1", "2", "bad"] {
        fleet.exec(0, argument);
    }
    fleet.exec(1, "b");
    let first = fleet.sync(0);
    assert_eq!((number(&first, "sent"), number(&first, "segments"), number(&first, "received")), (3, 1, 0));
    let said = fleet.fractal(1, &["sync"]).ok();
    assert!(
        said.starts_with("sent 1 execution in 1 segment (") && said.contains("received 3 executions from 1 writer"),
        "{said}"
    );
    assert_eq!(number(&fleet.sync(2), "received"), 4);
    assert_eq!(fleet.fractal(2, &["sync"]).ok(), "nothing to send; nothing new received\n");
    fleet.sync(0);
    fleet.all_have(3, 4);
    let refs = || fleet.git_in(&fleet.origin(), &["for-each-ref"]);
    let before = refs();
    (0..3).for_each(|clone| drop(fleet.sync(clone)));
    assert_eq!(refs(), before);
    // Inputs and outputs came along, not only figures.
    let (here, there) = (fleet.store(0), fleet.store(2));
    for execution in fleet.executions(0) {
        assert_eq!(there.load(execution.clone()).expect("loads"), here.load(execution).expect("loads"));
    }
    // The user's repository holds none of it.
    assert!(!fleet.git(0, &["for-each-ref"]).contains("executions"));
}

#[test]
fn a_mark_follows_its_execution_and_counts_once_everywhere() {
    let fleet = Fleet::of(3, &synced(""));
    fleet.exec(0, "1");
    fleet.sync(0);
    fleet.sync(1);
    let id = fleet.executions(1)[0].id.0.clone();
    fs::write(fleet.beside("right"), "good day\n").expect("writes");
    let right = fleet.beside("right").display().to_string();
    fleet.fractal(1, &["mark", &id, "--bad", "--expect", &right]).ok();
    let sent: Vec<u64> = [1, 0, 2, 1, 0, 2].iter().map(|clone| number(&fleet.sync(*clone), "sent")).collect();
    assert_eq!(sent, [1, 0, 0, 0, 0, 0], "only whoever marked it sends it");
    fleet.all_have(3, 1);
    let execution = fleet.executions(2).remove(0);
    assert_eq!(fleet.store(2).load(execution).expect("loads").expected.as_deref(), Some(&b"good day\n"[..]));
    assert!((0..3).all(|clone| fleet.fractal(clone, &["sync"]).ok() == "nothing to send; nothing new received\n"));
}

#[test]
fn many_writers_that_push_at_once_and_are_killed_lose_nothing_and_double_nothing() {
    const CLONES: usize = 12;
    let fleet = Fleet::of(CLONES, &synced("segments = 4"));
    let mut dice = Dice(20_260_131);
    let mut recorded = 0;
    for round in 0..3 {
        for clone in 0..CLONES {
            let said: Vec<String> = (0..=dice.below(20)).map(|at| format!("round {round} of {clone}, {at}")).collect();
            recorded += said.len();
            fleet.record(clone, "greet", &said);
        }
        let started: Vec<_> =
            (0..CLONES).map(|clone| (dice.below(3) == 0, fleet.command(clone, &["sync"]).spawn().expect("starts"))).collect();
        for (dies, mut child) in started {
            match dies {
                true => kill_within(&mut child, &mut dice, 60),
                false => drop(ended(child).ok()),
            }
        }
    }
    // Whoever was killed goes on; then everyone reads what the last of them wrote.
    for _ in 0..2 {
        let all: Vec<_> = (0..CLONES).map(|clone| fleet.command(clone, &["sync"]).spawn().expect("starts")).collect();
        all.into_iter().for_each(|child| drop(ended(child).ok()));
    }
    fleet.all_have(CLONES, recorded);
    let segments = fleet.segments();
    assert_eq!(segments.len(), CLONES, "no writer took a second name");
    assert!(segments.values().all(|own| own.len() <= 4), "{segments:#?}");
    let runs = |(name, _): &(String, u64)| name.split('-').nth(2).expect("runs").parse::<usize>().expect("a number");
    assert!(segments.values().flatten().map(runs).sum::<usize>() >= recorded);
}

/// A `git` that kills whoever called it, at its `AT`-th call: before the work, after it, or before it and does the work alone.
const DEADLY: &str = r#"#!/bin/sh
count=$(($(cat "$COUNT") + 1))
echo $count > "$COUNT"
PATH=$REAL
test $count != $AT || test $WHEN = after || kill -9 $PPID
test $count != $AT || test $WHEN != before || exit 1
git "$@"
code=$?
test $count != $AT || kill -9 $PPID
exit $code
"#;

#[test]
fn whenever_it_is_killed_the_next_exchange_goes_on_under_the_same_name() {
    let fleet = Fleet::of(2, &synced("segments = 2"));
    let bin = fleet.beside("bin");
    fs::create_dir(&bin).expect("makes a folder");
    executable(&bin.join("git"), DEADLY);
    let mut recorded = 0;
    let mut record = |clone: usize| {
        recorded += 1;
        fleet.record(clone, "greet", &[format!("run {recorded}")]);
        recorded
    };
    for when in ["before", "after", "alone"] {
        let kills = (1..20).take_while(|at| {
            record(0);
            // Something to fetch, too.
            let all = record(1);
            fleet.sync(1);
            fs::write(fleet.beside("count"), "0").expect("writes");
            let mut command = fleet.command(0, &["sync"]);
            let real =
                command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).expect("is set").to_owned();
            command.env("PATH", format!("{}:{}", bin.display(), real.display())).env("REAL", real);
            command.env("COUNT", fleet.beside("count")).env("AT", at.to_string()).env("WHEN", when);
            let killed = ended(command.spawn().expect("starts")).code.is_none();
            fleet.sync(0);
            fleet.sync(1);
            fleet.all_have(2, all);
            killed
        });
        assert_eq!(kills.count(), 4, "asks, fetches, pushes, tidies up ({when})");
    }
    assert_eq!(fleet.segments().len(), 2);
}

#[test]
fn two_exchanges_in_one_clone_take_turns() {
    let fleet = Fleet::of(1, &synced(""));
    fleet.exec(0, "1");
    let both: Vec<_> = (0..4).map(|_| fleet.command(0, &["sync", "--json"]).spawn().expect("starts")).collect();
    let sent: u64 = both.into_iter().map(|child| number(&ended(child).json(), "sent")).sum();
    assert_eq!((sent, fleet.segments().len()), (1, 1));
}

#[test]
fn segments_stay_few_and_whoever_comes_later_still_gets_everything() {
    let fleet = Fleet::of(2, &synced("segments = 3"));
    for round in 0..10 {
        fleet.record(0, "greet", &[format!("run {round}")]);
        fleet.sync(0);
    }
    let segments = fleet.segments();
    assert!(segments.values().all(|own| own.len() <= 3), "{segments:?}");
    assert_eq!(number(&fleet.sync(1), "received"), 10);
    fleet.all_have(2, 10);
}

#[test]
fn what_is_published_takes_no_more_room_than_it_may_and_the_oldest_goes_first() {
    let fleet = Fleet::of(1, &synced("size_mib = 1"));
    // Text that cannot be compressed to less than three quarters of its size.
    let mut dice = Dice(7);
    let mut dropped = 0;
    for round in 0..7 {
        fleet.record(0, "greet", &[(0..250_000).map(|_| char::from(b'0' + dice.below(64) as u8)).collect()]);
        let report = fleet.sync(0);
        dropped += number(&report, "dropped");
        assert_eq!(number(&report, "sent"), 1, "round {round}: {report:#}");
    }
    let size: u64 = fleet.segments().values().flatten().map(|(_, size)| size).sum();
    assert!(size <= 1 << 20 && dropped > 0, "{size} bytes, {dropped} dropped");
    let all = fleet.executions(0);
    assert_eq!(all.len(), 7, "what is not published any more is still here");
    let names: Vec<String> = fleet.segments().into_values().flatten().map(|(name, _)| name[13..25].to_string()).collect();
    let newest: Vec<String> =
        all[dropped as usize..].iter().map(|run| format!("{:012x}", run.id.ended().as_millisecond())).collect();
    assert_eq!(names, newest);
}

#[test]
fn a_remote_that_is_away_or_refuses_says_so_and_nothing_is_lost() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "1");
    fs::rename(fleet.origin(), fleet.beside("away.git")).expect("renames");
    fleet.fractal(0, &["sync"]).refused(1, &["`origin` cannot be reached", "nothing is lost"]);
    let said = fleet.fractal(0, &["run"]);
    assert!(
        said.code == Some(0) && said.err.contains("were not exchanged") && said.err.contains("cannot be reached"),
        "{said:#?}"
    );
    fs::rename(fleet.beside("away.git"), fleet.origin()).expect("renames");
    let hook = fleet.origin().join("hooks/pre-receive");
    executable(&hook, "#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n");
    fleet.fractal(0, &["sync"]).refused(1, &["`origin` refused the push", "not on a Friday", "nothing is lost"]);
    fleet.exec(0, "2");
    executable(&hook, "#!/bin/sh\nsleep 0.2\n");
    fleet.exec(1, "3");
    let both: Vec<_> = (0..2).map(|clone| fleet.command(clone, &["sync"]).spawn().expect("starts")).collect();
    both.into_iter().for_each(|child| drop(ended(child).ok()));
    (0..2).for_each(|clone| drop(fleet.sync(clone)));
    fleet.all_have(2, 3);
    fleet.fractal(0, &["sync", "--remote", " "]).refused(2, &["no remote is named", "--remote origin"]);
}

#[test]
fn a_server_that_protects_branches_from_what_does_not_follow_takes_segments_all_the_same() {
    let fleet = Fleet::of(2, &synced(""));
    for setting in ["receive.denyNonFastForwards", "receive.denyDeletes", "receive.fsckObjects"] {
        fleet.git_in(&fleet.origin(), &["config", setting, "true"]);
    }
    for argument in ["1", "2", "3"] {
        fleet.exec(0, argument);
        fleet.sync(0);
    }
    fleet.sync(1);
    fleet.all_have(2, 3);
}

fn line(id: &str, at: &str) -> String {
    format!(
        "{{\"v\":1,\"id\":\"{id}\",\"tool\":\"greet\",\"version\":\"v\",\"at\":\"{at}\",\"exit\":0,\"outcome\":\"success\",\"caller\":\"x\"}}\n"
    )
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).expect("packs");
    packer.finish().expect("packs")
}

/// A segment as the bare repository has it: mode, object and name.
fn segment(fleet: &Fleet, content: &[u8], first: u64, last: u64, runs: u64, bytes: u64) -> (&'static str, String, Vec<u8>) {
    let object = fleet.object(&["hash-object", "-w", "--stdin"], content);
    let name = format!("{first:012x}-{last:012x}-{runs}-{bytes}-{}.jsonl.gz", &object[..16]);
    ("100644", object, name.into_bytes())
}

#[test]
fn what_cannot_be_read_is_said_once_and_stands_in_nobodys_way() {
    let fleet = Fleet::of(2, &synced(""));
    let (at, time) = (0x019c_0000_0000_u64, "2026-01-28T02:07:38.112Z");
    let good = line("019c0000-0000-7000-8000-000000000001", time);
    let future = line("0fff0000-0000-7000-8000-000000000002", "2527-01-01T00:00:00Z");
    let foreign = good.replace("\"v\":1", "\"v\":1,\"argv\":[]").replace("0001\"", "0003\"");
    let nameless = good.replace("019c0000-0000-7000-8000-000000000001", "run 17");
    let long = good.replace("\"version\":\"v\"", &format!("\"version\":\"{}\"", "v".repeat(600))).replace("0001\"", "0004\"");
    let wide =
        good.replace("\"caller\"", &format!("\"stdout\":\"{}\",\"caller\"", "x".repeat(17 << 20))).replace("0001\"", "0005\"");
    let whole = |text: &str| segment(&fleet, &gzip(text.as_bytes()), at, at, text.lines().count() as u64, text.len() as u64);
    let late = 0x0fff_0000_0000;
    let future = segment(&fleet, &gzip(future.as_bytes()), late, late, 1, future.len() as u64);
    let otherwise = whole(&good.replace("019c0000-0000", "019c0000-0009"));
    let mut entries = vec![whole(&good), future, otherwise, whole(&foreign), whole(&nameless), whole(&long), whole(&wide)];
    entries.push(segment(&fleet, &gzip(&vec![b'0'; 80 << 20]), at, at, 1, 1000));
    entries.push(segment(&fleet, &gzip(good.as_bytes())[..60], at, at + 1, 1, good.len() as u64));
    entries.push(segment(&fleet, b"plain", at, at + 2, 1, 5));
    let mut renamed = whole(&line("019c0000-0000-7000-8000-000000000006", time));
    renamed.2 = b"0000000003e8-0000000003e8-1-9-abababababababab.jsonl.gz".to_vec();
    entries.push(renamed);
    let empty = fleet.object(&["hash-object", "-t", "tree", "-w", "--stdin"], b"");
    let link = fleet.object(&["hash-object", "-w", "--stdin"], b"../../../config");
    let name = format!("{at:012x}-{at:012x}-1-15-{}.jsonl.gz", &link[..16]);
    entries.push(("120000", link.clone(), name.into_bytes()));
    entries.push(("40000", empty.clone(), b"folder".to_vec()));
    entries.push(("100644", link.clone(), b"..".to_vec()));
    entries.push(("100644", link, b"x\x1b[2J".to_vec()));
    entries.sort_by(|a, b| a.2.cmp(&b.2));
    let entries: Vec<_> = entries.iter().map(|(mode, object, name)| (*mode, object.clone(), name.as_slice())).collect();
    fleet.publish(&"a".repeat(32), &entries, FORMAT, "2026-11-20T00:00:00Z");
    fleet.publish(&"b".repeat(32), &[], "fractal executions 2\n", "2026-11-20T00:00:00Z");
    fleet.point(&"c".repeat(32), &empty, "2026-11-20T00:00:00Z");
    fleet.point("evil", &empty, "2026-11-20T00:00:00Z");
    fleet.point("e/vil", &empty, "2026-11-20T00:00:00Z");
    let blob = fleet.object(&["hash-object", "-w", "--stdin"], b"no commit");
    fleet.git_in(&fleet.origin(), &["update-ref", &format!("refs/fractal/executions/{}", "d".repeat(32)), &blob]);
    fleet.exec(1, "honest");
    fleet.sync(1);
    let report = fleet.sync(0);
    assert_eq!(number(&report, "received"), 2, "{report:#}");
    let said = warnings(&report);
    for part in [
        "yet to come",
        "at another time than the segment's name says",
        "unknown field `argv`",
        "has no identity",
        "more than 512 bytes",
        "more than 16777216",
        "bytes that its name says",
        "cannot be unpacked",
        "that of another segment",
        "is not a plain file",
        "not that of a segment",
        "this version of Fractal reads `fractal executions 1`",
        "it has no `format`",
        "it is no commit",
    ] {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
    assert!(!said.contains('\x1b'));
    fleet.sync(1);
    fleet.all_have(2, 2);
    // What is damaged does not get better; what may be newer is looked at again.
    let again = warnings(&fleet.sync(0));
    assert!(!again.contains("segment") && again.contains("fractal executions 2"), "{again}");
}

#[test]
fn a_segment_that_names_itself_like_another_one_does_not_hide_it() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "1");
    fleet.sync(0);
    let name = fleet.segments().into_values().flatten().next().expect("a segment").0;
    let junk = fleet.object(&["hash-object", "-w", "--stdin"], b"junk");
    fleet.publish(&"0".repeat(32), &[("100644", junk, name.as_bytes())], FORMAT, "2026-11-20T00:00:00Z");
    assert_eq!(number(&fleet.sync(1), "received"), 1);
    fleet.all_have(2, 1);
}

#[test]
fn a_copied_clone_takes_a_name_of_its_own_and_what_it_had_not_sent_goes_with_it() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "before");
    fleet.sync(0);
    fleet.exec(0, "not sent yet");
    let copied = Command::new("cp").arg("-a").arg(fleet.at(0)).arg(fleet.at(2)).status();
    assert!(copied.expect("cp runs").success());
    fleet.exec(0, "at the original");
    fleet.exec(2, "at the copy");
    let writer = |report: &Value| report["writer"].as_str().expect("a name").to_string();
    let original = fleet.sync(0);
    let copy = fleet.sync(2);
    assert!(writer(&original) != writer(&copy) && warnings(&copy).contains("takes a new name"), "{copy:#}");
    for clone in [1, 0, 2] {
        fleet.sync(clone);
    }
    fleet.all_have(3, 4);
    let again = fleet.sync(2);
    assert_eq!((writer(&again), warnings(&again)), (writer(&copy), String::new()));
    assert_eq!(fleet.segments().len(), 2);
}

#[test]
fn what_a_writer_that_is_gone_has_published_is_taken_over() {
    let fleet = Fleet::of(3, &synced(""));
    fleet.exec(0, "1");
    fleet.sync(0);
    let (gone, _) = fleet.segments().into_iter().next().expect("a writer");
    let old = |writer: &str| {
        let tree = fleet.git_in(&fleet.origin(), &["rev-parse", &format!("refs/fractal/executions/{writer}^{{tree}}")]);
        fleet.point(writer, tree.trim(), "2026-01-01T00:00:00Z");
    };
    old(&gone);
    fleet.exec(1, "2");
    let report = fleet.sync(1);
    assert_eq!((number(&report, "received"), number(&report, "adopted"), number(&report, "sent")), (1, 1, 1), "{report:#}");
    let segments = fleet.segments();
    assert!(segments.len() == 1 && !segments.contains_key(&gone), "{segments:#?}");
    // A newcomer gets everything, and whoever comes back goes on.
    assert_eq!(number(&fleet.sync(2), "received"), 2);
    fleet.exec(0, "3");
    (0..3).for_each(|clone| drop(fleet.sync(clone)));
    fleet.all_have(3, 3);
    // A server that refuses removals: everything is there twice, and works.
    executable(
        &fleet.origin().join("hooks/update"),
        "#!/bin/sh\ntest \"$3\" != 0000000000000000000000000000000000000000 || { echo 'nothing is removed here'; exit 1; }\n",
    );
    fleet.segments().keys().for_each(|writer| old(writer));
    fleet.clone_again("c3");
    fleet.exec(3, "4");
    fleet.sync(3);
    fleet.clone_again("c4");
    assert_eq!(number(&fleet.sync(4), "received"), 4);
}

#[test]
fn secrets_that_are_kept_here_do_not_leave_the_machine() {
    let config = format!("{}[record]\ncapture = \"full\"\n", synced(""));
    let fleet = Fleet::of(2, &config);
    let token = format!("ghp_{}", "a1B2".repeat(9));
    fleet.exec(0, &token);
    fleet.sync(0);
    fleet.sync(1);
    assert!(holds(&files_below(&fleet.at(0).join(".git/fractal")), &token), "it is kept here");
    assert!(!holds(&fleet.everything_of(&fleet.origin(), false), &token));
    assert!(!holds(&files_below(&fleet.at(1).join(".git/fractal")), &token));
    assert_eq!(fleet.executions(1)[0].input.display(80), "'[redacted]'");
}

#[test]
fn the_users_way_to_a_remote_is_used_and_nothing_else_of_the_users_settings() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "1");
    fleet.sync(0);
    for (key, value) in [
        ("url.../.insteadOf", "fleet:"),
        ("remote.short.url", "fleet:origin.git"),
        ("remote.short.promisor", "true"),
        ("remote.short.partialclonefilter", "blob:none"),
        ("transfer.fsckObjects", "true"),
        ("fetch.prune", "true"),
    ] {
        fleet.git(1, &["config", key, value]);
    }
    fleet.git_in(&fleet.origin(), &["config", "uploadpack.allowFilter", "true"]);
    executable(&fleet.at(1).join(".git/hooks/pre-push"), "#!/bin/sh\nexit 1\n");
    fleet.exec(1, "2");
    let report = fleet.fractal(1, &["sync", "--remote", "short", "--json"]).json();
    assert_eq!((number(&report, "sent"), number(&report, "received")), (1, 1), "{report:#}");
    fleet.sync(0);
    fleet.all_have(2, 2);
}

#[test]
fn locks_and_drafts_that_a_killed_process_left_are_in_nobodys_way() {
    let fleet = Fleet::of(2, &synced(""));
    let state = fleet.at(0).join(".git/fractal");
    fs::create_dir_all(state.join("exchange.new")).expect("makes half a repository");
    fs::write(state.join("exchange.new/config.lock"), "").expect("locks it");
    fleet.exec(0, "1");
    let writer = fleet.sync(0)["writer"].as_str().expect("a name").to_string();
    fleet.exec(1, "2");
    fleet.sync(1);
    let exchange = state.join("exchange.git");
    fleet.git_in(&exchange, &["pack-refs", "--all"]);
    let mirror = fleet.git_in(&exchange, &["for-each-ref", "--format=%(refname)", &format!("refs/mirror/*/{writer}")]);
    for name in ["packed-refs", "refs/outbox", mirror.trim()] {
        let lock = exchange.join(format!("{name}.lock"));
        fs::create_dir_all(lock.parent().expect("has a folder")).expect("makes folders");
        fs::write(lock, "").expect("locks");
    }
    fleet.exec(0, "3");
    assert_eq!(number(&fleet.sync(0), "sent"), 1);
    fleet.sync(1);
    fleet.all_have(2, 3);
}

#[test]
fn an_exchange_that_is_damaged_on_this_disk_begins_anew() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "1");
    fleet.sync(0);
    let exchange = fleet.at(0).join(".git/fractal/exchange.git");
    let commit = fleet.git_in(&exchange, &["rev-parse", "refs/outbox"]);
    let object = exchange.join("objects").join(&commit[..2]).join(commit[2..].trim());
    fs::remove_file(&object).expect("is loose");
    fleet.exec(0, "2");
    let said = fleet.fractal(0, &["sync"]);
    assert!(said.code == Some(0) && said.err.contains("begins anew, under a new name"), "{said:#?}");
    fleet.sync(1);
    fleet.all_have(2, 2);
    fs::remove_dir_all(&exchange).expect("removes");
    fleet.exec(0, "3");
    fleet.sync(0);
    fleet.sync(1);
    fleet.all_have(2, 3);
}

#[test]
fn a_clone_that_keeps_less_keeps_less_of_others_too() {
    let fleet = Fleet::of(2, &synced(""));
    fs::write(fleet.at(1).join("fractal.toml"), format!("{}[record]\ncapture = \"digest\"\n{TOOLS}", synced("")))
        .expect("writes");
    fleet.exec(0, "nobody-reads-this");
    fleet.sync(0);
    fleet.sync(1);
    assert_eq!(fleet.executions(1).len(), 1);
    assert!(!holds(&files_below(&fleet.at(1).join(".git/fractal/")), "nobody-reads-this"));
}

#[test]
fn a_fresh_clone_that_has_recorded_nothing_looks_at_what_others_did_in_its_first_cycle() {
    let fleet = Fleet::of(2, &synced(""));
    for argument in ["1", "2", "bad"] {
        fleet.exec(0, argument);
    }
    fleet.sync(0);
    let told = fleet.fractal(1, &["run", "--json"]).json_lines();
    let ended = told.iter().find(|told| told["event"] == "cycle_ended").expect("was told");
    assert_eq!(number(&ended["report"], "tools_analysed"), 1, "{ended}");
}

#[test]
fn the_loop_exchanges_before_it_looks_and_a_pause_holds_back_what_would_be_sent() {
    let fleet = Fleet::of(2, &synced(""));
    fleet.exec(0, "1");
    let told = fleet.fractal(0, &["run", "--json"]).json_lines();
    let report = &told.iter().find(|told| told["event"] == "synced").expect("was told")["report"];
    assert_eq!(number(report, "sent"), 1);
    fleet.exec(1, "2");
    fleet.fractal(1, &["pause"]).ok();
    let said = fleet.fractal(1, &["sync"]).ok();
    assert!(said.contains("nothing was sent, because Fractal is paused") && said.contains("received 1 execution"), "{said}");
    assert_eq!(fleet.segments().len(), 1);
    fleet.fractal(1, &["resume"]).ok();
    let said = text(fleet.fractal(1, &["run"]).ok().as_bytes());
    assert!(said.contains("sync: sent 1 execution in 1 segment"), "{said}");
    fleet.fractal(0, &["run", "--dry-run"]).ok();
    assert_eq!(fleet.executions(0).len(), 1, "a dry run exchanges nothing");
    fleet.sync(0);
    fleet.all_have(2, 2);
}

#[test]
fn fifty_recorders_in_five_clones_and_two_loops_that_are_killed_lose_nothing_and_double_nothing() {
    let fleet = Fleet::of(5, &synced("segments = 4"));
    let mut dice = Dice(50);
    let recorders: Vec<_> =
        (0..50).map(|at| fleet.command(at % 5, &["exec", "greet", "--", &at.to_string()]).spawn().expect("starts")).collect();
    let mut killed = 0;
    let mut recorders = recorders.into_iter();
    // While they run, two loops and the other clones exchange, and every second one of them is killed.
    for round in 0..6 {
        let mut exchanging: Vec<_> = (0..5)
            .map(|clone| fleet.command(clone, &[if clone < 2 { "run" } else { "sync" }]).spawn().expect("starts"))
            .collect();
        for (at, child) in exchanging.iter_mut().enumerate() {
            if (round + at) % 2 == 0 {
                kill_within(child, &mut dice, 40);
                killed += 1;
            }
        }
        recorders.by_ref().take(10).for_each(|child| assert_eq!(ended(child).err, ""));
        exchanging.into_iter().for_each(|child| drop(ended(child)));
    }
    assert!(killed >= 15);
    for _ in 0..2 {
        for clone in 0..5 {
            fleet.fractal(clone, &[if clone < 2 { "run" } else { "sync" }]).ok();
        }
    }
    fleet.all_have(5, 50);
    let mut arguments: Vec<u64> =
        fleet.executions(4).iter().map(|execution| execution.input.display(9).parse().expect("a number")).collect();
    arguments.sort_unstable();
    assert_eq!(arguments, (0..50).collect::<Vec<_>>());
}
