//! What only PostgreSQL has: who may come in, TLS, a server that is away, hangs or dies, several programs on one database.

use std::time::{Duration, Instant};

use fractal::model::Outcome;
use fractal::world::store::{PostgresStore, Store, StoreError};
use rustix::process::Signal;

use crate::common::{Said, World};
use crate::peers;
use crate::server::{Server, ask};
use crate::store::server;
use crate::store::truth::{BEGIN, all, audit, run, runs};

const TOOL: &str = "[[tool]]\nname = \"greet\"\npaths = [\"greet.sh\"]\nrun = [\"sh\", \"greet.sh\"]\neffects = \"none\"\n";

pub fn world(config: &str) -> World {
    let world = World::empty();
    world.write("fractal.toml", format!("{config}{TOOL}"));
    world.write("greet.sh", "echo hello $1; test \"$1\" != bad\n");
    world.commit("greet");
    world
}

/// The real program with this store.
fn fractal(world: &World, store: &str, args: &[&str]) -> Said {
    world.run(world.fractal_command().env("FRACTAL_STORE", store).args(args))
}

/// What `fractal status` counts.
fn runs_of_greet(world: &World, store: &str) -> u64 {
    let status = fractal(world, store, &["status", "--json"]).json();
    status["tools"].as_array().expect("a list").iter().filter_map(|tool| tool["counts"]["runs"].as_u64()).sum()
}

fn refusal(address: &str) -> String {
    PostgresStore::open_briefly(address).err().expect("refuses").to_string()
}

#[test]
fn the_whole_loop_works_on_a_database_and_nothing_is_in_the_git_directory() {
    let Some(server) = server() else { return };
    for address in [server.address(&server.database()), server.socket_address(&server.database())] {
        let world = world(&format!("profile = \"development\"\nstore = \"{address}\"\n"));
        assert_eq!(runs_of_greet(&world, &address), 0);
        // Nothing was made by looking.
        assert_eq!(PostgresStore::open_to_read(&address).expect("reads").map(|_| ()), None);
        for name in ["a", "bad", "bad", "worse", "bad"] {
            assert_eq!(world.exec("greet", &[name]).err, "");
        }
        world.fractal(&["run"]).ok();
        assert_eq!(runs_of_greet(&world, &address), 5);
        assert!(!world.repo().join(".git/fractal/executions.db").exists());
        let mut store = PostgresStore::open(&address).expect("opens");
        assert_eq!(all(&store).len(), 5);
        assert_eq!(store.counters().expect("reads").cycles_completed, 1);
        let id = all(&store)[4].id.clone();
        world.fractal(&["mark", id.as_str(), "--bad"]).ok();
        assert_eq!(all(&store)[4].outcome, Outcome::Failure);
        audit(&mut store);
    }
}

#[test]
fn the_store_may_be_read_and_written_in_async_code() {
    let Some(server) = server() else { return };
    let address = server.address(&server.database());
    let world = world(&format!("store = \"{address}\"\n"));
    world.exec("greet", &["a"]).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = fractal::Loop::builder(world.repo()).build().expect("opens");
        engine.run_cycle().await.expect("runs");
        assert_eq!(engine.stats().expect("reads").cycles_completed, 1);
        let mut store = PostgresStore::open(&address).expect("opens");
        assert_eq!(store.record_all(&runs("t", "v", BEGIN, 300)).expect("stores").new, 300);
    });
}

// ---- who may come in ----

#[test]
fn an_address_that_is_none_is_refused_and_so_is_a_password_in_the_file() {
    let world = world("");
    for (store, parts) in [
        ("mysql://x/y", ["no address of an execution store", "postgres://"]),
        ("postgres://x/y?sslmode=maybe", ["`sslmode` is `maybe`", "verify-full"]),
        ("postgres://x/y?sslkey=z", ["postgres://x/y", "sslkey"]),
    ] {
        fractal(&world, store, &["status"]).refused(2, &parts);
    }
    for store in ["postgres://bot:hunter22@db.example.com/runs", "postgres://db.example.com/runs?user=bot&password=hunter22"] {
        world.write("fractal.toml", format!("store = \"{store}\"\n{TOOL}"));
        let said = world.fractal(&["status"]);
        assert!(!said.err.contains("hunter22"), "{said:#?}");
        said.refused(2, &["`store` holds a password", "PGPASSWORD", "FRACTAL_STORE"]);
    }
}

