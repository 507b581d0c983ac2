//! What a Rust source reaches: its tables, `use` under other names, and paths inside macros, which the grammar leaves as tokens.

use super::names::{Lore, Names};
use super::{Capability, Kind};
use crate::lang::Tree;

const POWERS: &[(Kind, &[&str])] = &[
    (
        Kind::Network,
        &[
            "std.net",
            "std.os.unix.net",
            "core.net",
            "tokio.net",
            "async_std.net",
            "reqwest",
            "hyper",
            "ureq",
            "curl",
            "isahc",
            "native_tls",
            "rustls",
            "openssl",
            "tungstenite",
            "tonic",
            "trust_dns_resolver",
            "socket2",
            "mio",
        ],
    ),
    (
        Kind::Process,
        &[
            "std.process.Command",
            "std.process.Child",
            "std.process.Stdio",
            "std.os.unix.process",
            "std.thread",
            "tokio.process",
            "tokio.spawn",
            "nix",
            "rustix",
            "signal_hook",
            "duct",
            "rayon",
            "std.panic.set_hook",
        ],
    ),
    (
        Kind::FileWrite,
        &[
            "std.fs.write",
            "std.fs.File.create",
            "std.fs.File.create_new",
            "std.fs.File.options",
            "std.fs.OpenOptions",
            "std.fs.create_dir",
            "std.fs.create_dir_all",
            "std.fs.DirBuilder",
            "std.fs.rename",
            "std.fs.copy",
            "std.fs.hard_link",
            "std.fs.soft_link",
            "std.fs.set_permissions",
            "std.os.unix.fs.symlink",
            "std.env.set_current_dir",
            "tokio.fs.write",
            "tokio.fs.File.create",
            "tokio.fs.rename",
            "tokio.fs.copy",
            "tempfile",
            "memmap",
            "memmap2",
        ],
    ),
    (
        Kind::FileDeletion,
        &[
            "std.fs.remove_file",
            "std.fs.remove_dir",
            "std.fs.remove_dir_all",
            "tokio.fs.remove_file",
            "tokio.fs.remove_dir",
            "tokio.fs.remove_dir_all",
        ],
    ),
    (Kind::Evaluation, &["mlua", "rhai", "pyo3", "wasmtime", "boa_engine"]),
    (
        Kind::Environment,
        &[
            "std.env.var",
            "std.env.var_os",
            "std.env.vars",
            "std.env.vars_os",
            "std.env.current_exe",
            "std.env.current_dir",
            "std.env.temp_dir",
            "std.env.home_dir",
            "std.env.set_var",
            "std.env.remove_var",
            "std.env.consts",
            "std.process.id",
            "std.io.IsTerminal",
            "std.backtrace",
            "std.thread.available_parallelism",
            "std.panic.Location",
            "hostname",
            "whoami",
            "gethostname",
            "sysinfo",
            "std.any.type_name",
        ],
    ),
    (
        Kind::Clock,
        &[
            "std.time.Instant",
            "std.time.SystemTime",
            "std.time.UNIX_EPOCH",
            "std.thread.sleep",
            "chrono.Utc.now",
            "chrono.Local.now",
            "jiff.Timestamp.now",
            "tokio.time",
            "time.OffsetDateTime.now_utc",
        ],
    ),
    (
        Kind::Random,
        &["rand", "getrandom", "fastrand", "oorandom", "std.collections.hash_map.RandomState", "std.hash.RandomState", "uuid"],
    ),
    (
        Kind::Native,
        &[
            "libc",
            "libloading",
            "std.ffi",
            "std.mem.transmute",
            "std.mem.transmute_copy",
            "std.arch",
            "core.arch",
            "std.ptr",
            "std.alloc",
        ],
    ),
    (Kind::Exit, &["std.process.abort"]),
];

