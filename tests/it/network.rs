//! Agents with a client of their own for the network: whom they reach, whom they do not, what is kept of their keys, and that nothing of it
//! outlives them. Real programs in real namespaces.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fractal::config::{Config, Endpoint};
use fractal::model::Exit;
use fractal::world::agent::{self, Ran, Reach, Task};
use fractal::world::sandbox::Sandbox;

use crate::between::{Proxy, tls_front};
use crate::common::patiently;
use crate::model::{RIGHT, configure, events, failing, outcomes};
use crate::oracle::{KEY, Oracle, Say};
use crate::peers::or_not_run;
use crate::sandbox::{NO_NAMESPACES, OLDER};
use crate::server::make_certificates;
use crate::support::{MOMENTS, Repository, executable, text};

/// An agent with a client of its own. This is what the README shows, with another address.
const SAMPLE: &str = r#"#!/usr/bin/env python3
import json, os, pathlib, urllib.request
brief = pathlib.Path(os.environ["FRACTAL_BRIEF"]).read_text()
question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": brief}]}
headers = {"Authorization": "Bearer " + os.environ["SAMPLE_KEY"], "Content-Type": "application/json"}
request = urllib.request.Request("ADDRESS/chat/completions", json.dumps(question).encode(), headers)
answer = json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]["message"]["content"]
tool = pathlib.Path("tools/duration.py")
tool.write_text(tool.read_text().replace('"m": 60}', '"m": 60, "h": ' + answer + '}'))
"#;

fn with_agent(script: &str, endpoints: &[&str], more: &str) -> Repository {
    let repository = failing();
    let program = repository.beside("agent");
    std::fs::create_dir_all(&program).expect("makes a folder");
    let program = program.join("agent.py");
    executable(&program, script);
    let settings = format!(
        "{MOMENTS}[improve]\nstrategies = [\"agent\"]\n\n[agent]\ncommand = [\"{}\"]\nname = \"sample\"\ntime = \"30s\"\nusd = 0.05\n\
         network = \"endpoints\"\nendpoints = {endpoints:?}\n{more}\n",
        program.display()
    );
    configure(&repository, &settings);
    repository
}

/// One cycle with a key in the environment.
fn cycle(repository: &Repository, environment: &[(&str, &str)]) -> String {
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let command = command.env("SAMPLE_KEY", KEY).env("FRACTAL_LOG", "debug").envs(environment.iter().copied());
    let done = command.args(["run", "--json"]).output().expect("runs");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    text(&done.stdout) + &text(&done.stderr)
}

fn place(address: &str) -> &str {
    address.trim_start_matches("http://").split('/').next().unwrap_or_default()
}

/// Nothing of the repository, its home and what was printed has the value, however it is packed.
#[track_caller]
fn is_nowhere(repository: &Repository, value: &str, printed: &str) {
    assert!(!printed.contains(value), "printed: {printed}");
    for (path, bytes) in repository.everything() {
        // Git's own names for what git packs are looked at below.
        assert!(!text(&bytes).contains(value), "{}", path.display());
    }
    let objects = repository.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    for object in objects.lines() {
        let content = repository.try_git(&["cat-file", "-p", object]).stdout;
        assert!(!text(&content).contains(value), "object {object}");
    }
}

#[test]
fn the_readme_shows_this_agent() {
    let shown = SAMPLE.replace("ADDRESS", "https://api.openai.com/v1");
    assert!(include_str!("../../README.md").contains(&format!("```python\n{shown}```")));
}

