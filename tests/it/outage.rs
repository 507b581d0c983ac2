//! A fleet on one PostgreSQL: fifty recorders and two loops, and the server is killed in the middle.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fractal::world::store::PostgresStore;

use crate::common::{Said, World};
use crate::peers;
use crate::server::Server;
use crate::store::truth::{all, audit};

/// At the same time.
const RECORDERS: usize = 50;
/// Runs of each.
const EACH: usize = 6;

const CONFIG: &str = "profile = \"development\"
[[tool]]
name = \"greet\"
paths = [\"greet.sh\"]
run = [\"sh\", \"greet.sh\"]
effects = \"none\"
";

/// A clone of the fleet's repository for each loop.
fn clones(world: &World) -> Vec<World> {
    ["east", "west"]
        .map(|name| {
            let clone = World::empty();
            let from = world.repo().display().to_string();
            clone.git(&["pull", "-q", &from, "main"]);
            clone.git(&["config", "user.name", name]);
            clone
        })
        .into()
}

fn waiting(world: &World) -> usize {
    fs::read_dir(world.repo().join(".git/fractal/spool")).map_or(0, |entries| entries.count())
}

fn fractal(world: &World, address: &str, args: &[&str]) -> Said {
    world.run(world.fractal_command().env("FRACTAL_STORE", address).args(args))
}

#[test]
fn fifty_recorders_and_two_loops_lose_nothing_and_store_nothing_twice_when_the_server_is_killed() {
    // The real settings: what was committed is on disk.
    let Some(mut server) = peers::or_not_run(Server::start(&[]), "PostgreSQL") else { return };
    let address = server.address(&server.database());
    let world = World::empty();
    world.write("fractal.toml", CONFIG);
    world.write("greet.sh", "echo hello $1; case $1 in *3) echo 'boom: no such name' >&2; exit 3;; esac\n");
    world.commit("greet");
    let loops = clones(&world);
    let homes: Vec<&World> = [&world].into_iter().chain(&loops).collect();
    let (done, stored, spooled, cycles) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let recorders: Vec<_> = (0..RECORDERS)
            .map(|recorder| {
                let (home, address, stored, spooled) = (homes[recorder % homes.len()], &address, &stored, &spooled);
                scope.spawn(move || {
                    for number in 0..EACH {
                        let said = fractal(home, address, &["exec", "greet", "--", &format!("{recorder}-{number}")]);
                        let expected = if number == 3 { 3 } else { 0 };
                        assert_eq!(
                            (said.code, said.out),
                            (Some(expected), format!("hello {recorder}-{number}\n")),
                            "{}",
                            said.err
                        );
                        assert!(!said.err.contains("not recorded"), "{}", said.err);
                        let waits = said.err.contains("waits on disk");
                        (if waits { spooled } else { stored }).fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for home in &loops {
            let (address, done, cycles) = (&address, &done, &cycles);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    // While the server is away a cycle says so, and the next one tries again.
                    let said = fractal(home, address, &["run"]);
                    let away = ["cannot be reached", "starting up", "in recovery", "shutting down"];
                    assert!(said.code == Some(0) || away.iter().any(|away| said.err.contains(away)), "{said:#?}");
                    cycles.fetch_add(usize::from(said.code == Some(0)), Ordering::SeqCst);
                }
            });
        }
        // Killed when a third is stored; back when somebody has noticed.
        reach(|| stored.load(Ordering::SeqCst) >= RECORDERS * EACH / 3);
        server.kill();
        reach(|| spooled.load(Ordering::SeqCst) >= 10);
        server.run();
        recorders.into_iter().for_each(|recorder| recorder.join().expect("ends"));
        let before = cycles.load(Ordering::SeqCst);
        reach(|| cycles.load(Ordering::SeqCst) >= before + 4);
        done.store(true, Ordering::SeqCst);
    });
    for home in &homes {
        fractal(home, &address, &["run"]).ok();
        assert_eq!(waiting(home), 0);
    }
    let mut store = PostgresStore::open(&address).expect("opens");
    let mut names: Vec<String> = all(&store).iter().map(|run| run.input.args[0].to_string()).collect();
    names.sort();
    let mut expected: Vec<String> = (0..RECORDERS).flat_map(|r| (0..EACH).map(move |n| format!("{r}-{n}"))).collect();
    expected.sort();
    assert_eq!(names, expected);
    audit(&mut store);
}

/// Waits until something is so.
#[track_caller]
fn reach(so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !so() {
        assert!(Instant::now() < until, "it never came to that");
        thread::sleep(Duration::from_millis(10));
    }
}
