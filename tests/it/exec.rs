//! `fractal exec` must not be noticeable: streams, signals, terminals, exit codes and time, with the real program.
//!
//! Deliberately not here: what is in a recording. The tests under "Recording" only check what a caller sees of one that
//! cannot be made.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// What "at once" may mean on a busy machine.
const SOON: Duration = Duration::from_secs(3);

/// A committed repository with one tool, `x`.
struct Repository {
    folder: TempDir,
}

impl Repository {
    /// `x` is a shell script.
    fn with_script(script: &str) -> Repository {
        Repository::with_tool("x.sh", script, r#"run = ["sh", "x.sh"]"#)
    }

    fn with_tool(file: &str, text: &str, declaration: &str) -> Repository {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(file), text).expect("writes the tool");
        let config = format!("[[tool]]\nname = \"x\"\npaths = [\"{file}\"]\n{declaration}\n");
        fs::write(folder.path().join("fractal.toml"), config).expect("writes the configuration");
        let repository = Repository { folder };
        for args in [&["init", "-q"][..], &["add", "."], &["commit", "-q", "-m", "tools"]] {
            let status = repository.hermetic(Command::new("git")).args(args).status().expect("git runs");
            assert!(status.success(), "git {args:?}");
        }
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In the repository, without the configuration of whoever runs the tests.
    fn hermetic(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FRACTAL") || name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let who =
            [("GIT_AUTHOR_NAME", "T"), ("GIT_AUTHOR_EMAIL", "t@t"), ("GIT_COMMITTER_NAME", "T"), ("GIT_COMMITTER_EMAIL", "t@t")];
        command.envs(who).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `fractal exec x -- ARGS…`
    fn exec(&self, args: &[&str]) -> Command {
        let mut command = self.hermetic(Command::new(env!("CARGO_BIN_EXE_fractal")));
        command.args(["exec", "x", "--"]).args(args);
        command
    }

    /// A shell script in which `"$F" exec x` runs the tool.
    fn shell(&self, script: &str) -> Command {
        let mut command = self.hermetic(Command::new("sh"));
        command.args(["-c", script]).env("F", env!("CARGO_BIN_EXE_fractal"));
        command
    }

    /// What `script` (Python, see [`DRIVER`]) sees of the tool's run in a terminal.
    fn in_terminal(&self, script: &str) -> String {
        let mut command = self.hermetic(Command::new("python3"));
        command.args(["-c", &format!("{DRIVER}\n{script}\nfinish()"), env!("CARGO_BIN_EXE_fractal"), "exec", "x"]);
        let output = finished(command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }
}

/// Runs its arguments in a terminal of 33 by 77 characters. `until(text)` waits for output, `keys(bytes)` types,
/// `resize(rows, columns)` does that; what was seen and the exit code are printed in the end.
const DRIVER: &str = r#"
import fcntl, os, pty, struct, sys, termios
def resize(rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
go, ready = os.pipe()
child, terminal = pty.fork()
if child == 0:
    os.read(go, 1)
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def more():
    global seen
    try:
        part = os.read(terminal, 4096)
    except OSError:
        part = b""
    seen += part
    return part
def until(text):
    while text not in seen and more():
        pass
def keys(text):
    os.write(terminal, text)
def finish():
    while more():
        pass
    print(seen.decode(), "exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
resize(33, 77)
os.write(ready, b"x")
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value of `work`, which must come before our patience ends.
fn patiently<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(PATIENCE).expect("ends in time")
}

fn finished(mut command: Command) -> Output {
    patiently(move || command.output().expect("starts"))
}

/// Its end, not the end of its output.
fn ended(mut child: Child) -> ExitStatus {
    patiently(move || child.wait().expect("is a child"))
}

/// The child, once it has written the line `ready`, and what it writes afterwards.
fn ready(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.spawn().expect("starts");
    let mut output = BufReader::new(child.stdout.take().expect("has an output"));
    let mut line = String::new();
    output.read_line(&mut line).expect("writes");
    assert_eq!(line, "ready\n");
    (child, output)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the child is there");
}

/// A background job of a script ignores SIGINT, and so does everything below it: then there is nothing to test.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap_or("0");
    u64::from_str_radix(mask, 16).unwrap_or(0) >> (signal.as_raw() - 1) & 1 == 1
}

// Streams.

#[test]
fn binary_data_passes_unchanged_in_both_directions() {
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    assert_eq!(data.iter().collect::<std::collections::HashSet<_>>().len(), 256);
    let repository = Repository::with_script("tee /dev/stderr");
    let mut child = repository.exec(&[]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("has an input");
    let input = data.clone();
    thread::spawn(move || stdin.write_all(&input));
    let output = patiently(move || child.wait_with_output().expect("runs"));
    assert!(output.status.success());
    assert!(output.stdout == data, "standard output differs");
    assert!(output.stderr == data, "standard error differs");
}

#[test]
fn large_output_passes_in_bounded_memory() {
    let repository = Repository::with_script("head -c 50000000 /dev/zero\ngrep VmHWM /proc/$PPID/status >&2");
    let output = finished(repository.exec(&[]));
    assert_eq!(output.stdout.len(), 50_000_000);
    let peak: u64 = text(&output.stderr).split_whitespace().nth(1).expect("a size").parse().expect("a number");
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[test]
fn output_comes_while_the_tool_still_runs() {
    let (mut child, _output) = ready(Repository::with_script("echo ready; exec sleep 60").exec(&[]));
    assert!(child.try_wait().expect("is a child").is_none());
    send(&child, Signal::TERM);
    assert_eq!(ended(child).signal(), Some(15));
}

#[test]
fn a_reader_that_closes_early_ends_the_tool() {
    let repository = Repository::with_script("exec yes");
    let mut child = repository.exec(&[]).spawn().expect("starts");
    let mut two = [0; 2];
    child.stdout.take().expect("has an output").read_exact(&mut two).expect("writes");
    assert_eq!((&two, ended(child).signal()), (b"y\n", Some(13)));
    assert_eq!(text(&finished(repository.shell(r#""$F" exec x | head -n 1"#)).stdout), "y\n");
}

#[test]
fn output_that_could_not_be_written_is_no_success() {
    let repository = Repository::with_script("echo precious");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("is there");
    let mut command = repository.exec(&[]);
    command.stdout(full);
    let mut child = command.spawn().expect("starts");
    let mut said = String::new();
    child.stderr.take().expect("has an error output").read_to_string(&mut said).expect("reads");
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(ended(child).code(), Some(1));
}

#[test]
fn a_file_as_input_keeps_the_offset_that_is_shared_with_the_next_command() {
    let repository = Repository::with_script("read -r line; echo \"first: $line\"");
    fs::write(repository.path("input"), "one\ntwo\nthree\n").expect("writes");
    let output = finished(repository.shell(r#"{ "$F" exec x; cat; } < input"#));
    assert_eq!(text(&output.stdout), "first: one\ntwo\nthree\n");
}

#[test]
fn a_tool_that_does_not_read_its_input_does_not_wait_for_the_end_of_it() {
    let repository = Repository::with_script("exit 3");
    let mut child = repository.exec(&[]).stdin(Stdio::piped()).spawn().expect("starts");
    let open = child.stdin.take();
    assert_eq!(ended(child).code(), Some(3));
    drop(open);
}

#[test]
fn whoever_feeds_a_tool_that_closes_its_input_learns_it_while_the_tool_runs() {
    let repository = Repository::with_script("exec <&-; echo ready; exec sleep 60");
    let mut command = repository.exec(&[]);
    command.stdin(Stdio::piped());
    let (mut child, _output) = ready(command);
    let mut stdin = child.stdin.take().expect("has an input");
    let error = patiently(move || std::iter::repeat_with(|| stdin.write_all(&[0; 4096])).find_map(Result::err));
    assert_eq!(error.map(|error| error.kind()), Some(std::io::ErrorKind::BrokenPipe));
    send(&child, Signal::TERM);
    ended(child);
}

#[test]
fn background_processes_of_the_tool_do_not_hold_it_up_and_can_still_write() {
    let repository = Repository::with_script("(sleep 4; echo late) &\necho ready");
    let start = Instant::now();
    let (child, mut output) = ready(repository.exec(&[]));
    assert_eq!(ended(child).code(), Some(0));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let later = patiently(move || {
        let mut later = String::new();
        output.read_to_string(&mut later).map(|_| later).expect("reads")
    });
    assert_eq!(later, "late\n");
}

// Surroundings.

#[test]
fn the_tool_has_our_folder_environment_arguments_and_process_group() {
    let script =
        "pwd -P; echo \"$COLOUR\"; printf '<%s>' \"$@\"; echo\ncut -d' ' -f5 /proc/$$/stat /proc/$PPID/stat | uniq | wc -l";
    let repository = Repository::with_script(script);
    fs::create_dir(repository.path("below")).expect("creates");
    let mut command = repository.exec(&["a b", "", "--c", "*"]);
    let output = finished({
        command.current_dir(repository.path("below")).env("COLOUR", "green");
        command
    });
    let below = fs::canonicalize(repository.path("below")).expect("is there");
    assert_eq!(text(&output.stdout), format!("{}\ngreen\n<a b><><--c><*>\n1\n", below.display()));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_tool_sees_a_terminal_of_the_right_size_when_we_have_one() {
    let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal\nstty size <&1; stty size <&2; exit 9";
    let seen = Repository::with_script(script).in_terminal("");
    assert_eq!(seen, "terminal\r\n33 77\r\n33 77\r\n exit 9\n");
}

#[test]
fn the_tool_sees_no_terminal_on_a_stream_that_is_none() {
    let repository = Repository::with_script("test -t 1 || echo no terminal; test -t 2 || echo none >&2");
    let output = finished(repository.exec(&[]));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("no terminal\n".to_owned(), "none\n".to_owned()));
}

#[test]
fn a_new_size_of_the_terminal_reaches_the_tool() {
    let script = "trap 'test \"$(stty size <&2)\" = \"20 40\" && exit 6' WINCH; echo ready; while :; do sleep 0.05; done";
    let seen = Repository::with_script(script).in_terminal("until(b'ready')\nresize(20, 40)");
    assert_eq!(seen, "ready\r\n exit 6\n");
}

#[test]
fn an_interrupt_from_the_keyboard_reaches_the_tool_once() {
    if is_ignored(Signal::INT) {
        return;
    }
    let script = "trap 'echo interrupted; n=1' INT; echo ready; until test \"$n\"; do sleep 0.05; done; sleep 0.5; exit 4";
    let seen = Repository::with_script(script).in_terminal("until(b'ready')\nkeys(b'\\x03')");
    assert_eq!(seen.matches("interrupted").count(), 1, "{seen}");
    assert!(seen.ends_with("exit 4\n"), "{seen}");
}

// Ends.

#[test]
fn the_exit_code_of_the_tool_is_ours() {
    let repository = Repository::with_script("exit $1");
    for code in [0, 1, 2, 3, 77, 100, 124, 126, 127, 128, 130, 255] {
        let output = finished(repository.exec(&[&code.to_string()]));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    }
}

#[test]
fn we_die_by_the_signal_that_ended_the_tool_and_leave_no_core_dump() {
    let repository = Repository::with_script("kill -$1 $$; sleep 60");
    for signal in [1, 2, 6, 9, 11, 13, 15] {
        // Under `nohup`, or in the background of a script.
        if signal == 1 && is_ignored(Signal::HUP) || signal == 2 && is_ignored(Signal::INT) {
            continue;
        }
        let status = finished(repository.exec(&[&signal.to_string()])).status;
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal), false), "{status}");
    }
}

#[test]
fn signals_sent_to_us_reach_the_tool_and_its_answer_comes_back() {
    let script = "for s in INT TERM HUP USR1 USR2; do trap \"echo $s; exit 42\" $s; done\n\
                  echo ready; while :; do sleep 0.05; done";
    let repository = Repository::with_script(script);
    let all =
        [("INT", Signal::INT), ("TERM", Signal::TERM), ("HUP", Signal::HUP), ("USR1", Signal::USR1), ("USR2", Signal::USR2)];
    for (name, signal) in all.into_iter().filter(|(_, signal)| !is_ignored(*signal)) {
        let (child, mut output) = ready(repository.exec(&[]));
        send(&child, signal);
        assert_eq!(ended(child).code(), Some(42), "{name}");
        let mut said = String::new();
        output.read_to_string(&mut said).expect("reads");
        assert_eq!(said, format!("{name}\n"));
    }
}

#[test]
fn a_signal_that_our_parent_ignores_is_ignored_by_the_tool_as_well() {
    let repository = Repository::with_script("kill -HUP $$; echo alive");
    let output = finished(repository.shell(r#"trap '' HUP; exec "$F" exec x"#));
    assert_eq!(text(&output.stdout), "alive\n");
}

/// Also recorded, as an error: nothing that counts against the tool.
#[test]
fn a_missing_program_gives_127_and_says_so() {
    let repository = Repository::with_tool("x", "", r#"run = ["no-such-program-anywhere"]"#);
    let output = finished(repository.exec(&[]));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(127), String::new()));
    let said = text(&output.stderr);
    assert!(said.starts_with("fractal: ") && said.contains("no-such-program-anywhere") && said.contains("not found"), "{said}");
}

#[test]
fn a_program_that_may_not_be_executed_gives_126_and_says_so() {
    let repository = Repository::with_tool("x.sh", "echo never", r#"run = ["x.sh"]"#);
    let output = finished(repository.exec(&[]));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(126), String::new()));
    assert!(text(&output.stderr).starts_with("fractal: "), "{}", text(&output.stderr));
}

#[test]
fn an_executable_script_without_a_first_line_that_names_a_shell_runs_as_it_does_from_a_shell() {
    let repository = Repository::with_tool("x.sh", "echo \"$1\"; exit 8", r#"run = ["x.sh"]"#);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(repository.path("x.sh"), executable).expect("may change it");
    let output = finished(repository.exec(&["hello"]));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(8), "hello\n".to_owned()));
}

#[test]
fn a_time_limit_ends_a_tool_that_hangs_and_everything_it_started() {
    let script = "trap '' TERM; echo ready; sleep 60 & sleep 60; echo never";
    let repository = Repository::with_tool("x.sh", script, "run = [\"sh\", \"x.sh\"]\ntimeout = \"1s\"");
    // Its output ends, too: nobody is left to hold it.
    let output = finished(repository.exec(&[]));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(124), "ready\n".to_owned()));
}

#[test]
fn a_tool_that_ends_within_its_time_limit_is_left_alone() {
    let repository = Repository::with_tool("x.sh", "sleep 0.2; exit 5", "run = [\"sh\", \"x.sh\"]\ntimeout = \"20s\"");
    assert_eq!(finished(repository.exec(&[])).status.code(), Some(5));
}

#[test]
fn a_python_tool_that_hangs_says_where() {
    let program = "import time\ndef waits_for_ever():\n    time.sleep(60)\nwaits_for_ever()\n";
    let repository = Repository::with_tool("x.py", program, "run = [\"python3\", \"x.py\"]\ntimeout = \"2s\"");
    let output = finished(repository.exec(&[]));
    assert_eq!(output.status.code(), Some(124));
    assert!(text(&output.stderr).contains("line 3 in waits_for_ever"), "{}", text(&output.stderr));
}

// Recording.

/// The tool's own output and exit code, and our one line.
fn assert_only_the_recording_failed(output: &Output) {
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), "result\n".to_owned()), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.starts_with("complaint\n"), "{said}");
    let ours: Vec<&str> = said.lines().skip(1).collect();
    assert!(matches!(ours[..], [line] if line.starts_with("fractal: this run was not recorded: ")), "{said}");
}

#[test]
fn a_store_that_cannot_be_created_changes_nothing_and_is_said_once() {
    let repository = Repository::with_script("echo complaint >&2; echo result; exit 7");
    fs::write(repository.path(".git/fractal"), "in the way").expect("writes");
    assert_only_the_recording_failed(&finished(repository.exec(&[])));
}

#[test]
fn a_disk_that_takes_no_more_changes_nothing_and_is_said_once() {
    let repository = Repository::with_script("echo complaint >&2; echo result; exit 7");
    assert_only_the_recording_failed(&finished(repository.shell(r#"ulimit -f 0; exec "$F" exec x"#)));
}
