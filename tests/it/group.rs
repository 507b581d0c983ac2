//! One improvement of several tools: it lands whole or not at all, and goes whole.

use crate::support::{CALCULATOR, CALCULATOR_TEST, MOMENTS, ORDERS, Repository, lines, word};

/// Copies of one tool under these names, each with tests that end with these lines, in one repository.
pub fn copies(names: &[&str], original: (&str, &str, &str), extra: &[(&str, &str)]) -> Repository {
    let (name, program, test) = original;
    let repository = Repository::of("unused", "pass\n", "");
    let mut config = format!("{MOMENTS}[engine]\ngroup = 8\nparallel = 2\n\n[discover]\nenabled = false\n");
    for tool in names {
        let own = extra.iter().find(|(of, _)| of == tool).map_or("", |(_, lines)| *lines);
        repository.write(&format!("tools/{tool}.py"), &program.replace(name, tool));
        repository.write(&format!("tests/test_{tool}.py"), &format!("{}{own}", test.replace(name, tool)));
        let needs = if own.is_empty() { "needs = [\"tools/__init__.py\", \"tests/__init__.py\"]\n" } else { "" };
        config.push_str(&format!(
            "\n[[tool]]\nname = \"{tool}\"\npaths = [\"tools/{tool}.py\"]\nrun = [\"python3\", \"tools/{tool}.py\"]\n\
             test = [\"python3\", \"-m\", \"unittest\", \"tests.test_{tool}\"]\ntests = [\"tests/test_{tool}.py\"]\n{needs}\
             success = {{ exit = [0, 2] }}\neffects = \"none\"\n"
        ));
    }
    repository.configure(&config);
    repository.commit("copies");
    repository
}

/// Calculators that have failed often enough to be repaired.
fn calculators(names: &[&str], extra: &[(&str, &str)]) -> Repository {
    let repository = copies(names, ("calculator", CALCULATOR, CALCULATOR_TEST), extra);
    for tool in names {
        for number in 1..=6 {
            assert_eq!(repository.exec(tool, &[["add", "sub", "div"][number % 3], &number.to_string(), "4"]), 0);
        }
        for number in 1..=4 {
            assert_eq!(repository.exec(tool, &["div", &number.to_string(), "0"]), 1);
        }
    }
    repository
}

/// Two tools in shell that divide, and whose repair is a person's to approve.
pub fn sharers() -> Repository {
    let names = ["sharer", "splitter"];
    let files = names.map(|name| (format!("{name}.sh"), "#!/bin/bash\necho $(($1 / $2))\n"));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), *content)).collect();
    let repository = Repository::holding(&files, "name = \"none\"\npaths = [\"none\"]\nrun = [\"true\"]\n");
    let tool = |name: &str| {
        format!(
            "\n[[tool]]\nname = \"{name}\"\npaths = [\"{name}.sh\"]\nrun = [\"bash\", \"{name}.sh\"]\n\
             success = {{ exit = [0, 2] }}\neffects = \"none\"\n"
        )
    };
    let settings = format!("{MOMENTS}[engine]\ngroup = 2\n\n[discover]\nenabled = false\n");
    repository.configure(&format!("{settings}{}", names.map(tool).concat()));
    repository.commit("tools that divide");
    for name in names {
        for number in ["1", "2", "3"] {
            assert_eq!((repository.exec(name, &[number, "0"]), repository.exec(name, &[number, "3"])), (1, 0));
        }
    }
    repository
}

fn changed(repository: &Repository, commit: &str) -> Vec<String> {
    let all = lines(&repository.git(&["diff", "--name-only", &format!("{commit}^"), commit]));
    all.into_iter().filter(|path| path.starts_with("tools/")).collect()
}

fn tools(improvement: &serde_json::Value) -> Vec<String> {
    let mut tools: Vec<String> = improvement["tools"].as_array().expect("tools").iter().map(word).collect();
    tools.sort();
    tools
}

