//! What a JavaScript source reaches: its tables, modules under other names, and calls that say more by their arguments.

use super::names::{Lore, Names, short};
use super::{Capability, Kind};
use crate::lang::Tree;

const HARMLESS: &[&str] = &[
    "assert",
    "buffer",
    "events",
    "fs",
    "os",
    "path",
    "punycode",
    "querystring",
    "readline",
    "stream",
    "string_decoder",
    "timers",
    "url",
    "util",
    "crypto",
    "process",
    "perf_hooks",
    "module",
    "console",
    "constants",
    "zlib",
];

const POWERS: &[(Kind, &[&str])] = &[
    (
        Kind::Network,
        &[
            "net",
            "http",
            "https",
            "http2",
            "dgram",
            "dns",
            "tls",
            "undici",
            "axios",
            "node-fetch",
            "got",
            "request",
            "superagent",
            "ws",
            "socket.io",
            "socket.io-client",
            "nodemailer",
            "fetch",
            "XMLHttpRequest",
            "WebSocket",
            "EventSource",
            "navigator.sendBeacon",
        ],
    ),
    (
        Kind::Process,
        &[
            "child_process",
            "cluster",
            "worker_threads",
            "execa",
            "shelljs",
            "Worker",
            "process.kill",
            "process.on",
            "process.once",
            "process.setuid",
            "process.abort",
            "Deno.run",
            "Deno.Command",
            "Bun.spawn",
        ],
    ),
    (
        Kind::FileWrite,
        &[
            "fs.writeFile",
            "fs.writeFileSync",
            "fs.appendFile",
            "fs.appendFileSync",
            "fs.createWriteStream",
            "fs.write",
            "fs.writeSync",
            "fs.writev",
            "fs.copyFile",
            "fs.copyFileSync",
            "fs.cp",
            "fs.cpSync",
            "fs.rename",
            "fs.renameSync",
            "fs.mkdir",
            "fs.mkdirSync",
            "fs.mkdtemp",
            "fs.mkdtempSync",
            "fs.symlink",
            "fs.symlinkSync",
            "fs.link",
            "fs.linkSync",
            "fs.chmod",
            "fs.chmodSync",
            "fs.chown",
            "fs.chownSync",
            "fs.truncate",
            "fs.truncateSync",
            "fs.utimes",
            "fs.utimesSync",
            "fs.open",
            "fs.openSync",
            "fs.promises.writeFile",
            "fs.promises.appendFile",
            "fs.promises.copyFile",
            "fs.promises.cp",
            "fs.promises.rename",
            "fs.promises.mkdir",
            "fs.promises.mkdtemp",
            "fs.promises.symlink",
            "fs.promises.link",
            "fs.promises.chmod",
            "fs.promises.truncate",
            "fs.promises.open",
            "process.chdir",
            "fs-extra",
            "Deno.writeTextFile",
            "Bun.write",
        ],
    ),
    (
        Kind::FileDeletion,
        &[
            "fs.rm",
            "fs.rmSync",
            "fs.unlink",
            "fs.unlinkSync",
            "fs.rmdir",
            "fs.rmdirSync",
            "fs.promises.rm",
            "fs.promises.unlink",
            "fs.promises.rmdir",
            "rimraf",
            "del",
            "Deno.remove",
        ],
    ),
    (
        Kind::Evaluation,
        &[
            "eval",
            "Function",
            "vm",
            "repl",
            "inspector",
            "v8",
            "process.binding",
            "module.register",
            "require.cache",
            "module._load",
            "Proxy",
            "Reflect",
            "jest.mock",
        ],
    ),
    (Kind::Unverified, &["process.env.NODE_TLS_REJECT_UNAUTHORIZED"]),
    (
        Kind::Environment,
        &[
            "process.env",
            "process.argv0",
            "process.execPath",
            "process.execArgv",
            "process.platform",
            "process.arch",
            "process.pid",
            "process.ppid",
            "process.cwd",
            "process.title",
            "process.version",
            "process.versions",
            "process.getuid",
            "process.geteuid",
            "process.stdout.isTTY",
            "process.stdin.isTTY",
            "process.memoryUsage",
            "process.umask",
            "process.config",
            "process.release",
            "os.hostname",
            "os.userInfo",
            "os.homedir",
            "os.tmpdir",
            "os.platform",
            "os.type",
            "os.release",
            "os.arch",
            "os.cpus",
            "os.networkInterfaces",
            "os.totalmem",
            "os.freemem",
            "os.loadavg",
            "os.uptime",
            "os.version",
            "__filename",
            "__dirname",
            "navigator",
            "Error.captureStackTrace",
            "Error.prepareStackTrace",
            "Deno.env",
            "Bun.env",
        ],
    ),
    (
        Kind::Clock,
        &[
            "Date.now",
            "performance",
            "perf_hooks",
            "process.hrtime",
            "process.uptime",
            "setTimeout",
            "setInterval",
            "timers.setTimeout",
            "timers.promises",
        ],
    ),
    (
        Kind::Random,
        &[
            "Math.random",
            "crypto.randomBytes",
            "crypto.randomInt",
            "crypto.randomUUID",
            "crypto.getRandomValues",
            "crypto.randomFill",
            "crypto.randomFillSync",
            "crypto.webcrypto",
            "nanoid",
            "seedrandom",
        ],
    ),
    (Kind::Native, &["process.dlopen", "WebAssembly", "ffi-napi", "koffi", "bindings", "SharedArrayBuffer", "Deno.dlopen"]),
];

