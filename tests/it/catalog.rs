//! The catalog: tools that are declared, and tools that are found.

use std::path::Path;
use std::process::Command;

struct Repository(tempfile::TempDir);

impl Repository {
    fn with(files: &[(&str, &str, bool)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let repository = Repository(dir);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (path, content, executable) in files {
            let path = repository.0.path().join(path);
            std::fs::create_dir_all(path.parent().expect("has a folder")).expect("makes the folder");
            std::fs::write(&path, content).expect("writes the file");
            if *executable {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("sets the mode");
            }
        }
        repository.git(&["add", "--all"]);
        repository.git(&["commit", "--quiet", "-m", "all"]);
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.com"])
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_string()
    }

    fn tools(&self) -> serde_json::Value {
        let done = fractal(self.0.path(), &["tools", "--json"]);
        serde_json::from_slice(&done.stdout).expect("JSON")
    }
}

fn fractal(dir: &Path, arguments: &[&str]) -> std::process::Output {
    let done = Command::new(env!("CARGO_BIN_EXE_fractal")).args(arguments).current_dir(dir).output().expect("fractal runs");
    assert!(done.status.success(), "fractal {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

fn named<'a>(tools: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let all = tools["tools"].as_array().expect("a list");
    all.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {all:#?}"))
}

const PY: &str = "#!/usr/bin/env python3\nprint(1)\n";

#[test]
fn executables_are_found_by_their_first_line_or_extension_with_the_tests_that_belong_to_them() {
    let repository = Repository::with(&[
        ("bin/report", PY, true),
        ("tools/clean.sh", "#!/bin/sh\necho\n", false),
        ("tools/main.py", "if __name__ == \"__main__\":\n    print(1)\n", false),
        ("tools/library.py", "def f():\n    return 1\n", false),
        ("tests/test_report.py", "import unittest\n", false),
        ("tests/clean_test.sh", "exit 0\n", false),
        ("node_modules/x/cli.js", "#!/usr/bin/env node\n", true),
        ("notes.txt", "#!/bin/sh\n", false),
    ]);
    let tools = repository.tools();
    let names: Vec<&str> = tools["tools"].as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["clean", "main", "report"]);
    assert_eq!(named(&tools, "report")["run"][0], "bin/report");
    assert_eq!(named(&tools, "report")["tests"][0], "tests/test_report.py");
    assert_eq!(named(&tools, "clean")["test"][1], "tests/clean_test.sh");
    assert!(named(&tools, "main")["origin"]["found"].as_str().expect("why").contains("__main__"));
}

#[test]
fn binaries_of_cargo_packages_are_found_through_cargo_itself() {
    let manifest = "[package]\nname = \"units\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[[bin]]\nname = \"units-cli\"\npath = \"src/cli.rs\"\n";
    let repository =
        Repository::with(&[("crates/units/Cargo.toml", manifest, false), ("crates/units/src/cli.rs", "fn main() {}\n", false)]);
    let tools = repository.tools();
    let tool = named(&tools, "units-cli");
    assert_eq!(tool["paths"][0], "crates/units/src");
    assert_eq!(tool["language"], "rust");
    assert!(tool["origin"]["found"].as_str().expect("why").contains("Cargo package `units`"));
}

#[test]
fn looking_for_cargo_packages_runs_nothing_that_the_repository_names() {
    let manifest = "[package]\nname = \"units\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let planted = "#!/bin/sh\ntouch \"$(dirname \"$0\")/../../it-ran\"\nexit 1\n";
    let repository = Repository::with(&[
        ("Cargo.toml", manifest, false),
        ("src/main.rs", "fn main() {}\n", false),
        ("rust-toolchain.toml", "[toolchain]\npath = \"toolchain\"\n", false),
        ("toolchain/bin/cargo", planted, true),
        ("toolchain/bin/rustc", planted, true),
        (".cargo/config.toml", "[build]\nrustc = \"toolchain/bin/rustc\"\n[alias]\nmetadata = 1\n", false),
    ]);
    // As a person starts it, and not as the cargo that runs this test does, which says which toolchain is meant.
    let done = Command::new(env!("CARGO_BIN_EXE_fractal"))
        .args(["tools", "--json"])
        .current_dir(repository.0.path())
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .expect("fractal runs");
    let tools: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(named(&tools, "units")["language"], "rust");
    assert!(!repository.0.path().join("it-ran").exists());
}

#[test]
fn bins_of_package_json_and_scripts_of_pyproject_are_found_and_run() {
    let repository = Repository::with(&[
        ("web/package.json", "{\"name\": \"web\", \"bin\": {\"count\": \"./cli.js\"}}", false),
        ("web/cli.js", "console.log(1)\n", false),
        ("pyproject.toml", "[project]\nname = \"x\"\n[project.scripts]\ngreet = \"greeter.main:hello\"\n", false),
        ("src/greeter/__init__.py", "", false),
        ("src/greeter/main.py", "def hello():\n    print('hello')\n    return 0\n", false),
    ]);
    let tools = repository.tools();
    assert_eq!(named(&tools, "count")["paths"][0], "web/cli.js");
    assert_eq!(named(&tools, "greet")["paths"][0], "src/greeter");
    let done = fractal(repository.0.path(), &["exec", "greet"]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "hello\n");
}

#[test]
fn what_is_declared_wins_over_what_is_found() {
    let config =
        "[[tool]]\nname = \"summary\"\npaths = [\"bin/report\"]\nrun = [\"python3\", \"bin/report\"]\neffects = \"none\"\n";
    let repository = Repository::with(&[("bin/report", PY, true), ("fractal.toml", config, false)]);
    let tools = repository.tools();
    assert_eq!(tools["tools"].as_array().expect("a list").len(), 1);
    assert_eq!(named(&tools, "summary")["origin"], "declared");
}

#[test]
fn a_declared_program_without_an_extension_is_of_the_language_of_its_first_line() {
    let repository = Repository::with(&[
        ("bin/report", PY, true),
        ("bin/clean", "#!/usr/bin/env bash\necho clean\n", true),
        ("bin/picture", "\u{7f}ELF", true),
    ]);
    let before: Vec<_> = ["report", "clean"].map(|name| named(&repository.tools(), name)["language"].clone()).into();
    fractal(repository.0.path(), &["init"]);
    let config = std::fs::read_to_string(repository.0.path().join("fractal.toml")).expect("is there");
    let more = "\n[[tool]]\nname = \"picture\"\npaths = [\"bin/picture\"]\nrun = [\"bin/picture\"]\n";
    std::fs::write(repository.0.path().join("fractal.toml"), config + more).expect("writes");
    let tools = repository.tools();
    assert_eq!(named(&tools, "report")["origin"], "declared");
    assert_eq!(vec![named(&tools, "report")["language"].clone(), named(&tools, "clean")["language"].clone()], before);
    assert_eq!(before, ["python", "shell"]);
    assert_eq!(named(&tools, "picture")["language"], "other");
}

#[test]
fn in_a_large_library_the_status_lists_the_tools_that_are_run() {
    let names: Vec<String> = (0..24).map(|number| format!("bin/tool{number}")).collect();
    let files: Vec<(&str, &str, bool)> = names.iter().map(|name| (name.as_str(), "#!/bin/sh\necho done\n", true)).collect();
    let repository = Repository::with(&files);
    let status = || String::from_utf8_lossy(&fractal(repository.0.path(), &["status"]).stdout).into_owned();
    let rows = |said: &str| said.lines().filter(|line| line.contains("│ tool")).count();
    let said = status();
    assert!(rows(&said) == 25 && !said.contains("more tools"), "all while none is run, below the head: {said}");
    fractal(repository.0.path(), &["exec", "tool7"]);
    let said = status();
    assert!(rows(&said) == 2 && said.contains("tool7") && said.contains("23 more tools have no recorded runs"), "{said}");
}

#[test]
fn the_version_of_a_tool_is_what_plain_git_says_and_follows_the_work_tree() {
    let config =
        "[[tool]]\nname = \"report\"\npaths = [\"bin/report\"]\nrun = [\"python3\", \"bin/report\"]\neffects = \"none\"\n";
    let repository = Repository::with(&[("bin/report", PY, true), ("fractal.toml", config, false)]);
    let path = repository.0.path();
    fractal(path, &["exec", "report"]);
    let listing = repository.git(&["ls-tree", "-r", "-z", "--full-tree", "HEAD", "bin/report"]);
    let listing_file = path.join(".git/listing");
    std::fs::write(&listing_file, listing).expect("writes");
    let by_git = repository.git(&["hash-object", "-t", "blob", "--no-filters", ".git/listing"]);
    let status: serde_json::Value = serde_json::from_slice(&fractal(path, &["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["tools"][0]["version"], by_git[..8]);
    assert_eq!(status["tools"][0]["counts"]["runs"], 1);
    std::fs::write(path.join("bin/report"), format!("{PY}# changed\n")).expect("writes");
    fractal(path, &["exec", "report"]);
    let status: serde_json::Value = serde_json::from_slice(&fractal(path, &["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["tools"][0]["counts"]["runs"], 1, "a run of an uncommitted version is a run of another version");
}

#[test]
fn init_writes_a_file_that_is_read_back_and_names_every_tool_found() {
    let repository =
        Repository::with(&[("a b/report.py", PY, true), ("c/report.py", PY, true), ("bin/odd name!.sh", "#!/bin/sh\n", true)]);
    let path = repository.0.path();
    fractal(path, &["init"]);
    let checked = String::from_utf8_lossy(&fractal(path, &["config", "--check"]).stdout).into_owned();
    assert!(checked.contains("3 tools declared"), "{checked}");
}