#[test]
fn an_agent_reaches_its_endpoint_and_repairs_and_its_key_is_kept_nowhere() {
    let oracle = Oracle::always(Say::Text("3600".into()));
    let script = SAMPLE.replace("ADDRESS", &oracle.address) + "print('my key is ' + os.environ['SAMPLE_KEY'])\n";
    let repository = with_agent(&script, &[place(&oracle.address)], "env = [\"SAMPLE_KEY\"]");
    let printed = cycle(&repository, &[]);
    assert_eq!(repository.stage(), "proposed", "{:#?} {:?}", repository.improvement(), outcomes(&repository));
    assert_eq!(oracle.asked().len(), 1);
    let asked = &oracle.asked()[0];
    assert!(asked.headers.contains(&("host".into(), place(&oracle.address).into())), "{asked:?}");
    let [branch] = &repository.branches()[..] else { panic!("{:?}", repository.branches()) };
    assert!(repository.git(&["show", &format!("{branch}:tools/duration.py")]).contains(RIGHT));
    let files = repository.git(&["show", "--name-only", "--format=", branch]);
    let notes = files.lines().find(|path| path.starts_with(".fractal/notes/")).expect("notes");
    let notes = repository.git(&["show", &format!("{branch}:{notes}")]);
    for part in
        ["agent `sample`", "my key is [redacted]", "0.05", &format!("[network] {}: connections 1", place(&oracle.address))]
    {
        assert!(notes.contains(part), "no `{part}` in {notes}");
    }
    is_nowhere(&repository, KEY, &printed);
}

#[test]
fn a_patch_with_the_key_in_it_is_thrown_away() {
    let packed = ["key", "__import__('base64').b64encode(key.encode()).decode()", "key.encode().hex()"];
    for way in packed {
        let edit = "import os, pathlib\nkey = os.environ['SAMPLE_KEY']\ntool = pathlib.Path('tools/duration.py')\n";
        let edit = format!("#!/usr/bin/env python3\n{edit}tool.write_text(tool.read_text() + '# ' + {way} + '\\n')\n");
        let repository = with_agent(&edit, &["127.0.0.1:9"], "env = [\"SAMPLE_KEY\"]");
        let printed = cycle(&repository, &[]);
        let said = outcomes(&repository).join("\n");
        assert!(said.contains("with the value of a variable of `[agent] env` in it"), "{way}: {said}");
        assert!(events(&repository, "judged").is_empty() && repository.branches().is_empty(), "{way}");
        is_nowhere(&repository, KEY, &printed);
    }
}

#[test]
fn an_agent_that_wants_to_reach_somebody_else_is_refused_and_it_is_told() {
    let script = "#!/usr/bin/env python3\nimport urllib.request\nfor url in ['http://telemetry.example.com/x', 'https://api.example.com/',\n\
                  'https://169.254.169.254/latest', 'https://10.0.0.1:8443/', 'http://plain.example.com/']:\n    try:\n        \
                  urllib.request.urlopen(url, timeout=9)\n    except Exception as error:\n        print(error, flush=True)\nraise SystemExit(3)\n";
    let repository = with_agent(script, &["plain.example.com:80"], "");
    cycle(&repository, &[]);
    let said = outcomes(&repository).join("\n");
    for part in ["abstains; it wanted to reach", "which is not among `[agent] endpoints`", "; 5 refusals in all"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let kept = events(&repository, "asked")[0]["asking"]["said"].as_str().unwrap_or_default().to_string();
    for place in ["telemetry.example.com", "api.example.com:443", "169.254.169.254:443", "10.0.0.1:8443"] {
        assert!(kept.contains(&format!("[network] refused: `{place}` is not among `[agent] endpoints`")), "no {place} in {kept}");
    }
    assert!(
        kept.contains("`plain.example.com` is among `[agent] endpoints`, but not for requests that are not encrypted"),
        "{kept}"
    );
    assert!(kept.contains("HTTP Error 403: Forbidden") && kept.contains("Tunnel connection failed: 403 Forbidden"), "{kept}");
}

#[test]
fn an_agent_without_its_key_is_not_run_and_the_reason_is_told() {
    let repository = with_agent("#!/bin/sh\nexit 3\n", &["127.0.0.1:9"], "env = [\"SAMPLE_KEY\", \"SAMPLE_ORGANISATION\"]");
    cycle(&repository, &[]);
    let reason = repository.improvement()["reason"].as_str().unwrap_or_default().to_string();
    assert!(reason.contains("the agent was not run: `SAMPLE_ORGANISATION`, which `[agent] env` names, is not set"), "{reason}");
    assert!(outcomes(&repository).is_empty());
}

// ---- the outlet by itself ----

/// An agent that is this script, for at most `time`.
fn run(script: &str, endpoints: &[&str], bytes: u64, env: &[(&str, &str)], time: Duration) -> Ran {
    run_in(&Sandbox::new("network", &[], 1 << 30), script, endpoints, bytes, env, time)
}

fn run_in(sandbox: &Sandbox, script: &str, endpoints: &[&str], bytes: u64, env: &[(&str, &str)], time: Duration) -> Ran {
    let command = ["python3", "-c", script].map(String::from);
    let endpoints = endpoints.iter().map(|text| Endpoint::parse(text).expect("an endpoint")).collect();
    let env: Vec<(String, String)> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let reach = Some(Reach { endpoints, bytes });
    let task = Task { files: &[], command: &command, brief: "", env: &env, reach, memory: 1 << 30, time };
    agent::run(sandbox, &task, |_| false, None).expect("runs")
}

const LONG: Duration = Duration::from_secs(30);

/// A server that answers every connection with these bytes, or with bytes for ever; counts connections.
fn server(answer: Option<&'static [u8]>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (place, count) = (listener.local_addr().expect("has one").to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || drop(answered(stream, answer)));
        }
    });
    (place, count)
}