static LORE: Lore = Lore {
    names: &["identifier", "shorthand_property_identifier"],
    members: &[("member_expression", "object", "property")],
    calls: &[("call_expression", "function"), ("new_expression", "constructor")],
    items: &[("subscript_expression", "object", "index")],
    through: &["parenthesized_expression", "await_expression", "sequence_expression"],
    making: &[
        ("function_declaration", "name"),
        ("class_declaration", "name"),
        ("variable_declarator", "name"),
        ("formal_parameters", ""),
        ("arrow_function", "parameter"),
        ("import_clause", ""),
        ("namespace_import", ""),
        ("import_specifier", ""),
        ("catch_clause", "parameter"),
    ],
    parameters: &["formal_parameters"],
    powers: POWERS,
    methods: &[
        (Kind::Process, &["execSync", "spawnSync", "execFileSync"]),
        (Kind::FileWrite, &["writeFileSync", "appendFileSync", "createWriteStream", "writeFile"]),
        (Kind::FileDeletion, &["unlinkSync", "rmSync", "rmdirSync"]),
        (Kind::Evaluation, &["runInNewContext", "runInThisContext", "runInContext", "__defineGetter__", "__lookupGetter__"]),
    ],
    globals: &[
        "fetch",
        "XMLHttpRequest",
        "WebSocket",
        "EventSource",
        "navigator",
        "Worker",
        "process",
        "Deno",
        "Bun",
        "eval",
        "Function",
        "require",
        "module",
        "Proxy",
        "Reflect",
        "jest",
        "__filename",
        "__dirname",
        "Error",
        "Date",
        "performance",
        "setTimeout",
        "setInterval",
        "Math",
        "crypto",
        "WebAssembly",
        "SharedArrayBuffer",
        "globalThis",
        "global",
        "window",
        "self",
    ],
    global: "",
    same: &["globalThis.", "global.", "window.", "self.", "process.mainModule."],
    opens,
};

fn arguments(names: &Names<'_>, call: usize) -> Vec<usize> {
    names.tree.child(call, "arguments").map(|list| names.tree.named(list)).unwrap_or_default()
}

/// Whether the call gives a module: `require(…)`, `import(…)`, and what else leads to the same function.
fn is_require(names: &Names<'_>, call: usize, depth: usize) -> bool {
    let Some(function) = names.tree.child(call, "function") else { return false };
    let known = |path: &String| {
        path == "require" || path == "module.createRequire()" || path.ends_with(".require") || path == "process.getBuiltinModule"
    };
    matches!(names.text(function), "import" | "require" | "module.require" | "require.main.require" | "process.getBuiltinModule")
        || names.paths_within(function, depth).iter().any(known)
}

