//! The escape suite: `tests/data/escape.py` attacks what is outside, at every level of protection. Each attack is first seen to succeed
//! without a sandbox, so that what stops it inside is the sandbox.
//!
//! `cargo test --test it escape -- --nocapture` prints the table of attacks and levels.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fractal::config::SandboxConfig;
use fractal::model::Exit;
use fractal::world::process::Finished;
use fractal::world::sandbox::{Offer, Sandbox, Scratch, ScratchFile};
use serde_json::json;

use crate::sandbox::{NO_NAMESPACES, OLDER};

const SCRIPT: &str = include_str!("../data/escape.py");
const SECRET: &str = "sesame-3f9c2a";
const LEVELS: [(&str, Offer); 3] = [("namespaces", Offer::ALL), ("no namespaces", NO_NAMESPACES), ("older kernel", OLDER)];
/// More than any of them needs on a busy machine.
const TIME: Duration = Duration::from_secs(25);
/// For what never ends.
const SHORT: Duration = Duration::from_millis(1500);
/// What ending it may take beyond its time.
const GRACE: Duration = Duration::from_secs(8);

/// What is outside, for one attack.
struct Outside {
    folder: tempfile::TempDir,
    victim: Child,
    told: serde_json::Value,
    /// Ends those who serve.
    over: Arc<AtomicBool>,
}

impl Outside {
    /// Not below the folder for temporary files: that one is hidden as a whole where it can be.
    fn new(other_run: &Path, free: bool) -> Outside {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = folder.path().to_path_buf();
        for inner in [".ssh", "cwd", "repo/.git/hooks", "repo/.git/fractal"] {
            std::fs::create_dir_all(path.join(inner)).expect("makes a folder");
        }
        for file in [".ssh/id", "victim", "repo/.git/config", "repo/.git/fractal/executions.db"] {
            std::fs::write(path.join(file), SECRET).expect("writes");
        }
        let mut victim = Command::new("sh");
        victim.args(["-c", "read line", SECRET]).env("TOKEN", SECRET).current_dir(&path).process_group(0);
        let victim = victim.stdin(Stdio::piped()).spawn().expect("starts");
        let over = Arc::new(AtomicBool::new(false));
        let unique = path.file_name().expect("a name").to_string_lossy().into_owned();
        let (tcp, udp, free_port) = serve(&path, &unique, &over);
        let told = json!({
            "folder": path, "key": path.join(".ssh/id"), "pid": victim.id(), "secret": SECRET, "other_run": other_run, "free": free,
            "tcp": tcp, "udp": udp, "free_port": free_port, "abstract": unique,
        });
        Outside { folder, victim, told, over }
    }

    /// Everything that an attack could have changed.
    fn state(&mut self) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        let mut open = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let data = entry.metadata().expect("is there");
                if data.is_dir() {
                    open.push(entry.path());
                }
                let content = if data.is_file() { std::fs::read(entry.path()).expect("reads") } else { Vec::new() };
                let changed = (data.ctime(), data.ctime_nsec());
                state.insert(entry.path().display().to_string(), format!("{content:?} {:o} {changed:?}", data.mode()));
            }
        }
        let pid = self.victim.id();
        let priority = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let priority = priority.rsplit(')').next().unwrap_or_default().split(' ').nth(17).map(str::to_string);
        state.insert("priority".into(), priority.unwrap_or_default());
        state.insert("limits".into(), std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default());
        state.insert("lives".into(), format!("{:?}", self.victim.try_wait()));
        state.insert("mounts".into(), std::fs::read_to_string("/proc/self/mountinfo").expect("reads"));
        state
    }

    /// Processes that were started with our words and are still there.
    fn left_behind(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let entries = std::fs::read_dir("/proc").expect("is there").flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains("attack.py") && line.contains(&folder)).collect()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// Answers everybody who comes with the secret, and visits whoever serves at the last port.