static LORE: Lore = Lore {
    names: &["identifier", "type_identifier"],
    members: &[
        ("scoped_identifier", "path", "name"),
        ("scoped_type_identifier", "path", "name"),
        ("field_expression", "value", "field"),
    ],
    calls: &[("call_expression", "function")],
    items: &[],
    through: &["parenthesized_expression", "try_expression"],
    making: &[
        ("function_item", "name"),
        ("struct_item", "name"),
        ("enum_item", "name"),
        ("trait_item", "name"),
        ("mod_item", "name"),
        ("type_item", "name"),
        ("const_item", "name"),
        ("static_item", "name"),
        ("parameter", "pattern"),
        ("let_declaration", "pattern"),
        ("use_as_clause", ""),
        ("use_list", ""),
        ("scoped_use_list", ""),
        ("use_wildcard", ""),
        ("use_declaration", ""),
        ("macro_invocation", "macro"),
    ],
    parameters: &["parameters", "closure_parameters"],
    powers: POWERS,
    methods: &[
        (Kind::FileWrite, &["create_new", "truncate"]),
        (Kind::Environment, &["is_terminal"]),
        (
            Kind::Unverified,
            &["danger_accept_invalid_certs", "danger_accept_invalid_hostnames", "set_certificate_verifier", "dangerous"],
        ),
    ],
    globals: &[
        "std",
        "core",
        "tokio",
        "async_std",
        "reqwest",
        "hyper",
        "ureq",
        "isahc",
        "native_tls",
        "rustls",
        "openssl",
        "nix",
        "rustix",
        "libc",
        "libloading",
        "getrandom",
        "fastrand",
        "rand",
        "tempfile",
        "chrono",
        "jiff",
        "hostname",
        "whoami",
    ],
    global: "",
    same: &[],
    opens: |_, _, _| None,
};

pub(super) fn read(tree: &Tree, source: &str) -> Vec<Capability> {
    let mut names = Names::new(tree, source, &LORE);
    let own = own_names(&names);
    for at in 0..tree.items().len() {
        if names.kind(at) == "use_declaration" {
            uses(&mut names, at, &own);
        }
    }
    for at in 0..tree.items().len() {
        if names.kind(at) == "type_item" || names.kind(at) == "let_declaration" {
            let (name, value) = if names.kind(at) == "type_item" { ("name", "type") } else { ("pattern", "value") };
            let (Some(name), Some(value)) = (tree.child(at, name), tree.child(at, value)) else { continue };
            let is_name = LORE.names.contains(&names.kind(name));
            for path in names.paths(value).into_iter().filter(|_| is_name) {
                names.alias(names.text(name), &path);
            }
        }
    }
    names.survey();
    for at in 0..tree.items().len() {
        match names.kind(at) {
            "unsafe" => names.note(at, Kind::Native, "unsafe"),
            "foreign_mod_item" => names.note(at, Kind::Native, "extern"),
            "token_tree" => tokens(&mut names, at),
            "call_expression" => ended(&mut names, at),
            "macro_invocation" => called(&mut names, at),
            "extern_crate_declaration" => {
                let name = tree.child(at, "name").map(|name| names.text(name).to_string()).unwrap_or_default();
                let kind = names.power(&name).unwrap_or(Kind::Import);
                names.note(at, kind, name);
            }
            "mod_item" if tree.child(at, "body").is_none() => {
                let name = tree.child(at, "name").map(|name| names.text(name).to_string()).unwrap_or_default();
                names.note(at, Kind::Import, format!("mod {name}"));
            }
            _ => {}
        }
    }
    names.found
}

/// Names of the modules, types and traits that the source makes itself.
fn own_names(names: &Names<'_>) -> Vec<String> {
    const MAKING: [&str; 5] = ["mod_item", "enum_item", "struct_item", "trait_item", "type_item"];
    let items = 0..names.tree.items().len();
    let made = items.filter(|at| MAKING.contains(&names.kind(*at))).filter_map(|at| names.tree.child(at, "name"));
    made.map(|name| names.text(name).to_string()).collect()
}

