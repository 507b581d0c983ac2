//! What a Python source reaches: its tables, imports under other names, and calls that say more by their arguments.

mod table;

use self::table::{HARMLESS, POWERS};
use super::names::{Lore, Names, short};
use super::{Capability, Kind};
use crate::lang::Tree;

static LORE: Lore = Lore {
    names: &["identifier"],
    members: &[("attribute", "object", "attribute")],
    calls: &[("call", "function")],
    items: &[("subscript", "value", "subscript")],
    through: &["parenthesized_expression", "await", "expression_statement"],
    making: &[
        ("function_definition", "name"),
        ("class_definition", "name"),
        ("keyword_argument", "name"),
        ("dotted_name", ""),
        ("aliased_import", ""),
        ("parameters", ""),
        ("lambda_parameters", ""),
        ("default_parameter", "name"),
        ("typed_default_parameter", "name"),
        ("typed_parameter", ""),
        ("assignment", "left"),
    ],
    parameters: &["parameters", "lambda_parameters"],
    powers: POWERS,
    methods: &[
        (Kind::FileWrite, &["write_text", "write_bytes", "symlink_to", "hardlink_to"]),
        (Kind::FileDeletion, &["unlink", "rmdir", "rmtree"]),
        (Kind::Process, &["system", "popen"]),
        (Kind::Network, &["urlopen", "sendall"]),
        (Kind::Environment, &["isatty"]),
        (Kind::Evaluation, &["__subclasses__", "__globals__", "__code__", "__import__", "load_module", "exec_module"]),
    ],
    globals: &[
        "eval",
        "exec",
        "compile",
        "__import__",
        "globals",
        "locals",
        "vars",
        "breakpoint",
        "getattr",
        "setattr",
        "delattr",
        "open",
        "exit",
        "quit",
        "SystemExit",
        "__builtins__",
        "__debug__",
        "__file__",
        "__spec__",
        "__loader__",
        "object",
    ],
    global: "builtins",
    same: &["builtins.globals().", "builtins.locals().", "builtins.__builtins__.", "sys.modules.", "builtins.builtins."],
    opens,
};

fn opens(names: &Names<'_>, call: usize, depth: usize) -> Option<String> {
    let function = names.tree.child(call, "function")?;
    let arguments = names.tree.named(names.tree.child(call, "arguments")?);
    let first = *arguments.first()?;
    for path in names.paths_within(function, depth) {
        match path.as_str() {
            "builtins.getattr" | "builtins.object.__getattribute__" => {
                let name = names.literal(*arguments.get(1)?)?;
                return names.paths_within(first, depth).first().map(|object| format!("{object}.{name}"));
            }
            "builtins.__import__" | "importlib.import_module" | "importlib.__import__" => {
                return names.literal(first);
            }
            "builtins.vars" => return names.paths_within(first, depth).into_iter().next(),
            _ => {}
        }
    }
    None
}

pub(super) fn read(tree: &Tree, source: &str) -> Vec<Capability> {
    let mut names = Names::new(tree, source, &LORE);
    for at in 0..tree.items().len() {
        match names.kind(at) {
            "import_statement" => imports(&mut names, at),
            "import_from_statement" => imports_from(&mut names, at),
            _ => {}
        }
    }
    // Twice, so that a name of a name is known as well.
    for _ in 0..2 {
        for at in 0..tree.items().len() {
            assigned(&mut names, at);
        }
    }
    names.survey();
    for at in 0..tree.items().len() {
        match names.kind(at) {
            "call" => call(&mut names, at),
            "keyword_argument" => keyword(&mut names, at),
            "assignment" => switched_off(&mut names, at),
            "raise_statement" => raised(&mut names, at),
            "identifier" if !names.text(at).is_ascii() => {
                // Python reads such letters as the plain ones that look like them.
                let name = names.text(at).to_string();
                names.note(at, Kind::Evaluation, name);
            }
            "subscript" => own_name(&mut names, at),
            _ => {}
        }
    }
    names.found
}