fn answered(mut stream: TcpStream, answer: Option<&[u8]>) -> std::io::Result<()> {
    if stream.read(&mut [0; 4096])? == 0 {
        return Ok(());
    }
    match answer {
        Some(answer) => stream.write_all(answer),
        None => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[test]
fn nothing_but_the_proxy_is_reached_from_inside() {
    let (place, count) = server(Some(OK));
    let port = place.rsplit_once(':').expect("a port").1.to_string();
    let script = format!(
        "import os, socket, urllib.request\n\
         for target in [('127.0.0.1', {port}), ('192.0.2.1', 80), ('::1', {port}), ('::1', 3128)]:\n    try:\n        \
         socket.create_connection(target, 5)\n        print('REACHED', target)\n    except OSError as error:\n        print(error)\n\
         try:\n    socket.getaddrinfo('example.com', 80)\n    print('REACHED a resolver')\nexcept OSError as error:\n    print(error)\n\
         try:\n    socket.socket(socket.AF_UNIX)\n    print('REACHED a unix socket')\nexcept OSError as error:\n    print(error)\n\
         print(urllib.request.urlopen('http://{place}/').read(), os.environ['https_proxy'], repr(os.environ['NO_PROXY']))\n"
    );
    let ran = run(&script, &[&place], 1 << 20, &[], LONG);
    let said = text(&ran.printed);
    assert_eq!(ran.exit, Some(Exit::Code(0)), "{said}");
    assert!(!said.contains("REACHED") && said.contains("b'ok' http://127.0.0.1:3128 ''"), "{said}");
    assert_eq!((count.load(Ordering::SeqCst), ran.traffic.refusals), (1, 0));
    let [(reached, [1, sent, received])] = &ran.traffic.reached.clone().into_iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", ran.traffic)
    };
    assert!(*reached == place && *sent > 30 && *received == OK.len() as u64, "{:?}", ran.traffic);
}

#[test]
fn a_run_without_an_outlet_finds_nobody_there() {
    let sandbox = Sandbox::new("network", &[], 1 << 30);
    let command = [
        "python3",
        "-c",
        "import os, socket\nprint(os.environ.get('https_proxy'))\nsocket.create_connection(('127.0.0.1', 3128), 5)",
    ];
    let command = command.map(String::from);
    let task = Task { files: &[], command: &command, brief: "", env: &[], reach: None, memory: 1 << 30, time: LONG };
    let ran = agent::run(&sandbox, &task, |_| false, None).expect("runs");
    assert!(text(&ran.printed).contains("None") && text(&ran.printed).contains("Connection refused"), "{}", text(&ran.printed));
}

#[test]
fn without_a_network_of_its_own_it_is_not_run_at_all() {
    for offer in [NO_NAMESPACES, OLDER] {
        let sandbox = Sandbox::new("network", &[], 1 << 30).offered(offer);
        let ran = run_in(&sandbox, "print('ran')", &["127.0.0.1:9"], 1, &[], LONG);
        let Some(Exit::NotStarted(why)) = &ran.exit else { panic!("{ran:?}") };
        assert!(why.contains("would not be kept from reaching others") && why.contains("`namespaces`"), "{why}");
        assert!(ran.printed.is_empty());
    }
}

#[test]
fn what_is_encrypted_goes_through_a_tunnel_and_stays_encrypted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (behind, count) = server(Some(OK));
    let made = make_certificates(folder.path()).then(|| tls_front(folder.path(), &behind));
    let Some(port) = or_not_run(made, "openssl") else { return };
    let authority = std::fs::read_to_string(folder.path().join("ca.crt")).expect("reads");
    let script = format!(
        "import ssl, urllib.request\ncontext = ssl.create_default_context(cadata='''{authority}''')\n\
         print(urllib.request.urlopen('https://localhost:{port}/', context=context, timeout=20).read())\n"
    );
    let ran = run(&script, &[&format!("localhost:{port}")], 1 << 20, &[], LONG);
    assert!(text(&ran.printed).contains("b'ok'"), "{} {:?}", text(&ran.printed), ran.traffic);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn the_way_goes_through_the_proxy_outside_where_the_environment_names_one() {
    let proxy = Proxy::wanting(Some("Basic YW5hOnB3IzE="));
    let (script, through) = (
        "#!/usr/bin/env python3\nimport urllib.request\ntry:\n    urllib.request.urlopen('https://api.example.invalid/', timeout=20)\n\
         except Exception as error:\n    print(error)\nraise SystemExit(3)\n",
        format!("http://ana:pw%231@{}", proxy.address),
    );
    let repository = with_agent(script, &["api.example.invalid"], "");
    let printed = cycle(&repository, &[("HTTPS_PROXY", &through), ("NO_PROXY", "other.example.com")]);
    assert_eq!(proxy.asked(), ["CONNECT api.example.invalid:443 HTTP/1.1"]);
    is_nowhere(&repository, "pw%231", &printed);
    let repository = with_agent(script, &["api.example.invalid"], "");
    cycle(&repository, &[("HTTPS_PROXY", &through), ("NO_PROXY", "example.invalid")]);
    let said = outcomes(&repository).join("\n");
    assert!(proxy.asked().len() == 1 && said.contains("`api.example.invalid:443`, which cannot be reached"), "{said}");
}

#[test]
fn traffic_without_end_is_cut_off_and_told() {
    let (place, _) = server(None);
    let script = format!(
        "import urllib.request\ntry:\n    print(len(urllib.request.urlopen('http://{place}/').read()))\nexcept Exception as error:\n    \
         print('cut', error)\ntry:\n    urllib.request.urlopen('http://{place}/')\nexcept Exception as error:\n    print(error)\n"
    );
    let began = Instant::now();
    let ran = run(&script, &[&place], 3 << 20, &[], LONG);
    let said = text(&ran.printed);
    assert!(ran.traffic.over && ran.exit == Some(Exit::Code(0)) && began.elapsed() < LONG, "{said} {:?}", ran.traffic);
    let [_, _, received] = ran.traffic.reached[&place];
    assert!((3 << 20..(3 << 20) + (64 << 10)).contains(&received), "{received}");
    assert!(said.contains("HTTP Error 403"), "nobody is reached any more: {said}");
}

#[test]
fn what_is_no_request_to_a_proxy_is_refused_and_too_many_clients_wait() {
    let (place, count) = server(Some(OK));
    let script = format!(
        "import socket\ndef say(data, more=b''):\n    s = socket.create_connection(('127.0.0.1', 3128), 20)\n    s.sendall(data)\n    \
         return s.makefile('rb').readline()\n\
         print(say(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'), say(b'\\x16\\x03\\x01\\x00\\r\\n\\r\\n'), say(b'a' * 20000))\n\
         print(say(b'POST http://elsewhere.example.com/ HTTP/1.1\\r\\nContent-Length: 600000\\r\\n\\r\\n' + b'y' * 600000))\n\
         print(say(b'GET http://{place}/ HTTP/1.1\\r\\nHost: evil.example.com\\r\\n\\r\\nGET http://evil.example.com/ HTTP/1.1\\r\\n\\r\\n'))\n\
         all = [socket.create_connection(('127.0.0.1', 3128), 20) for _ in range(100)]\n\
         for one in all:\n    one.sendall(b'CONNECT {place} HTTP/1.1\\r\\n\\r\\n')\n\
         print(sum(one.makefile('rb').readline().startswith(b'HTTP/1.1 200') and one.close() is None for one in all))\n"
    );
    let ran = run(&script, &[&place], 8 << 20, &[], LONG);
    let said = text(&ran.printed);
    for part in ["400 Bad Request", "431 Request Header", "403 Forbidden", "200 OK", "\n100\n"] {
        assert!(said.contains(part), "no `{part}` in {said} {:?}", ran.exit);
    }
    assert!(count.load(Ordering::SeqCst) >= 2, "{}", count.load(Ordering::SeqCst));
    assert_eq!(ran.traffic.refused.keys().collect::<Vec<_>>(), ["elsewhere.example.com"], "{:?}", ran.traffic);
}

#[test]
fn an_agent_reserves_as_many_addresses_as_it_likes_and_uses_no_more_memory_than_it_may() {
    let used = |mib: usize| {
        let script = format!(
            "import mmap\nplace = mmap.mmap(-1, 24 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)\n\
             for at in range({mib}):\n    place[at << 20:at + 1 << 20] = bytes([1]) * (1 << 20)\nprint('done')\n"
        );
        let command = ["python3", "-c", &script].map(String::from);
        let task = Task { files: &[], command: &command, brief: "", env: &[], reach: None, memory: 256 << 20, time: LONG };
        agent::run(&Sandbox::new("network", &[], 1 << 30), &task, |_| false, None).expect("runs")
    };
    let little = used(20);
    assert_eq!((little.exit, text(&little.printed).as_str()), (Some(Exit::Code(0)), "done\n"));
    let much = used(4000);
    assert!(much.exit != Some(Exit::Code(0)) && !text(&much.printed).contains("done"), "{much:?}");
}

/// Threads of this process with the outlet's name.
fn outlets() -> usize {
    let all = std::fs::read_dir("/proc/self/task").expect("lists");
    all.flatten().filter(|task| std::fs::read(task.path().join("comm")).is_ok_and(|name| name == b"outlet\n")).count()
}

#[test]
fn when_its_time_is_over_the_agent_and_its_proxy_and_its_connections_end() {
    // By itself in a process of its own: other tests have outlets too.
    let mut command = Command::new(std::env::current_exe().expect("is there"));
    command
        .args(["--exact", "network::in_a_process_of_its_own_everything_ends_with_the_agent", "--nocapture"])
        .env(ALONE, "1")
        .stdin(Stdio::null());
    let done = patiently(move || command.output().expect("runs"));
    assert!(done.status.success() && text(&done.stdout).contains("1 passed"), "{}{}", text(&done.stdout), text(&done.stderr));
}

const ALONE: &str = "FRACTAL_TEST_ALONE";

#[test]
fn in_a_process_of_its_own_everything_ends_with_the_agent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = listener.local_addr().expect("has one").to_string();
    let waiting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("comes");
        let mut all = Vec::new();
        // The end comes when the agent has ended.
        let _ = stream.read_to_end(&mut all);
        all.len()
    });
    let script = format!(
        "import socket, time\ns = socket.create_connection(('127.0.0.1', 3128))\ns.sendall(b'CONNECT {place} HTTP/1.1\\r\\n\\r\\nhello')\n\
         s.recv(100)\nwhile True:\n    time.sleep(60)\n"
    );
    let began = Instant::now();
    let ran = run(&script, &[&place], 1 << 20, &[], Duration::from_secs(2));
    assert_eq!(ran.exit, Some(Exit::TimedOut));
    assert_eq!(patiently(move || waiting.join().expect("ends")), 5);
    assert!(began.elapsed() < LONG);
    if std::env::var_os(ALONE).is_some() {
        assert_eq!(outlets(), 0);
    }
}

