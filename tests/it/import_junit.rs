//! `fractal import` of JUnit XML: files of programs that nobody here wrote, those programs themselves, and files that are wrong.

use std::fmt::Write as _;
use std::fs;

use fractal::model::{Exit, Outcome};

use crate::common::World;
use crate::import::{data, import, piped, recorded, seen, world};
use crate::peers;

/// Every recorded run in a line, sorted.
fn runs(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = recorded(world)
        .iter()
        .map(|run| {
            let exit = match (&run.outcome, &run.exit) {
                (Outcome::Success, Exit::Code(0)) => "passed".to_string(),
                (Outcome::Failure, Exit::Code(1)) => "failed".to_string(),
                (Outcome::Failure, Exit::Code(2)) => "erred".to_string(),
                (outcome, exit) => format!("{outcome:?} {exit}"),
            };
            let failure = run.failure.as_ref().map(|failure| {
                let frame = failure.frames.first().map(|frame| format!(" in {}", frame.path));
                format!(": {}{}", failure.class, frame.unwrap_or_default())
            });
            format!("{} {} {exit}{}", run.tool, run.input.args[0], failure.unwrap_or_default())
        })
        .collect();
    lines.sort();
    lines
}

/// Imports a file of `tests/data/junit` twice, and packed, and compares what became of it.
fn check(name: &str, args: &[&str], expected: &[&str], remarks: &[&str]) {
    let world = world("");
    let path = data("junit").join(name);
    let path = path.to_str().expect("UTF-8");
    let args = [args, &[path]].concat();
    let said = import(&world, &args).ok();
    for remark in remarks {
        assert!(said.contains(remark), "`{remark}` is not in {said}");
    }
    assert_eq!(runs(&world), expected, "{said}");
    let before = seen(&world);
    let again = import(&world, &args).ok();
    assert!(again.contains(&format!(" 0 new, {} known before", expected.len())), "{again}");
    assert_eq!(seen(&world), before);
}

#[test]
fn pytest_with_reruns_is_read_as_what_ran() {
    check(
        "pytest-reruns.xml",
        &[],
        &[
            "pytest test_shop.TestStock::test_always_fails failed: KeyError in test_shop.py",
            "pytest test_shop.TestStock::test_always_fails failed: KeyError in test_shop.py",
            "pytest test_shop.TestStock::test_always_fails failed: KeyError in test_shop.py",
            "pytest test_shop.TestStock::test_flaky failed: rerun",
            "pytest test_shop.TestStock::test_flaky passed",
            "pytest test_shop::test_basket erred: OSError in test_shop.py",
            "pytest test_shop::test_basket erred: OSError in test_shop.py",
            "pytest test_shop::test_basket erred: OSError in test_shop.py",
            "pytest test_shop::test_discount failed: AssertionError in test_shop.py",
            "pytest test_shop::test_discount failed: AssertionError in test_shop.py",
            "pytest test_shop::test_discount failed: AssertionError in test_shop.py",
            "pytest test_shop::test_orders erred: ConnectionError in test_shop.py",
            "pytest test_shop::test_orders erred: ConnectionError in test_shop.py",
            "pytest test_shop::test_orders erred: ConnectionError in test_shop.py",
            "pytest test_shop::test_total passed",
            "pytest test_shop::test_unit_price[0] failed: ZeroDivisionError in shop.py",
            "pytest test_shop::test_unit_price[0] failed: ZeroDivisionError in shop.py",
            "pytest test_shop::test_unit_price[0] failed: ZeroDivisionError in shop.py",
            "pytest test_shop::test_unit_price[2] passed",
        ],
        &[
            "19 runs of pytest (JUnit XML): 19 new",
            "left out: 2 skipped",
            "why 11 runs failed",
            "no tool here is called `pytest`",
        ],
    );
}