fn opens(names: &Names<'_>, call: usize, depth: usize) -> Option<String> {
    if !is_require(names, call, depth) {
        return None;
    }
    names.literal(*arguments(names, call).first()?).map(|module| path_of(&module))
}

/// `node:fs/promises` is `fs.promises`; a file of the repository keeps its slashes.
fn path_of(module: &str) -> String {
    let module = module.strip_prefix("node:").unwrap_or(module);
    if module.starts_with(['.', '/', '@']) { module.to_string() } else { module.replace('/', ".") }
}

pub(super) fn read(tree: &Tree, source: &str) -> Vec<Capability> {
    let mut names = Names::new(tree, source, &LORE);
    for at in 0..tree.items().len() {
        if names.kind(at) == "import_statement" {
            imports(&mut names, at);
        }
    }
    for _ in 0..2 {
        for at in 0..tree.items().len() {
            assigned(&mut names, at);
        }
    }
    names.survey();
    for at in 0..tree.items().len() {
        match names.kind(at) {
            "call_expression" => call(&mut names, at),
            "new_expression" => made(&mut names, at),
            "pair" => pair(&mut names, at),
            "assignment_expression" => set(&mut names, at),
            "subscript_expression" => item(&mut names, at),
            "import_statement" | "export_statement" => {
                if let Some(module) = names.tree.child(at, "source").and_then(|text| names.literal(text)) {
                    imported(&mut names, at, &module);
                }
            }
            "identifier" | "property_identifier" if names.text(at).contains('\\') => {
                let name = names.text(at).to_string();
                names.note(at, Kind::Evaluation, name);
            }
            "meta_property" if names.text(at) == "import.meta" => names.note(at, Kind::Environment, "import.meta"),
            _ => {}
        }
    }
    names.found
}

fn imports(names: &mut Names<'_>, at: usize) {
    let Some(module) = names.tree.child(at, "source").and_then(|text| names.literal(text)) else { return };
    let module = path_of(&module);
    for inner in at..names.tree.item(at).after {
        let parent = names.kind(names.tree.item(inner).parent);
        match names.kind(inner) {
            "identifier" if matches!(parent, "import_clause" | "namespace_import") => names.alias(names.text(inner), &module),
            "import_specifier" => {
                let Some(name) = names.tree.child(inner, "name") else { continue };
                let alias = names.tree.child(inner, "alias").unwrap_or(name);
                let path = match names.text(name) {
                    "default" => module.clone(),
                    name => format!("{module}.{name}"),
                };
                names.alias(names.text(alias), &path);
            }
            _ => {}
        }
    }
}

fn imported(names: &mut Names<'_>, at: usize, module: &str) {
    let path = path_of(module);
    match names.power(&path) {
        Some(kind) => names.note(at, kind, path),
        None if !HARMLESS.contains(&path.split('.').next().unwrap_or_default()) => names.note(at, Kind::Import, path),
        None => {}
    }
}

fn assigned(names: &mut Names<'_>, at: usize) {
    let (target, value) = match names.kind(at) {
        "variable_declarator" => ("name", "value"),
        "assignment_expression" => ("left", "right"),
        _ => return,
    };
    let (Some(target), Some(value)) = (names.tree.child(at, target), names.tree.child(at, value)) else { return };
    for path in names.paths(value) {
        bind(names, target, &path);
    }
}

/// Names that a pattern makes of the members of `path`.
fn bind(names: &mut Names<'_>, target: usize, path: &str) {
    let mut open = vec![(target, path.to_string())];
    while let Some((target, path)) = open.pop() {
        match names.kind(target) {
            "identifier" | "shorthand_property_identifier_pattern" => names.alias(names.text(target), &path),
            "object_pattern" => {
                for part in names.tree.named(target) {
                    match names.kind(part) {
                        "pair_pattern" => {
                            let (key, value) = (names.tree.child(part, "key"), names.tree.child(part, "value"));
                            let (Some(key), Some(value)) = (key, value) else { continue };
                            let name = names.literal(key).unwrap_or_else(|| names.text(key).to_string());
                            open.push((value, format!("{path}.{name}")));
                        }
                        "object_assignment_pattern" => {
                            let Some(left) = names.tree.child(part, "left") else { continue };
                            open.push((left, format!("{path}.{}", names.text(left))));
                        }
                        "rest_pattern" => open.extend(names.tree.named(part).into_iter().map(|inner| (inner, path.clone()))),
                        _ => open.push((part, format!("{path}.{}", names.text(part)))),
                    }
                }
            }
            _ => {}
        }
    }
}

