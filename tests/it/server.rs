//! A private PostgreSQL server, started from the installed programs as an unprivileged user. It ends with the process that started
//! it, however that ends, and leaves nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the server when its standard input ends, which it does with the process that holds the other end; not when it is told "done".
const WATCHDOG: &str = r#"read -r word && exit
kill -QUIT "$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
kill -KILL "$1" 2>/dev/null
rm -rf "$2""#;

/// Everyone is who they say, except `sam`, who must come by TLS and has a password.
const RULES: &str = "local all all trust
hostssl all sam 127.0.0.1/32 scram-sha-256
host all sam 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
";

/// A running server.
pub struct Server {
    programs: PathBuf,
    /// Its own, which it may write.
    pub folder: PathBuf,
    pub port: u16,
    settings: Vec<String>,
    running: Option<(Child, Child)>,
}

/// The folder of the server's programs: through `PATH`, or the newest where systems put them.
pub fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, rest) in
        [("/usr/lib/postgresql", "bin"), ("/usr/local/opt", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr", "bin")]
    {
        let mut versions: Vec<PathBuf> = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        let number = |path: &PathBuf| path.file_name()?.to_str()?.rsplit(['@', '-']).next()?.parse::<u32>().ok();
        versions.retain(|path| number(path).is_some());
        versions.sort_by_key(|path| std::cmp::Reverse(number(path)));
        folders.extend(versions.into_iter().map(|version| version.join(rest)));
    }
    // What is on `PATH` may be a link or a script of its own; the server lies beside the real one.
    let real = |folder: &PathBuf| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_path_buf);
    folders.iter().filter_map(real).find(|folder| folder.join("postgres").is_file())
}

/// Whom the server runs as when we are root, whom PostgreSQL refuses.
fn somebody_else() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    if !users.lines().any(|line| line.starts_with("root:")) || !rustix::process::getuid().is_root() {
        return None;
    }
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("has an address").port()
}

impl Server {
    /// Starts one with these settings; `None` when PostgreSQL is not installed.
    pub fn start(settings: &[&str]) -> Option<Server> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("fractal-pg-").tempdir().expect("a temporary folder").keep();
        let mut server = Server {
            programs,
            folder,
            port: free_port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            running: None,
        };
        server.initialise();
        server.run();
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(if program == "sh" { "/bin/sh".into() } else { self.programs.join(program) });
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(&self.folder);
        if let Some((user, group)) = somebody_else() {
            command.uid(user).gid(group);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn initialise(&self) {
        let other = somebody_else();
        let give = |path: &Path| other.map(|(user, group)| chown(path, Some(user), Some(group)).expect("gives"));
        give(&self.folder);
        let data = self.folder.join("data");
        let mut command = self.command("initdb");
        command.arg("-D").arg(&data).args(["-U", "fractal", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let done = command.stderr(Stdio::piped()).output().expect("initdb runs");
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        fs::write(data.join("pg_hba.conf"), RULES).expect("writes");
        if make_certificates(&self.folder) {
            for name in ["server.crt", "server.key"] {
                let path = self.folder.join(name);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("sets the mode");
                give(&path);
            }
        }
    }

    /// Runs the server until it answers.
    pub fn run(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder).args(["-p", &self.port.to_string()]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=64MB"]);
            if self.has_tls() {
                let file = |name: &str| self.folder.join(name).display().to_string();
                command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", file("server.crt"))]);
                command.args(["-c", &format!("ssl_key_file={}", file("server.key"))]);
            }
            command.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
            let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("makes the log");
            let mut server = command.stderr(log).spawn().expect("starts");
            let mut watchdog = self.command("sh");
            watchdog.args(["-c", WATCHDOG, "sh", &server.id().to_string()]).arg(&self.folder);
            let watchdog = watchdog.stdin(Stdio::piped()).spawn().expect("starts");
            // It may not come up: of a server that was killed, a process may still hold the memory.
            while server.try_wait().expect("is a child").is_none() {
                if ask(&self.address("postgres"), "select 1").is_ok() {
                    self.running = Some((server, watchdog));
                    return;
                }
                assert!(Instant::now() < until, "no server: {}", self.log());
                std::thread::sleep(Duration::from_millis(20));
            }
            dismiss(watchdog);
            assert!(Instant::now() < until, "no server: {}", self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Sends the server's first process a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let (server, _) = self.running.as_ref().expect("runs");
        let pid = rustix::process::Pid::from_child(server);
        rustix::process::kill_process(pid, signal).expect("may send it");
    }

    /// Kills the server as the system does when there is no memory left.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.ended();
    }

    /// Waits for the end of a server that was told to end.
    pub fn ended(&mut self) {
        let (mut server, watchdog) = self.running.take().expect("runs");
        server.wait().expect("is a child");
        dismiss(watchdog);
    }

    /// Where a database is.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://fractal@127.0.0.1:{}/{database}", self.port)
    }

    /// The same through the socket.
    pub fn socket_address(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://fractal@{folder}:{}/{database}", self.port)
    }

    /// A new database; its name.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        ask(&self.address("postgres"), &format!("create database {name} template template0")).expect("makes a database");
        name
    }

    /// Whether it speaks TLS: `openssl` was there to make certificates.
    pub fn has_tls(&self) -> bool {
        self.folder.join("server.crt").is_file()
    }

    /// The certificate of the authority that issued the server's, for the name `localhost`; or of another one.
    pub fn authority(&self, other: bool) -> PathBuf {
        self.folder.join(if other { "other.crt" } else { "ca.crt" })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut server, mut watchdog)) = self.running.take() {
            drop(watchdog.stdin.take());
            let _ = (watchdog.wait(), server.wait());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn dismiss(mut watchdog: Child) {
    if let Some(input) = &mut watchdog.stdin {
        let _ = input.write_all(b"done\n");
    }
    let _ = watchdog.wait();
}

/// Makes an authority, a server's certificate for `localhost` that it issued, and another authority.
pub fn make_certificates(folder: &Path) -> bool {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650";
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").expect("writes");
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=ours"))
        && openssl(&format!("req -x509 {key} -keyout other.key -out other.crt -subj /CN=other"))
        && openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
        )
        && openssl("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile names -out server.crt")
}

/// What a server says to some SQL: the rows as text.
pub fn ask(address: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, talk) = tokio_postgres::connect(address, NoTls).await.map_err(|error| format!("{error:?}"))?;
        tokio::spawn(talk);
        let messages = client.simple_query(sql).await.map_err(|error| format!("{error:?}"))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_string()).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    })
}