#[test]
fn other_styles_of_pytest() {
    check(
        "pytest-short.xml",
        &[],
        &[
            "pytest test_shop.TestStock::test_always_fails failed: KeyError in test_shop.py",
            "pytest test_shop.TestStock::test_flaky failed: AssertionError in test_shop.py",
            "pytest test_shop::test_basket erred: OSError in test_shop.py",
            "pytest test_shop::test_discount failed: AssertionError in test_shop.py",
            "pytest test_shop::test_orders erred: ConnectionError in test_shop.py",
            "pytest test_shop::test_total passed",
            "pytest test_shop::test_unit_price[0] failed: ZeroDivisionError in shop.py",
            "pytest test_shop::test_unit_price[2] passed",
        ],
        &["left out: 2 skipped"],
    );
    check("pytest-collection.xml", &["--tool", "unit"], &["unit test_broken erred: ModuleNotFoundError in test_broken.py"], &[]);
}

#[test]
fn node_needs_a_tool_and_a_time_and_then_its_suites_tell_its_tests_apart() {
    let world = world("");
    let path = data("junit/node.xml");
    let path = path.to_str().expect("UTF-8");
    world.unchanged_by(|| {
        import(&world, &[path]).refused(2, &["node.xml:3: column 2: the file does not say when this test ran", "--at mtime"]);
        import(&world, &["--at", "mtime", path])
            .refused(2, &["node.xml:3: column 2: this test is in no suite with a name", "--tool"]);
    });
    check(
        "node.xml",
        &["--tool", "node-tests", "--at", "2026-11-25T03:00:00Z"],
        &[
            "node-tests adds prices passed",
            "node-tests knows discounts failed: AssertionError in /srv/shop/shop.test.js",
            "node-tests stock::never ends Failure time-out: time-out",
            "node-tests stock::prints passed",
            "node-tests stock::shelf::is counted passed",
            "node-tests stock::shelf::throws &quot;what&quot; & <why> failed: TypeError in /srv/shop/shop.test.js",
        ],
        &["left out: 2 skipped"],
    );
}

#[test]
fn jest_mocha_and_unittest() {
    check(
        "jest.xml",
        &[],
        &[
            "jest-tests adds prices passed",
            "jest-tests is flaky passed",
            "jest-tests knows discounts failed: Error in /srv/shop/t/shop.test.js",
            "jest-tests stock throws failed: TypeError in /srv/shop/t/shop.test.js",
            "t-broken.test.js Test suite failed to run::t/broken.test.js erred: exit 2",
            "t-broken.test.js Test suite failed to run::t/broken.test.js failed: exit 1",
        ],
        &[
            "taken as UTC",
            "suite `jest tests` is the tool `jest-tests`",
            "suite `t/broken.test.js` is the tool `t-broken.test.js`",
        ],
    );
    check(
        "mocha.xml",
        &[],
        &[
            "shop shop adds prices passed",
            "shop shop knows discounts failed: AssertionError in m/shop.js",
            "shop shop throws failed: TypeError in m/shop.js",
            "stock shop stock \"before all\" hook for \"is counted\" failed: Error in m/shop.js",
        ],
        &[],
    );
    check(
        "unittest.xml",
        &["--caller", "ci"],
        &[
            "test_shop.Shop test_shop.Shop::test_discount failed: AssertionError in /srv/shop/test_shop.py",
            "test_shop.Shop test_shop.Shop::test_sizes (size=2) failed: AssertionError in /srv/shop/test_shop.py",
            "test_shop.Shop test_shop.Shop::test_stock erred: KeyError in /srv/shop/test_shop.py",
            "test_shop.Shop test_shop.Shop::test_total passed",
            "unittest.suite._ErrorHolder setUpClass (test_shop.Database) erred: ConnectionError in /srv/shop/test_shop.py",
        ],
        &["left out: 2 skipped", "suite `test_shop.Shop-20261125025134` is the tool `test_shop.Shop`"],
    );
}