fn call(names: &mut Names<'_>, at: usize) {
    let Some(function) = names.tree.child(at, "function") else { return };
    let given = arguments(names, at);
    if is_require(names, at, 2) {
        match given.first().map(|module| names.literal(*module)) {
            Some(Some(module)) => imported(names, at, &module),
            _ => names.note(at, Kind::Evaluation, "require"),
        }
    }
    let (paths, text) = (names.paths(function), names.text(function));
    let is = |wanted: &str| text == wanted || paths.iter().any(|path| path == wanted);
    if is("process.exit") && given.first().is_none_or(|code| matches!(names.text(*code), "0" | "undefined" | "null")) {
        names.note(at, Kind::Exit, "process.exit");
    }
    if is("Date") {
        names.note(at, Kind::Clock, "Date");
    }
    let asks = ["fs.existsSync", "fs.statSync", "fs.lstatSync", "fs.accessSync", "fs.access", "fs.stat", "fs.readdirSync"];
    if let Some(asked) = asks.iter().find(|name| is(name)).filter(|_| given.first().is_some_and(|a| names.literal(*a).is_some()))
    {
        names.note(at, Kind::Environment, *asked);
    }
    if text.ends_with(".constructor") && text.matches(".constructor").count() > 1 {
        names.note(at, Kind::Evaluation, "constructor.constructor");
    }
}

fn made(names: &mut Names<'_>, at: usize) {
    let is_date = names.tree.child(at, "constructor").is_some_and(|what| names.text(what) == "Date");
    if is_date && arguments(names, at).is_empty() {
        names.note(at, Kind::Clock, "Date");
    }
}

fn pair(names: &mut Names<'_>, at: usize) {
    let (Some(key), Some(value)) = (names.tree.child(at, "key"), names.tree.child(at, "value")) else { return };
    let key = names.literal(key).unwrap_or_else(|| names.text(key).to_string());
    if matches!(key.as_str(), "rejectUnauthorized" | "strictSSL") && matches!(names.text(value), "false" | "0" | "!1") {
        names.note(at, Kind::Unverified, format!("{key}: false"));
    }
}

fn set(names: &mut Names<'_>, at: usize) {
    let (Some(target), Some(value)) = (names.tree.child(at, "left"), names.tree.child(at, "right")) else { return };
    let path = names.paths(target).first().map_or_else(|| names.text(target).to_string(), |path| short(path));
    if path == "process.exitCode" && names.text(value) == "0" {
        names.note(at, Kind::Exit, "process.exitCode");
    }
    if path.ends_with(".rejectUnauthorized") && names.text(value) == "false" {
        names.note(at, Kind::Unverified, "rejectUnauthorized: false");
    }
}

/// Members of modules by a name that is computed, and our own path among the arguments.
fn item(names: &mut Names<'_>, at: usize) {
    let (Some(object), Some(index)) = (names.tree.child(at, "object"), names.tree.child(at, "index")) else { return };
    let is_argv = names.text(object) == "process.argv" || names.paths(object).iter().any(|path| path == "process.argv");
    if is_argv && matches!(names.text(index), "0" | "1") {
        names.note(at, Kind::Environment, "process.argv[0]");
    }
    let is_global = matches!(names.text(object), "globalThis" | "global" | "window" | "module" | "process");
    let is_fixed = names.literal(index).is_some() || names.kind(index) == "number";
    if !is_fixed && (is_global || (!names.paths(object).is_empty() && !is_argv)) {
        names.note(at, Kind::Evaluation, "a computed name");
    }
}