#[test]
fn tls_is_spoken_and_as_much_of_the_certificate_checked_as_was_asked_for() {
    let Some(server) = server().filter(|server| peers::or_not_run(server.has_tls().then_some(()), "openssl").is_some()) else {
        return;
    };
    let name = server.database();
    let _ = ask(&server.address("postgres"), "create role sam login password 'hunter22'");
    ask(&server.address("postgres"), &format!("alter database {name} owner to sam")).expect("gives");
    let at = |host: &str, query: &str| format!("postgres://sam:hunter22@{host}:{}/{name}?{query}", server.port);
    let ours = format!("sslrootcert={}", server.authority(false).display());
    let other = format!("sslrootcert={}", server.authority(true).display());
    // The certificate is for `localhost`, and our own authority's.
    for (host, query) in [
        ("localhost", String::new()),
        ("127.0.0.1", "sslmode=require".into()),
        ("127.0.0.1", format!("sslmode=require&{ours}")),
        ("127.0.0.1", format!("sslmode=verify-ca&{ours}")),
        ("localhost", format!("sslmode=verify-full&{ours}")),
    ] {
        let mut store = PostgresStore::open_briefly(&at(host, &query)).unwrap_or_else(|error| panic!("{host} {query}: {error}"));
        store.record_all(&runs("t", "v", BEGIN, 5)).expect("stores");
    }
    for (host, query, wanted) in [
        ("127.0.0.1", format!("sslmode=verify-full&{ours}"), "not valid for name"),
        ("localhost", format!("sslmode=verify-full&{other}"), "invalid peer certificate"),
        ("127.0.0.1", format!("sslmode=require&{other}"), "invalid peer certificate"),
        ("localhost", "sslmode=verify-full".into(), "invalid peer certificate"),
        ("localhost", "sslmode=verify-full&sslrootcert=/no/such/file".into(), "/no/such/file"),
        ("127.0.0.1", "sslmode=disable".into(), "pg_hba.conf rejects connection"),
    ] {
        let said = refusal(&at(host, &query));
        assert!(said.contains(wanted) && said.contains(host) && !said.contains("hunter22"), "{host} {query}: {said}");
    }
    let none = format!("postgres://sam@localhost:{}/{name}", server.port);
    assert!(refusal(&none).contains("password missing"), "{}", refusal(&none));
    let wrong = at("localhost", "").replace("hunter22", "hunter23");
    assert!(refusal(&wrong).contains("password authentication failed"), "{}", refusal(&wrong));
    // The password from the environment.
    let world = world("");
    let mut command = world.fractal_command();
    world.run(command.env("FRACTAL_STORE", &none).env("PGPASSWORD", "hunter22").args(["exec", "greet", "--", "a"])).ok();
    assert_eq!(runs_of_greet(&world, &at("localhost", "")), 1);
}

#[test]
fn somebody_who_may_only_read_can_look() {
    let Some(server) = server() else { return };
    let name = server.database();
    PostgresStore::open(&server.address(&name)).expect("opens").record_all(&runs("t", "v", BEGIN, 5)).expect("stores");
    let _ = ask(&server.address("postgres"), "create role reader login");
    let grant = "grant usage on schema fractal to reader; grant select on all tables in schema fractal to reader";
    ask(&server.address(&name), grant).expect("grants");
    let address = server.address(&name).replace("fractal@", "reader@");
    let store = PostgresStore::open_to_read(&address).expect("opens").expect("is there");
    assert_eq!(all(&store).len(), 5);
    let refused = PostgresStore::open(&address).expect("opens").record_all(&runs("t", "v", BEGIN, 6));
    assert!(refused.expect_err("refuses").to_string().contains("permission denied"));
}

#[test]
fn tables_of_a_newer_version_are_refused_and_not_touched() {
    let Some(server) = server() else { return };
    let address = server.address(&server.database());
    drop(PostgresStore::open(&address).expect("opens"));
    ask(&address, "update fractal.format set version = 99").expect("writes");
    let refusals = [
        PostgresStore::open(&address).err(),
        PostgresStore::open_briefly(&address).err(),
        PostgresStore::open_to_read(&address).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(StoreError::Newer { found: 99, .. })), "{refusal:?}");
    }
    let world = world("");
    fractal(&world, &address, &["status"]).refused(1, &["postgres://127.0.0.1", "format 99", "update Fractal"]);
    let said = fractal(&world, &address, &["exec", "greet", "--", "a"]);
    assert!(said.code == Some(0) && said.err.contains("waits on disk") && said.err.contains("format 99"), "{said:#?}");
    assert_eq!(ask(&address, "select count(*) from fractal.series").expect("reads"), [["0"]]);
}

#[test]
fn many_who_open_an_empty_database_at_once_make_one_store() {
    let Some(server) = server() else { return };
    let address = server.address(&server.database());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let address = &address;
            scope.spawn(move || {
                let mut store = PostgresStore::open(address).expect("opens");
                store.record(&run("t", "v", BEGIN + number, number as u64, Outcome::Failure)).expect("stores");
            });
        }
    });
    let mut store = PostgresStore::open(&address).expect("opens");
    assert_eq!(all(&store).len(), 8);
    audit(&mut store);
}

// ---- a server that is away, hangs, or dies ----