#[test]
fn a_key_reaches_the_agent_and_nobody_that_runs_afterwards() {
    let ran = run("import os\nprint(os.environ['SAMPLE_KEY'])", &["127.0.0.1:9"], 1, &[("SAMPLE_KEY", KEY)], LONG);
    assert_eq!(text(&ran.printed).trim(), KEY);
    // Tools and candidates of a repository whose agent has one: the tool fails unless it is set.
    let script = "#!/usr/bin/env python3\nimport pathlib\ntool = pathlib.Path('tools/duration.py')\ntool.write_text('import os\\nassert \
                  \"SAMPLE_KEY\" in os.environ\\n' + tool.read_text().replace('\"m\": 60}', '\"m\": 60, \"h\": 3600}'))\n";
    let repository = with_agent(script, &["127.0.0.1:9"], "env = [\"SAMPLE_KEY\"]");
    cycle(&repository, &[]);
    assert_eq!(repository.stage(), "unsolved", "{:#?}", repository.improvement());
}

#[test]
fn the_configuration_says_what_is_wrong_with_an_endpoint_or_a_variable() {
    let agent =
        |more: &str| Config::parse(&format!("[agent]\ncommand = [\"x\"]\n{more}\n")).map(drop).map_err(|error| error.to_string());
    for (more, part) in [
        ("network = \"endpoints\"", "`agent.endpoints` is empty"),
        ("endpoints = [\"a.example.com\"]", "`agent.network` is not `endpoints`"),
        ("network = \"endpoints\"\nendpoints = [\"*.example.com\"]", "names are exact"),
        ("network = \"endpoints\"\nendpoints = [\"https://a.example.com/v1\"]", "neither a path nor a user"),
        ("env = [\"sk-abcdef\"]", "no name of a variable"),
        ("env = [\"HTTPS_PROXY\"]", "`HTTPS_PROXY`, which is Fractal's own"),
        ("env = [\"FRACTAL_MODEL_KEY\"]", "Fractal's own"),
        ("traffic_mib = 0", "`agent.traffic_mib` is 0"),
        ("memory_mib = 0", "`agent.memory_mib` is 0"),
    ] {
        let why = agent(more).expect_err(more);
        assert!(why.contains(part) && !why.contains("sk-abcdef"), "{more}: {why}");
    }
    assert_eq!(agent("network = \"endpoints\"\nendpoints = [\"a.example.com:443\"]\nenv = [\"A_KEY\"]"), Ok(()));
}