#[test]
fn nextest_and_surefire_tell_each_rerun() {
    check(
        "nextest.xml",
        &[],
        &[
            "shop shop::tests::adds_prices passed",
            "shop shop::tests::is_flaky failed: panic in src/lib.rs",
            "shop shop::tests::is_flaky passed",
            "shop shop::tests::is_too_slow Failure time-out: time-out",
            "shop shop::tests::is_too_slow Failure time-out: time-out",
            "shop shop::tests::knows_discounts failed: panic in src/lib.rs",
            "shop shop::tests::knows_discounts failed: panic in src/lib.rs",
        ],
        &[],
    );
    check(
        "surefire.xml",
        &["--at", "2026-01-01T00:00:00Z"],
        &[
            "shop.ShopTest shop.ShopTest::addsPrices passed",
            "shop.ShopTest shop.ShopTest::isFlaky erred: java.lang.IllegalStateException",
            "shop.ShopTest shop.ShopTest::isFlaky failed: org.opentest4j.AssertionFailedError",
            "shop.ShopTest shop.ShopTest::isFlaky passed",
            "shop.ShopTest shop.ShopTest::knowsDiscounts erred: java.lang.IllegalStateException",
            "shop.ShopTest shop.ShopTest::knowsDiscounts failed: org.opentest4j.AssertionFailedError",
            "shop.ShopTest shop.ShopTest::knowsDiscounts failed: org.opentest4j.AssertionFailedError",
            "shop.ShopTest shop.ShopTest::throwsAlways erred: java.lang.IllegalStateException",
        ],
        &["left out: 1 skipped"],
    );
}

#[test]
fn only_what_ran_counts_and_only_what_pytest_ran_again_is_a_rerun() {
    let world = world("");
    // What is bare and comes again is a rerun where there are more cases than tests: not under `pytest-xdist --dist each`.
    let suite = |name: &str, tests: u32| {
        let case = "<testcase classname='c' name='a'/><testcase classname='c' name='a'/>";
        format!("<testsuite name='{name}' tests='{tests}' timestamp='2026-01-01T00:00:00Z'>{case}</testsuite>")
    };
    let not_run = "<testsuite name='g' timestamp='2026-01-01T00:00:00Z'><testcase name='a' status='notrun' result='suppressed'/>\
        <testcase name='b' status='run' result='completed'/><testcase name='c'><skipped/><failure/></testcase></testsuite>";
    let report = [&suite("pytest", 1), &suite("other", 1), not_run].concat();
    let said = piped(&world, &[], format!("\u{feff}<testsuites>{report}</testsuites>").as_bytes()).ok();
    assert!(said.contains("left out: 2 skipped"), "{said}");
    let expected = ["g b passed", "other c::a passed", "other c::a passed", "pytest c::a failed: rerun", "pytest c::a passed"];
    assert_eq!(runs(&world), expected);
    piped(&world, &["--tool", "each"], suite("pytest", 2).as_bytes()).ok();
    assert_eq!(runs(&world)[..2], ["each c::a passed", "each c::a passed"]);
}

#[test]
fn times_and_output_are_those_of_the_file() {
    let world = world("");
    let report = "<testsuites><testsuite name='s' timestamp='2026-01-01T00:00:00+02:00'>\
        <testcase name='a' time='1.5'><system-out>one</system-out><system-out><![CDATA[ <two>]]></system-out></testcase>\
        <testsuite name='inner'><testcase name='b' time='1,000.25'/></testsuite><testcase name='c' time='NaN'/>\
        <testcase name='d' timestamp='2026-01-01 12:00:00'><system-err>&#x6e;&#111; &amp; no</system-err></testcase>\
        </testsuite></testsuites>";
    piped(&world, &[], report.as_bytes()).ok();
    let mut times: Vec<String> =
        recorded(&world).iter().map(|run| format!("{} {} {:?}", run.input.args[0], run.at, run.duration)).collect();
    times.sort();
    let expected = [
        "a 2025-12-31T22:00:00Z 1.5s",
        "b 2025-12-31T22:00:01.5Z 1000.25s",
        "c 2025-12-31T22:16:41.75Z 0ns",
        "d 2026-01-01T12:00:00Z 0ns",
    ];
    assert_eq!(times, expected);
    let runs = recorded(&world);
    let of = |name: &str| runs.iter().find(|run| run.input.args[0].to_string() == name).expect("is there");
    let blob = |text: &str| Some(fractal::model::BlobId::of(text.as_bytes()));
    assert_eq!((&of("a").stdout, &of("d").stderr), (&blob("one <two>"), &blob("no & no")));
}