/// Nothing that a person waits for takes longer.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_server_that_is_away_costs_nothing_but_a_line() {
    let world = world("");
    let closed = "postgres://bot:hunter22@127.0.0.1:1/runs";
    let began = Instant::now();
    let said = fractal(&world, closed, &["exec", "greet", "--", "a"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "hello a\n"));
    assert!(said.err.contains("waits on disk") && said.err.contains("postgres://127.0.0.1:1/runs"), "{said:#?}");
    assert!(said.err.lines().count() == 1 && !said.err.contains("hunter22"), "{said:#?}");
    fractal(&world, closed, &["status"]).refused(1, &["cannot be reached", "127.0.0.1:1", "Connection refused", "FRACTAL_STORE"]);
    assert!(began.elapsed() < SOON);
    fractal(&world, "postgres://no-such-host.invalid/runs", &["status"]).refused(1, &["no-such-host.invalid"]);
}

/// One who takes connections and never says anything.
#[test]
fn a_server_that_never_answers_does_not_hold_up_a_tool() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("has an address").port();
    let world = world("");
    let began = Instant::now();
    let said = fractal(&world, &format!("postgres://127.0.0.1:{port}/runs"), &["exec", "greet", "--", "bad"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("waits on disk") && said.err.contains("no answer within 3 s"), "{said:#?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_server_that_hangs_in_the_middle_does_not_hold_up_a_tool() {
    let Some(server) = peers::or_not_run(Server::start(&["fsync=off"]), "PostgreSQL") else { return };
    let address = server.address(&server.database());
    let mut store = PostgresStore::open_briefly(&address).expect("opens");
    store.record(&run("t", "v", BEGIN, 1, Outcome::Success)).expect("stores");
    // Somebody else holds the lock and does not let go: neither waits for ever.
    let holder = std::thread::spawn({
        let address = address.clone();
        move || ask(&address, "begin; select pg_advisory_xact_lock(28836210230452588); select pg_sleep(60)")
    });
    let waits = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and wait_event = 'PgSleep'";
    let until = Instant::now() + SOON;
    while ask(&address, waits).expect("reads") != [["1"]] {
        assert!(Instant::now() < until && !holder.is_finished(), "nobody holds the lock");
    }
    let began = Instant::now();
    let said = store.record(&run("t", "v", BEGIN, 2, Outcome::Success)).expect_err("gives up").to_string();
    assert!(said.contains("lock timeout"), "{said}");
    assert!(began.elapsed() < SOON);
    ask(&address, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'").expect("ends it");
    assert!(holder.join().expect("ends").is_err());
    store.record(&run("t", "v", BEGIN, 2, Outcome::Success)).expect("stores");
    assert_eq!(all(&store).len(), 2);
}

#[test]
fn a_connection_that_broke_is_replaced_and_nothing_is_stored_twice() {
    let Some(mut server) = peers::or_not_run(Server::start(&[]), "PostgreSQL") else { return };
    let address = server.address(&server.database());
    let (mut store, mut other) = (PostgresStore::open(&address).expect("opens"), PostgresStore::open(&address).expect("opens"));
    store.record_all(&runs("t", "v", BEGIN, 10)).expect("stores");
    drop(other.dirty().expect("reads"));
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fractal'";
    assert_eq!(ask(&address, end).expect("ends them").len(), 2);
    assert_eq!(other.record_all(&runs("t", "v", BEGIN, 12)).expect("stores").new, 2);
    // Killed as the system kills, and started again: what was stored is there, what is done next finds a new connection.
    server.kill();
    assert!(matches!(store.dirty(), Err(StoreError::Away { .. })));
    server.run();
    assert_eq!(store.record_all(&runs("t", "v", BEGIN, 14)).expect("stores").new, 2);
    assert_eq!(all(&other).len(), 14);
    audit(&mut other);
    // One that waited for the next store broke in the meantime.
    drop((store, other));
    server.signal(Signal::INT);
    server.ended();
    server.run();
    assert_eq!(all(&PostgresStore::open(&address).expect("opens")).len(), 14);
}

/// A look that is slow takes away nothing that came after a faster one; in a repository's own file there is only one loop.
#[test]
fn of_two_loops_none_takes_away_news_that_it_has_not_seen() {
    let Some(server) = server() else { return };
    let address = server.address(&server.database());
    let (mut store, mut other) = (PostgresStore::open(&address).expect("opens"), PostgresStore::open(&address).expect("opens"));
    let mut failure = |number: u64| other.record(&run("a", "v", BEGIN, number, Outcome::Failure)).expect("stores");
    failure(1);
    let seen = store.dirty().expect("reads");
    let mut faster = PostgresStore::open(&address).expect("opens");
    faster.looked(&seen, "s", &[]).expect("stores");
    failure(2);
    store.looked(&seen, "s", &[]).expect("stores");
    assert_eq!(store.dirty().expect("reads").len(), 1);
}
