//! Lines are read, refused with their reason, and written back as they were.

use super::*;

fn every_kind() -> Vec<NewExecution> {
    let config = crate::config::Config::default();
    let intake = Intake::new(&config, "/nowhere");
    let exits = [Exit::Code(0), Exit::Code(3), Exit::Signal(11), Exit::TimedOut, Exit::NotStarted("`x`: not found".into())];
    let mut all = Vec::new();
    for (at, exit) in exits.into_iter().enumerate() {
        let bytes = |bytes: &[u8]| Some(Bytes { bytes: bytes.to_vec(), truncated: false });
        let observed = Observed {
            tool: "t".into(),
            version: Version("v1".into()),
            source: RunName::of(&["test", &at.to_string()]),
            at: Timestamp::from_millisecond(1_790_000_000_123).expect("valid"),
            duration: Duration::from_micros(1_234_567),
            args: vec![b"a b".to_vec(), vec![0xff, 0]],
            cwd: (at > 1).then(|| "sub".into()),
            stdin: bytes(b"in\xff"),
            stdout: bytes(b"out"),
            stderr: bytes(b"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'x'\n"),
            exit,
            outcome: None,
            failure: None,
            caller: "ci".into(),
            marked: (at == 0).then(|| Some(b"right".to_vec())),
        };
        all.push(intake.admit(&SuccessRule::default(), observed));
    }
    let mut digest = all[1].clone();
    (digest.stdin, digest.stdout, digest.stderr) = (None, None, None);
    digest.execution.input = digest.execution.input.to_digest();
    all.push(digest);
    let mut marked = all[0].clone();
    marked.expected = None;
    all.push(marked);
    all
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    for new in every_kind() {
        let text = Line::of(&new).text().expect("writes");
        assert_eq!(Line::parse(&text).expect("reads").restore(), new, "{text}");
    }
}

#[test]
fn an_export_that_is_imported_is_the_same_execution() {
    let config = crate::config::Config::default();
    let intake = Intake::new(&config, "/nowhere");
    for new in every_kind() {
        let text = Line::of(&new).text().expect("writes");
        let again = Line::parse(&text).expect("reads").admit(&intake, &SuccessRule::default());
        assert_eq!(again, new, "{text}");
    }
}

#[test]
fn a_short_line_is_enough_and_the_same_each_time() {
    let config = crate::config::Config::default();
    let intake = Intake::new(&config, "/nowhere");
    let text = r#"{"tool":"backup","at":"2026-01-02T03:04:05Z","exit":1,"id":"job 17"}"#;
    let admit = || Line::parse(text).expect("reads").admit(&intake, &SuccessRule::default());
    assert_eq!(admit(), admit());
    assert_eq!((admit().execution.outcome, admit().execution.caller.as_str()), (Outcome::Failure, "import"));
}

#[test]
fn a_rule_about_output_demands_nothing_of_a_line_without_any() {
    let config = crate::config::Config::default();
    let equals = serde_json::json!(true);
    let rule =
        SuccessRule { stdout: Some(crate::model::JsonPredicate { pointer: "/ok".into(), equals }), ..SuccessRule::default() };
    let outcome = |rest: &str| {
        let text = format!(r#"{{"tool":"a","at":0,"exit":0{rest}}}"#);
        Line::parse(&text).expect("reads").admit(&Intake::new(&config, "/nowhere"), &rule).execution.outcome
    };
    assert_eq!(outcome(""), Outcome::Success);
    assert_eq!(outcome(r#","stdout":"{}""#), Outcome::Failure);
}

#[test]
fn what_is_wrong_is_said() {
    for (text, wanted) in [
        (r#"{"tool":"a","at":0}"#, "neither `exit` nor `outcome`"),
        (r#"{"tool":"a","at":0,"exit":0,"argv":[]}"#, "unknown field `argv`"),
        (r#"{"tool":"a b","at":0,"exit":0}"#, "only letters, digits"),
        (r#"{"tool":"a","at":"yesterday","exit":0}"#, "`at`"),
        (r#"{"tool":"a","at":0,"exit":"late"}"#, "an exit code"),
        (r#"{"tool":"a","at":0,"exit":0,"duration_ms":-1}"#, "no length of time"),
        (r#"{"tool":"a","at":0,"exit":0,"stdin":{"base64":"?"}}"#, "base64"),
        (r#"{"v":2,"tool":"a","at":0,"exit":0}"#, "form 2"),
        ("{", "column 1"),
    ] {
        let error = Line::parse(text).expect_err(text).to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}