#[test]
fn a_group_lands_whole_in_one_commit_and_what_a_person_reverted_is_proposed_by_no_tool_again() {
    let repository = calculators(&["adder", "counter"], &[]);
    let before = repository.tip("main");
    let told = repository.run();
    assert_eq!(told.report()["landed"], 1, "{:#?}", told.0);
    let improvement = repository.improvement();
    assert_eq!((tools(&improvement), word(&improvement["stage"])), (vec!["adder".into(), "counter".into()], "watching".into()));
    assert_eq!(repository.git(&["rev-parse", "main^"]), before);
    assert_eq!(changed(&repository, "main"), ["tools/adder.py", "tools/counter.py"]);
    let message = repository.git(&["log", "-1", "--format=%B", "main"]);
    assert!(message.contains("er: refuse a zero divisor") && message.contains("\nFractal-Tool: counter\n"), "{message}");
    for tool in ["adder", "counter"] {
        assert_eq!(repository.exec(tool, &["div", "77", "0"]), 2);
    }
    repository.assert_clean();
    let landed = repository.tip("main");
    repository.git(&["revert", "--no-edit", &landed]);
    let (told, reverted) = (repository.run(), repository.tip("main"));
    assert!(told.reconciled().contains("a person reverted it"), "{}", told.reconciled());
    for tool in ["adder", "counter"] {
        assert_eq!(repository.exec(tool, &["div", "78", "0"]), 1);
    }
    repository.run();
    assert_eq!((repository.stage().as_str(), repository.tip("main")), ("reverted", reverted));
    assert_eq!(repository.branches().len(), 1);
}

#[test]
fn a_regression_of_one_tool_takes_the_repair_back_from_all_of_them() {
    let test = "import unittest\nfrom tools import orders\n\n\nclass OrdersTest(unittest.TestCase):\n    \
                def test_numbers(self):\n        self.assertEqual(orders.number(\"3\"), 3)\n";
    let repository = copies(&["invoices", "parcels"], ("orders", ORDERS, test), &[]);
    let reference = |number: u64| (97 * number + 1).to_string();
    for tool in ["invoices", "parcels"] {
        for number in 1..=8_u64 {
            assert_eq!(repository.exec(tool, &[&number.to_string(), &reference(1234 * number)]), 0);
        }
        for number in 1..=5_u64 {
            assert_eq!(repository.exec(tool, &[&format!("{number}.0"), &reference(4321 * number)]), 1);
        }
    }
    repository.run();
    assert_eq!(repository.stage(), "watching", "{:#?}", repository.improvement());
    assert_eq!(changed(&repository, "main"), ["tools/invoices.py", "tools/parcels.py"]);
    let landed = repository.tip("main");
    for number in 1..=5_u64 {
        repository.exec("invoices", &["3", &reference(100_000_000_000_000_000 + 1_234_567 * number)]);
        repository.exec("parcels", &["3", &reference(1_234_567 * number)]);
    }
    let told = repository.run();
    assert_eq!(repository.stage(), "reverted", "{:#?}", told.0);
    assert_eq!(repository.git(&["rev-parse", "main^"]), landed);
    assert_eq!(changed(&repository, "main"), ["tools/invoices.py", "tools/parcels.py"]);
    assert_eq!(repository.bot_commits().len(), 2);
    let said = |text: &str| {
        let tools = text.lines().filter_map(|line| line.strip_prefix("Fractal-Tool: "));
        tools.map(str::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    let both = ["invoices", "parcels"].map(str::to_string).into();
    assert_eq!(said(&repository.git(&["log", "-1", "--format=%B", "main"])), both);
    assert_eq!(said(&repository.git(&["notes", "--ref=fractal", "show", &landed])), both);
}

#[test]
fn of_a_group_that_does_not_pass_together_those_land_that_do_and_the_others_say_why() {
    // The last one's tests want the first one as it was.
    let wants = "\n    def test_the_other_one(self):\n        with open(\"tools/adder.py\") as other:\n            \
                 self.assertIn(\"def divide(a, b):\\n    return a / b\\n\", other.read())\n";
    let repository = calculators(&["adder", "counter", "divider"], &[("divider", wants)]);
    let told = repository.run();
    let refused: Vec<&serde_json::Value> = told.of("together").filter(|told| !told["refused"].is_null()).collect();
    assert!(!refused.is_empty() && told.of("together").any(|told| told["refused"].is_null()), "{:#?}", told.0);
    let improvements = repository.improvements();
    let groups: Vec<_> = improvements.iter().filter(|one| tools(one).len() > 1).collect();
    assert_eq!(groups.len(), 1, "{improvements:#?}");
    let group = tools(groups[0]);
    assert!(!(group.contains(&"adder".into()) && group.contains(&"divider".into())), "{group:?}");
    let alone: Vec<_> = improvements.iter().filter(|one| !groups.contains(one)).collect();
    assert_eq!(alone.len(), 1, "{improvements:#?}");
    let log = repository.git(&["cat-file", "-p", &format!("refs/fractal/log:improvements/{}.jsonl", word(&alone[0]["id"]))]);
    assert!(log.contains("does not pass together with them: `divider`: "), "{log}");
    repository.assert_clean();
}