fn serve(folder: &Path, unique: &str, over: &Arc<AtomicBool>) -> (u16, u16, u16) {
    let answer = |mut stream: Box<dyn Write + Send>| drop(stream.write_all(SECRET.as_bytes()));
    let tcp = TcpListener::bind("127.0.0.1:0").expect("listens");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("listens");
    let spare = TcpListener::bind("127.0.0.1:0").expect("listens").local_addr().expect("a port").port();
    let ports = (tcp.local_addr().expect("a port").port(), udp.local_addr().expect("a port").port(), spare);
    let unix = UnixListener::bind(folder.join("socket")).expect("listens");
    let name = SocketAddr::from_abstract_name(unique).expect("a name");
    let hidden = UnixListener::bind_addr(&name).expect("listens");
    let datagrams = UnixDatagram::bind(folder.join("datagrams")).expect("listens");
    std::thread::spawn(move || tcp.incoming().flatten().for_each(|stream| answer(Box::new(stream))));
    std::thread::spawn(move || unix.incoming().flatten().for_each(|stream| answer(Box::new(stream))));
    std::thread::spawn(move || hidden.incoming().flatten().for_each(|stream| answer(Box::new(stream))));
    std::thread::spawn(move || {
        while let Ok((_, from)) = udp.recv_from(&mut [0; 64]) {
            let _ = udp.send_to(SECRET.as_bytes(), from);
        }
    });
    let over = over.clone();
    std::thread::spawn(move || {
        // Kept open until nobody attacks any more.
        let _datagrams = datagrams;
        while !over.load(Ordering::SeqCst) {
            let _ = TcpStream::connect(("127.0.0.1", spare));
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    ports
}

/// When an attack succeeds without a sandbox.
#[derive(Clone, Copy, PartialEq)]
enum Free {
    Always,
    /// Where nothing else of the machine forbids it, as it does for most users.
    Root,
}

/// One attack without a sandbox: whether it succeeded, and what it said.
fn free(attack: &str, other_run: &Path) -> (bool, String) {
    let outside = Outside::new(other_run, true);
    let script = outside.folder.path().join("cwd/attack.py");
    std::fs::write(&script, SCRIPT).expect("writes");
    // With a descriptor that is left open.
    let mut command = Command::new("sh");
    command.args(["-c", "exec python3 \"$@\" 5</dev/null", "sh"]);
    command.arg(&script).arg(attack).arg(outside.told.to_string()).current_dir(outside.folder.path().join("cwd"));
    command.env_clear().env("PATH", fractal::world::sandbox::direct_path()).env("TOKEN", SECRET).env("FRACTAL_TRIAL", "1");
    let mut child =
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let mut printed = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || std::io::copy(&mut printed, &mut std::io::sink()));
    let mut said = String::new();
    // Its words come at its end; those it has left behind may keep the pipe for longer.
    let mut stderr = child.stderr.take().expect("a pipe");
    child.wait().expect("ends");
    let left = outside.left_behind();
    let _ = stderr.read_to_string(&mut said);
    let _ = reader.join();
    let succeeded = if attack == "stay_behind" { !left.is_empty() } else { said.contains("ESCAPED") };
    (succeeded, said)
}

/// One attack inside: why it was stopped.
fn inside(attack: &str, sandbox: &Sandbox, other: &Scratch) -> Result<String, String> {
    let mut outside = Outside::new(other.root(), false);
    let before = outside.state();
    let scratch = sandbox.checkout(&[ScratchFile::plain("attack.py", SCRIPT)]).expect("a scratch folder");
    let folder = scratch.root().parent().expect("is in a folder").to_path_buf();
    let told = outside.told.to_string();
    let argv = ["python3", "attack.py", attack, &told].map(OsString::from).to_vec();
    let time = if attack == "no_end" { SHORT } else { TIME };
    let began = Instant::now();
    let finished = sandbox.run(&scratch, argv, Vec::new(), "", time);
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    let lost = |why: String| Err(format!("{why}: {finished:?}"));
    if took > time + GRACE {
        return lost(format!("it took {took:?}"));
    }
    let left = outside.left_behind();
    if !left.is_empty() {
        return lost(format!("it left {left:?}"));
    }
    let after = outside.state();
    if let Some(changed) = after.iter().find(|(name, state)| before.get(*name) != Some(state)) {
        return lost(format!("it changed {changed:?}"));
    }
    if after.len() != before.len() || other.text("test.py") != SECRET {
        return lost("it took something away or changed the other run".into());
    }
    drop(scratch);
    if folder.exists() {
        return lost("its folder is still there".into());
    }
    stopped(attack, &finished, &said).map_or_else(|| lost("it escaped".into()), Ok)
}

fn stopped(attack: &str, finished: &Finished, said: &str) -> Option<String> {
    match (attack, &finished.exit, finished.breach) {
        (_, _, Some(breach)) => Some(format!("ended: {}", breach.word())),
        ("stay_behind", Exit::Code(0), _) => Some("ended with the run".into()),
        ("no_end", Exit::TimedOut, _) => Some("ended at its time".into()),
        (_, Exit::Code(0), _) => said.trim().strip_prefix("STOPPED ").map(str::to_string),
        (_, Exit::Signal(signal), _) if said.is_empty() => Some(format!("signal {signal}")),
        _ => None,
    }
}

/// Every attack without a sandbox and at every level.
fn attack(attacks: &[(&str, Free)]) {
    let is_root = std::fs::metadata("/proc/self").expect("is there").uid() == 0;
    let config = SandboxConfig { processes: 100, disk_mib: 64, output_mib: 8, ..SandboxConfig::default() };
    let sandboxes = LEVELS.map(|(level, offer)| (level, Sandbox::new("escape", &[], 256 << 20).with(&config).offered(offer)));
    let other = sandboxes[0].1.checkout(&[ScratchFile::plain("test.py", SECRET)]).expect("a scratch folder");
    // A careless program leaves descriptors open for whatever it starts.
    let careless = std::fs::File::open("/").expect("opens");
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("is open");
    let mut lost = Vec::new();
    let mut rows = Vec::new();
    for (name, when) in attacks {
        let (succeeded, said) = free(name, other.root());
        if !succeeded && (*when == Free::Always || is_root) {
            lost.push(format!("{name} does not even succeed without a sandbox: {said}"));
        }
        let mut row = vec![name.replace('_', " "), if succeeded { "succeeds".into() } else { "forbidden here".into() }];
        std::fs::write(other.root().join("test.py"), SECRET).expect("writes");
        for (level, sandbox) in &sandboxes {
            match inside(name, sandbox, &other) {
                Ok(why) => row.push(format!("stopped: {why}")),
                Err(why) => {
                    lost.push(format!("{name} at `{level}`: {why}"));
                    row.push("ESCAPED".into());
                }
            }
        }
        rows.push(format!("| {} |\n", row.join(" | ")));
    }
    let table = rows.concat();
    let _ = writeln!(
        std::io::stdout(),
        "\n| attack | free | {} |\n|---|---|---|---|---|\n{table}",
        LEVELS.map(|(level, _)| level).join(" | ")
    );
    assert!(lost.is_empty(), "{}", lost.join("\n\n"));
}

macro_rules! attacks {
    ($($test:ident: $($name:ident $when:ident),*;)*) => {
        $(#[test] fn $test() { attack(&[$((stringify!($name), Free::$when)),*]) })*
        /// The attacks of all tests.
        const ALL: &[&str] = &[$($(stringify!($name)),*),*];
    };
}

attacks! {
    files_outside_are_not_read: read_ssh_key Always, read_git_directory Always, read_store Always, read_other_run Always, list_home Always,
        read_by_symlink Always, read_by_hard_link Always, own_root_of_proc Always, root_of_others Root, cwd_of_others Root;
    files_outside_are_not_changed: create_file Always, change_file Always, truncate_file Always, remove_file Always, rename_file Always,
        take_file Always, write_hook Always, write_store Always, change_grader Always;
    modes_and_times_of_files_outside_are_not_changed: change_mode Always, change_times Always, change_attribute Always, change_owner Always,
        change_system_file Always, mode_by_symlink_race Always, kernel_settings Root;
    processes_outside_keep_their_secrets: environment_of_others Always, own_environment Always, command_lines Always, memory_by_proc Root,
        memory_of_parent Root, memory_by_call Root, trace Root, inherited_descriptors Always, knows_that_it_is_tried Always;
    processes_outside_are_not_touched: terminate Always, terminate_thread Always, terminate_group Always, signal_by_descriptor Always,
        limit_other Always, starve_other Always;
    nobody_outside_is_reached: tcp Always, tcp_serve Always, udp Always, unix_socket Always, abstract_socket Always,
        datagram_from_pair Always, raw_socket Root, netlink Always;
    the_kernel_gives_nothing_away: user_namespace Root, user_namespace_by_clone Root, io_uring Root, keyring Root, berkeley_filter Root,
        shared_memory_that_stays Always, capabilities Always;
    no_run_takes_the_machine_for_itself: many_processes Always, many_threads Always, fork_bomb Always, much_memory Always,
        much_memory_in_many Always, much_memory_without_name Always;
    no_run_fills_the_disk_or_floods_us: much_disk Always, much_disk_without_name Always, one_big_file Always, much_output Always;
    no_run_outlives_its_end: no_end Always, stay_behind Always;
}

#[test]
fn every_attack_of_the_script_is_tried() {
    let defined = SCRIPT.lines().filter_map(|line| line.strip_prefix("def ")?.strip_suffix("():"));
    let missing: Vec<&str> = defined.filter(|name| *name != "others" && !ALL.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_a_run_puts_in_the_place_of_its_results_is_not_followed() {
    let outside: PathBuf = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder").keep();
    std::fs::write(outside.join("key"), SECRET).expect("writes");
    for (_, offer) in LEVELS {
        let sandbox = Sandbox::new("escape", &[], 256 << 20).offered(offer);
        let scratch = sandbox.checkout(&[]).expect("a scratch folder");
        let key = outside.join("key").display().to_string();
        let script =
            format!("ln -s {key} link; mkfifo pipe; ln -s {} folder; echo fine > result; mkdir inner", outside.display());
        let finished = sandbox.run(&scratch, ["sh", "-c", &script].map(OsString::from).to_vec(), Vec::new(), "", TIME);
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
        assert_eq!(std::fs::read_to_string(scratch.root().join("link")).expect("an open follows it"), SECRET);
        assert_eq!(scratch.text("result"), "fine\n");
        for place in ["link", "pipe", "folder/key", "inner", "../../../../../../etc/passwd", &key] {
            assert!(scratch.read(place).is_err(), "{place}");
        }
    }
    std::fs::remove_dir_all(outside).expect("removes");
}