fn imports(names: &mut Names<'_>, at: usize) {
    for child in names.tree.named(at) {
        let (module, alias) = match names.kind(child) {
            "aliased_import" => (names.tree.child(child, "name"), names.tree.child(child, "alias")),
            _ => (Some(child), None),
        };
        let Some(module) = module.map(|module| names.text(module).to_string()) else { continue };
        let top = module.split('.').next().unwrap_or_default().to_string();
        match alias {
            Some(alias) => names.alias(names.text(alias), &module),
            None => names.alias(&top, &top),
        }
        imported(names, child, &module, &top);
    }
}

fn imports_from(names: &mut Names<'_>, at: usize) {
    let Some(from) = names.tree.child(at, "module_name") else { return };
    let module = names.text(from).to_string();
    let top = module.split('.').next().unwrap_or_default().to_string();
    for child in names.tree.named(at).into_iter().filter(|child| *child != from) {
        let (name, alias) = match names.kind(child) {
            "wildcard_import" => {
                names.open(&module);
                names.note(child, Kind::Import, format!("{module}.*"));
                continue;
            }
            "aliased_import" => (names.tree.child(child, "name"), names.tree.child(child, "alias")),
            _ => (Some(child), None),
        };
        let Some(name) = name.map(|name| names.text(name)) else { continue };
        let path = format!("{module}.{name}");
        names.alias(alias.map_or(name, |alias| names.text(alias)), &path);
        imported(names, child, &path, &top);
    }
}

/// Notes what an import alone gives away.
fn imported(names: &mut Names<'_>, at: usize, path: &str, top: &str) {
    match names.power(path) {
        Some(kind) => names.note(at, kind, path),
        None if !HARMLESS.contains(&top) && !is_partly_known(path) => names.note(at, Kind::Import, path),
        None => {}
    }
}