#[test]
fn what_is_wrong_with_a_file_has_a_line_and_a_column_and_nothing_of_it_is_stored() {
    let world = world("");
    let suite = "<testsuite name='s' timestamp='2026-01-01T00:00:00Z'>\n  <testcase name='a'/>\n";
    let deep = "<testsuite name='s'>\n".repeat(70);
    let laughs = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>\n<testsuite name='&b;'/>";
    let outside = format!(
        "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>\n{suite}<testcase name='b'><failure>&a;</failure></testcase></testsuite>"
    );
    let path = format!("<testsuite name='{}'>\n", "y".repeat(500)).repeat(5);
    let long = format!("{suite}  <testcase name='{}'/></testsuite>", "x".repeat(70_000));
    for (report, wanted) in [
        (
            format!("{suite}</testsuites>"),
            "3: column 1: ill-formed document: expected `</testsuite>`, but `</testsuites>` was found",
        ),
        (suite.to_string(), "3: column 1: the file ends inside of `testsuite`"),
        (format!("{suite}<testcase name='b'"), "3: column 1: syntax error: tag not closed"),
        (format!("{suite}  <testcase name='b' name='c'/></testsuite>"), "3: column 3: position"),
        (format!("{suite}  <testcase name=b/></testsuite>"), "3: column 3: "),
        (format!("{suite}  <testcase classname=' '/></testsuite>"), "3: column 3: this test has no name"),
        (format!("{suite}a & b</testsuite>"), "3: column 3: "),
        (format!("{suite}</testsuite>\n{suite}</testsuite>"), "4: column 1: `testsuite` follows after the end"),
        ("name,exit\na,0\n".to_string(), "1: column 1: text outside of any element"),
        ("<html>\n</html>".to_string(), "1: column 1: this is not JUnit XML: it begins with `html`"),
        ("<?xml version='1.0'?>\n".to_string(), "2: column 1: there is no XML element"),
        (
            "<testsuite name='\u{65e5}' timestamp='2026-01-01T00:00:00Z'>\n<testcase name='a'/></testsuite>".to_string(),
            "2: column 1: nothing of the suite's name",
        ),
        (deep, "65: column 1: more than 64 elements inside each other"),
        (laughs.to_string(), "2: column 1: "),
        (outside, "4: column 29: `&a;` is none of XML's own entities"),
        (path.clone(), "6: column 1: the file ends"),
        (format!("{path}{}", "</testsuite>".repeat(5)), "5: column 1: the names of the suites here have more than 2048 bytes"),
        (long, "3: column 3: the attribute `name` is longer than 65536 bytes"),
        (format!("{suite}\0</testsuite>"), "3: column 1: a NUL byte"),
    ] {
        let said = piped(&world, &["--format", "junit"], report.as_bytes());
        said.refused(2, &[&format!("error: standard input:{wanted}"), "hint: "]);
    }
    let latin = [b"<?xml version='1.0' encoding='ISO-8859-1'?>\n<testsuite name='caf", "\u{e9}".as_bytes(), b"'/>"].concat();
    piped(&world, &[], &latin).refused(2, &["input:1: column 1: the encoding `iso-8859-1` is not read", "iconv"]);
    piped(&world, &[], b"<testsuite>\n  \xe9").refused(2, &["input:2: column 3: this is not UTF-8", "iconv"]);
    piped(&world, &[], b"\xff\xfe<\0t\0").refused(2, &["the encoding UTF-16 is not read"]);
    assert!(!world.repo().join(".git/fractal/executions.db").exists());
}