#[test]
fn the_doctor_says_whom_an_agent_can_reach_and_asks_nobody() {
    let (place, count) = server(Some(OK));
    let repository = with_agent("#!/bin/sh\nexit 3\n", &[&place, "nobody.example.invalid"], "env = [\"SAMPLE_KEY\"]");
    let doctor = |environment: &[(&str, &str)]| {
        let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
        let done = command.args(["doctor", "--json"]).envs(environment.iter().copied()).output().expect("runs");
        let said: serde_json::Value =
            serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&done.stderr)));
        let states = said["state"].as_array().expect("a list").iter();
        states
            .filter(|state| state["what"] == "agent")
            .map(|state| state["said"].as_str().expect("text").to_string())
            .collect::<String>()
    };
    let said = doctor(&[("SAMPLE_KEY", KEY)]);
    for part in [format!("`{place}` answers"), "`nobody.example.invalid:443` cannot be reached".into(), "within its list".into()]
    {
        assert!(said.contains(&part), "no `{part}` in {said}");
    }
    assert!(!said.contains(KEY) && count.load(Ordering::SeqCst) <= 1, "{said}");
    assert!(doctor(&[]).contains("`SAMPLE_KEY` is not set"), "{}", doctor(&[]));
    repository.edit("fractal.toml", "[agent]", "[sandbox]\nnamespaces = false\n\n[agent]");
    let said = doctor(&[("SAMPLE_KEY", KEY)]);
    assert!(said.contains("is not run") && said.contains("`[sandbox] namespaces` is `false`"), "{said}");
}