/// Every name that a `use` brings, with its full name.
fn uses(names: &mut Names<'_>, at: usize, own: &[String]) {
    let Some(argument) = names.tree.child(at, "argument") else { return };
    let mut open = vec![(argument, String::new())];
    let dotted = |text: &str| text.trim_start_matches("::").replace("::", ".").split_whitespace().collect::<String>();
    let below = |prefix: &str, text: &str| if prefix.is_empty() { dotted(text) } else { format!("{prefix}.{}", dotted(text)) };
    while let Some((node, prefix)) = open.pop() {
        let child = |field: &str| names.tree.child(node, field);
        match names.kind(node) {
            "use_list" => open.extend(names.tree.named(node).into_iter().map(|inner| (inner, prefix.clone()))),
            "scoped_use_list" => {
                let path = child("path").map(|path| below(&prefix, names.text(path))).unwrap_or(prefix);
                open.extend(child("list").map(|list| (list, path)));
            }
            "use_as_clause" => {
                let (Some(path), Some(alias)) = (child("path"), child("alias")) else { continue };
                let path = if names.kind(path) == "self" { prefix } else { below(&prefix, names.text(path)) };
                names.alias(names.text(alias), &path);
                imported(names, node, &path, own);
            }
            "use_wildcard" => {
                let path = names.tree.named(node).first().map(|path| below(&prefix, names.text(*path))).unwrap_or(prefix);
                names.open(&path);
                imported(names, node, &path, own);
            }
            "self" => {
                let name = prefix.rsplit('.').next().unwrap_or_default().to_string();
                names.alias(&name, &prefix);
                imported(names, node, &prefix, own);
            }
            _ => {
                let path = below(&prefix, names.text(node));
                let name = path.rsplit('.').next().unwrap_or_default().to_string();
                names.alias(&name, &path);
                imported(names, node, &path, own);
            }
        }
    }
}

fn imported(names: &mut Names<'_>, at: usize, path: &str, own: &[String]) {
    let top = path.split('.').next().unwrap_or_default();
    match names.power(path) {
        Some(kind) => names.note(at, kind, path),
        None if !matches!(top, "std" | "core" | "alloc" | "crate" | "self" | "super") && !own.iter().any(|name| name == top) => {
            names.note(at, Kind::Import, path);
        }
        None => {}
    }
}

/// Paths among the tokens of a macro's arguments, and what the tree would show elsewhere.
fn tokens(names: &mut Names<'_>, at: usize) {
    let children: Vec<usize> = names.tree.children(at).collect();
    let mut next = 0;
    while let Some(&first) = children.get(next) {
        next += 1;
        let is_name = |node: usize| names.kind(node) == "identifier";
        if !is_name(first) {
            continue;
        }
        let before = next.checked_sub(2).and_then(|before| children.get(before)).map(|before| names.text(*before));
        if before == Some(".") {
            let kind = LORE.methods.iter().find(|(_, methods)| methods.contains(&names.text(first))).map(|(kind, _)| *kind);
            if let Some(kind) = kind {
                names.note(first, kind, format!(".{}", names.text(first)));
            }
            continue;
        }
        let mut tail = String::new();
        while let (Some(&colons), Some(&name)) = (children.get(next), children.get(next + 1)) {
            if names.text(colons) != "::" || !is_name(name) {
                break;
            }
            tail = format!("{tail}.{}", names.text(name));
            next += 2;
        }
        for path in names.paths(first).into_iter().map(|base| format!("{base}{tail}")) {
            let success = children.get(next).is_some_and(|arguments| names.text(*arguments) == "(0)");
            match names.power(&path) {
                Some(kind) => names.note(first, kind, path),
                None if path == "std.process.exit" && success => names.note(first, Kind::Exit, path),
                None => {}
            }
        }
    }
}

/// `exit(0)`.
fn ended(names: &mut Names<'_>, at: usize) {
    let (Some(function), Some(arguments)) = (names.tree.child(at, "function"), names.tree.child(at, "arguments")) else { return };
    let is_exit = names.paths(function).iter().any(|path| path == "std.process.exit");
    if is_exit && names.text(arguments).starts_with("(0") {
        names.note(at, Kind::Exit, "std.process.exit");
    }
}

/// Macros that bring what is not in the file.
fn called(names: &mut Names<'_>, at: usize) {
    let Some(name) = names.tree.child(at, "macro").map(|name| names.text(name)) else { return };
    let kind = match name.rsplit("::").next().unwrap_or(name) {
        "env" | "option_env" | "include_str" | "include_bytes" | "file" => Kind::Environment,
        "include" => Kind::Evaluation,
        "asm" | "global_asm" => Kind::Native,
        _ => return,
    };
    names.note(at, kind, format!("{name}!"));
}