/// Whether some of what the module holds is in the table: then its use is noted, and the import alone is nothing.
fn is_partly_known(path: &str) -> bool {
    POWERS
        .iter()
        .flat_map(|(_, paths)| paths.iter())
        .any(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn assigned(names: &mut Names<'_>, at: usize) {
    let (target, value) = match names.kind(at) {
        "assignment" => ("left", "right"),
        "named_expression" => ("name", "value"),
        "as_pattern" => ("alias", ""),
        _ => return,
    };
    let target = names.tree.child(at, target);
    let value = if value.is_empty() { names.tree.named(at).first().copied() } else { names.tree.child(at, value) };
    let (Some(target), Some(value)) = (target, value) else { return };
    let name = names.text(target).to_string();
    if name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        for path in names.paths(value) {
            names.alias(&name, &path);
        }
    }
}

fn argument(names: &Names<'_>, call: usize, position: usize, keyword: &str) -> Option<usize> {
    let arguments = names.tree.named(names.tree.child(call, "arguments")?);
    let named = arguments.iter().find(|argument| {
        names.kind(**argument) == "keyword_argument"
            && names.tree.child(**argument, "name").is_some_and(|name| names.text(name) == keyword)
    });
    match named {
        Some(named) => names.tree.child(*named, "value"),
        None => arguments.get(position).copied().filter(|argument| names.kind(*argument) != "keyword_argument"),
    }
}

fn call(names: &mut Names<'_>, at: usize) {
    let Some(function) = names.tree.child(at, "function") else { return };
    let paths = names.paths(function);
    for path in paths {
        match path.as_str() {
            "builtins.open" | "io.open" | "codecs.open" => opened(names, at, 1, &path),
            "pathlib.Path().open" => opened(names, at, 0, &path),
            "sys.exit" | "builtins.exit" | "builtins.quit" | "builtins.SystemExit" => ended(names, at, &path),
            "builtins.getattr" | "builtins.setattr" | "builtins.delattr" => computed(names, at),
            "builtins.__import__" | "importlib.import_module" => {
                let module = argument(names, at, 0, "name").and_then(|name| names.literal(name));
                if let Some(kind) = module.as_deref().and_then(|module| names.power(module)) {
                    names.note(at, kind, module.unwrap_or_default());
                }
            }
            path => asks_for_a_file(names, at, path),
        }
    }
    if let Some(member) = names.tree.child(function, "attribute").map(|name| names.text(name)) {
        if member == "open" && names.paths(function).is_empty() {
            opened(names, at, 0, ".open");
        }
        if matches!(member, "exists" | "is_file" | "is_dir") && names.paths(function).is_empty() {
            asks_for_a_file(names, at, "os.path.exists");
        }
    }
}

fn opened(names: &mut Names<'_>, at: usize, position: usize, path: &str) {
    let Some(mode) = argument(names, at, position, "mode") else { return };
    match names.literal(mode) {
        Some(mode) if mode.len() > 4 => {}
        Some(mode) if !mode.contains(['w', 'a', 'x', '+']) => {}
        // Whatever has an `open`: only a text that is a mode says what it is.
        None if path == ".open" => {}
        _ => names.note(at, Kind::FileWrite, short(path)),
    }
}

/// Ending without a code, or with one that says that all is well.
fn ended(names: &mut Names<'_>, at: usize, path: &str) {
    let code = argument(names, at, 0, "status");
    if code.is_none_or(|code| matches!(names.text(code), "0" | "None" | "False" | "(0)" | "0x0" | "00" | "-0" | "int()")) {
        names.note(at, Kind::Exit, short(path));
    }
}

fn raised(names: &mut Names<'_>, at: usize) {
    if names.tree.named(at).first().is_some_and(|what| names.text(*what) == "SystemExit") {
        names.note(at, Kind::Exit, "builtins.SystemExit");
    }
}

/// Members of modules by a name that is computed.
fn computed(names: &mut Names<'_>, at: usize) {
    let (object, name) = (argument(names, at, 0, ""), argument(names, at, 1, ""));
    let (Some(object), Some(name)) = (object, name) else { return };
    if names.literal(name).is_none() && !names.paths(object).is_empty() {
        names.note(at, Kind::Evaluation, "getattr");
    }
}

/// Whether a file is there that only some machines have: a name that the source holds is no input.
fn asks_for_a_file(names: &mut Names<'_>, at: usize, path: &str) {
    const ASKING: [&str; 9] = [
        "os.path.exists",
        "os.path.lexists",
        "os.path.isfile",
        "os.path.isdir",
        "os.path.islink",
        "os.stat",
        "os.access",
        "os.listdir",
        "os.scandir",
    ];
    let inside = names.tree.child(at, "function").unwrap_or(at)..names.tree.item(at).after;
    if ASKING.contains(&path) && inside.into_iter().any(|inner| names.literal(inner).is_some()) {
        names.note(at, Kind::Environment, path);
    }
}

fn keyword(names: &mut Names<'_>, at: usize) {
    let (Some(name), Some(value)) = (names.tree.child(at, "name"), names.tree.child(at, "value")) else { return };
    match (names.text(name), names.text(value)) {
        ("verify" | "verify_ssl" | "check_hostname" | "ssl", "False") | ("verify", "0" | "None") => {
            let what = format!("{}=False", names.text(name));
            names.note(at, Kind::Unverified, what);
        }
        ("shell", "True") => names.note(at, Kind::Process, "shell=True"),
        _ => {}
    }
}

fn switched_off(names: &mut Names<'_>, at: usize) {
    let (Some(target), Some(value)) = (names.tree.child(at, "left"), names.tree.child(at, "right")) else { return };
    let Some(member) = names.tree.child(target, "attribute").map(|name| names.text(name).to_string()) else { return };
    if matches!(member.as_str(), "verify" | "check_hostname") && matches!(names.text(value), "False" | "0" | "None") {
        names.note(at, Kind::Unverified, format!(".{member}=False"));
    }
}

/// `sys.argv[0]`, and names on `__builtins__` or a module that are computed.
fn own_name(names: &mut Names<'_>, at: usize) {
    let (Some(value), Some(index)) = (names.tree.child(at, "value"), names.tree.child(at, "subscript")) else { return };
    let paths = names.paths(value);
    if names.text(index) == "0" && paths.iter().any(|path| path == "sys.argv") {
        names.note(at, Kind::Environment, "sys.argv[0]");
    }
}