#[test]
fn a_report_is_of_the_work_tree_unless_somebody_says_another_commit_and_stays_what_it_was() {
    let world = world("");
    let report = "<testsuite name='greet' timestamp='2026-01-01T00:00:00Z'><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>";
    piped(&world, &[], report.as_bytes()).ok();
    let versions = |world: &World| recorded(world).into_iter().map(|run| run.version.0).collect::<Vec<_>>();
    let listing = "git ls-tree -r -z --full-tree HEAD greet.sh | git hash-object --stdin";
    let old = world.run(world.command("sh").args(["-c", listing])).ok().trim().to_string();
    assert_eq!(versions(&world), [old.clone(), old.clone()]);
    let before = seen(&world);
    world.write("greet.sh", "echo changed\n");
    assert!(piped(&world, &[], report.as_bytes()).ok().contains("0 new, 2 known before"));
    assert_eq!(seen(&world), before);
    world.commit("another greeting");
    let new = world.run(world.command("sh").args(["-c", listing])).ok().trim().to_string();
    for _ in 0..2 {
        piped(&world, &["--version", "HEAD"], report.as_bytes()).ok();
        assert_eq!(versions(&world).iter().filter(|version| **version == new).count(), 2);
        assert_eq!(versions(&world).len(), 4);
    }
}

const TESTS: &str = r#"import pathlib
import pytest

def test_passes():
    pass

def test_fails():
    assert [1] == [2]

@pytest.fixture
def database():
    raise ConnectionError("no database")

def test_errs(database):
    pass

@pytest.mark.skip
def test_is_skipped():
    pass

def test_is_flaky():
    seen = pathlib.Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise KeyError("the first run fails")
"#;

#[test]
fn what_pytest_writes_here_and_now_is_read() {
    let Some(python) = peers::python() else { return };
    let world = world("");
    world.write("test_it.py", TESTS);
    let mut command = world.command(python);
    let args = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns", "1", "--junitxml", "report.xml"];
    let said = world.run(command.args(args));
    assert_eq!(said.code, Some(1), "{said:#?}");
    let expected = [
        "pytest test_it::test_errs erred: ConnectionError in test_it.py",
        "pytest test_it::test_errs erred: ConnectionError in test_it.py",
        "pytest test_it::test_fails failed: AssertionError in test_it.py",
        "pytest test_it::test_fails failed: AssertionError in test_it.py",
        "pytest test_it::test_is_flaky failed: rerun",
        "pytest test_it::test_is_flaky passed",
        "pytest test_it::test_passes passed",
    ];
    for new in [7, 0] {
        let said = import(&world, &["report.xml", "--json"]).json();
        assert_eq!((said["new"].as_u64(), said["remarks"][0].as_str()), (Some(new), Some("left out: 1 skipped")));
        assert_eq!(runs(&world), expected);
    }
    let age = jiff::Timestamp::now().duration_since(recorded(&world)[0].at).as_secs();
    assert!((0..600).contains(&age), "{age} seconds old");
}

#[test]
fn what_node_writes_here_and_now_is_read() {
    let found = std::process::Command::new("node").arg("--version").output().is_ok();
    let Some(()) = peers::or_not_run(found.then_some(()), "node") else { return };
    let world = world("");
    world.write(
        "it.test.js",
        "const { test, describe } = require('node:test');\ntest('passes', () => {});\n\
         describe('s', () => { test('throws', () => { throw new RangeError('too far'); }); test('x', { skip: true }, () => {}); });\n",
    );
    let said = world.run(world.command("node").args(["--test", "--test-reporter=junit", "it.test.js"]));
    assert_eq!(said.code, Some(1), "{said:#?}");
    world.write("report.xml", &said.out);
    for _ in 0..2 {
        import(&world, &["--tool", "node", "--at", "mtime", "report.xml"]).ok();
        assert_eq!(runs(&world), ["node passes passed", "node s::throws failed: RangeError in it.test.js"]);
    }
}

#[test]
fn many_tests_at_once() {
    let world = world("");
    let mut report = "<testsuite name='greet' timestamp='2026-01-01T00:00:00Z'>".to_string();
    for number in 0..3_000 {
        write!(report, "<testcase classname='c{}' name='n{number}' time='0.01'/>", number % 10).expect("writes");
    }
    report.push_str("</testsuite>");
    fs::write(world.outside("report.xml"), report).expect("writes");
    let path = world.outside("report.xml");
    assert!(import(&world, &[path.to_str().expect("UTF-8")]).ok().contains("3000 new"));
    assert!(import(&world, &[path.to_str().expect("UTF-8")]).ok().contains("0 new, 3000 known before"));
}
