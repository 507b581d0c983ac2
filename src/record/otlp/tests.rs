//! What spans and log records in JSON become. That protobuf says the same is shown by the real SDK in `tests/it/otlp.rs`.

use prost::Message;
use serde_json::{Value as Json, json};

use super::*;
use crate::config::Config;
use crate::model::{Exit, Outcome};
use crate::world::catalog::declared;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn tools() -> Tools {
    let text = "[[tool]]\nname = \"report\"\npaths = [\"tools/report.py\"]\nrun = [\"python3\", \"tools/report.py\"]\n\
                success = { exit = [0], stdout = { pointer = \"/ok\", equals = true } }\n";
    Tools::of(declared(&Config::parse(text).expect("valid")))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("valid")
}

/// Attributes as OTLP writes them in JSON.
fn attributes(plain: &Json) -> Json {
    fn value(plain: &Json) -> Json {
        match plain {
            Json::String(text) => json!({ "stringValue": text }),
            Json::Bool(value) => json!({ "boolValue": value }),
            Json::Number(number) if number.is_i64() => json!({ "intValue": number.to_string() }),
            Json::Number(number) => json!({ "doubleValue": number }),
            Json::Array(values) => json!({ "arrayValue": { "values": values.iter().map(value).collect::<Vec<_>>() } }),
            Json::Object(_) => json!({ "kvlistValue": { "values": attributes(plain) } }),
            Json::Null => json!({}),
        }
    }
    let pairs = plain.as_object().expect("an object").iter();
    pairs.map(|(key, plain)| json!({ "key": key, "value": value(plain) })).collect()
}

fn span(plain: &Json) -> Json {
    json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": "eee19b7ec3c1b173",
        "startTimeUnixNano": "1799999990000000000", "endTimeUnixNano": 1_799_999_990_250_000_000_u64,
        "kind": 1, "attributes": attributes(plain),
    })
}

fn request(resource: &Json, spans: &[Json]) -> Json {
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes(resource) }, "scopeSpans": [{ "spans": spans }] }] })
}

fn deliver(resource: &Json, spans: &[Json]) -> Delivery {
    let body = request(resource, spans).to_string();
    read(Signal::Traces, Encoding::Json, body.as_bytes(), &tools(), "/srv/app", now()).expect("reads")
}

#[track_caller]
fn told(resource: &Json, span: Json) -> Told {
    let delivery = deliver(resource, &[span]);
    assert_eq!(delivery.refused.why, "");
    let [told] = delivery.told.try_into().expect("one execution");
    told
}

#[track_caller]
fn run(plain: &Json) -> crate::record::Observed {
    told(&json!({}), span(plain)).run
}

#[track_caller]
fn refused(span: Json, why: &str) {
    let delivery = deliver(&json!({}), &[span]);
    assert!(delivery.told.is_empty());
    assert!(delivery.refused.why.contains(why), "{}", delivery.refused.why);
}

fn with(mut span: Json, key: &str, value: Json) -> Json {
    span[key] = value;
    span
}

fn args(run: &crate::record::Observed) -> Vec<String> {
    run.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

#[test]
fn a_span_of_a_process_is_a_run_of_the_tool_with_its_arguments() {
    let resource = json!({ "service.name": "nightly", "vcs.ref.head.revision": COMMIT });
    let command = ["/usr/bin/python3", "/srv/app/tools/report.py", "--day", "2"];
    let told = told(
        &resource,
        span(&json!({ "process.command_args": command, "process.exit.code": 3, "process.executable.name": "python3.11",
            "process.working_directory": "/srv/app/data/" })),
    );
    let run = told.run;
    assert_eq!((run.tool.as_str(), args(&run).join(" ").as_str(), run.caller.as_str()), ("report", "--day 2", "nightly"));
    assert_eq!((run.exit.clone(), run.outcome, run.stdin.clone()), (Exit::Code(3), None, None));
    assert_eq!((run.cwd.as_deref(), run.duration.as_millis()), (Some("data"), 250));
    assert_eq!(run.at, Timestamp::from_second(1_799_999_990).expect("valid"));
    assert_eq!(told.revision.expect("a commit").0, COMMIT);
}

#[test]
fn a_call_by_an_agent_is_a_run_that_is_never_repeated() {
    let call = json!({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "report",
        "gen_ai.tool.call.arguments": { "day": 2 }, "gen_ai.tool.call.result": "17" });
    let found = run(&call);
    assert_eq!((found.tool.as_str(), args(&found)), ("report", vec![r#"{"day":2}"#.to_string()]));
    assert!(found.stdin.expect("says that it is not known").truncated);
    assert_eq!(found.stdout.expect("kept").bytes, b"17");
    assert_eq!(run(&json!({ "mcp.method.name": "tools/call", "gen_ai.tool.name": "x" })).tool, "x");
    for other in [
        json!({ "gen_ai.operation.name": "chat", "gen_ai.tool.name": "report" }),
        json!({ "mcp.method.name": "tools/list", "gen_ai.tool.name": "report" }),
        json!({ "http.request.method": "GET" }),
        json!({ "gen_ai.tool.name": null }),
    ] {
        assert_eq!(deliver(&json!({}), &[span(&other)]), Delivery::default(), "{other}");
    }
}

#[test]
fn a_command_that_an_agent_runs_is_the_command_when_it_is_a_tool_of_the_repository() {
    let shell = |program: &str| {
        run(&json!({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "shell", "process.executable.name": program }))
            .tool
    };
    assert_eq!((shell("report.py").as_str(), shell("curl").as_str()), ("report", "shell"));
    assert_eq!(run(&json!({ "process.executable.name": "curl" })).tool, "curl");
}

#[test]
fn a_resource_names_the_tool_of_the_first_span_of_its_process_only() {
    let resource = json!({ "fractal.tool": "report", "process.command_args": ["report.py", "7"] });
    let with_parent = span(&json!({}));
    assert!(deliver(&resource, std::slice::from_ref(&with_parent)).told.is_empty());
    let first = told(&resource, with(with_parent.clone(), "parentSpanId", json!(null)));
    assert_eq!((first.run.tool.as_str(), args(&first.run)), ("report", vec!["7".to_string()]));
    assert_eq!(told(&resource, with(with_parent.clone(), "flags", json!(0x301))).run.tool, "report");
    assert!(deliver(&resource, &[with(with_parent, "flags", json!(0x101))]).told.is_empty());
    // Attributes of a process on a resource are no execution: every span of a service would be one.
    let service = json!({ "process.executable.name": "report.py", "process.command_args": ["report.py"] });
    assert!(deliver(&service, &[with(span(&json!({})), "parentSpanId", json!(""))]).told.is_empty());
}

#[test]
fn how_it_ended_is_the_exit_code_or_else_the_status() {
    let ended = |plain: Json, status: i32| {
        let mut plain = plain;
        plain["fractal.tool"] = json!("report");
        let run = told(&json!({}), with(span(&plain), "status", json!({ "code": status, "message": "it broke" }))).run;
        (run.exit, run.outcome, run.failure.and_then(|said| said.class))
    };
    let failure = Some(Outcome::Failure);
    assert_eq!(ended(json!({}), 0), (Exit::Code(0), None, None));
    assert_eq!(ended(json!({}), 2), (Exit::Code(1), failure, None));
    assert_eq!(ended(json!({ "error.type": "timeout" }), 0), (Exit::Code(1), failure, Some("timeout".into())));
    assert_eq!(ended(json!({ "process.exit.code": 1, "error.type": "1" }), 2), (Exit::Code(1), None, None));
    assert_eq!(ended(json!({ "process.exit.code": 0 }), 2), (Exit::Code(0), failure, None));
    assert_eq!(ended(json!({ "process.exit_code": "-9" }), 2), (Exit::Signal(9), None, None));
    assert_eq!(ended(json!({ "process.exit.code": 3_221_225_477_i64 }), 2).0, Exit::Code(-1_073_741_819));
}

#[test]
fn of_an_output_that_nobody_sent_nothing_is_demanded() {
    let outcome = |plain: Json| {
        let run = run(&plain);
        tools().success_of(&run).judge(&run.exit, run.stdout.as_ref().map_or(b"", |stream| &stream.bytes))
    };
    assert_eq!(outcome(json!({ "fractal.tool": "report" })), Outcome::Success);
    assert_eq!(outcome(json!({ "fractal.tool": "report", "fractal.stdout": "{}" })), Outcome::Failure);
    assert_eq!(outcome(json!({ "fractal.tool": "report", "fractal.stdout": r#"{"ok": true}"# })), Outcome::Success);
}

#[test]
fn an_exception_says_why_it_failed() {
    let exception = json!({ "exception.type": "KeyError", "exception.message": "'a'", "exception.stacktrace": "Traceback" });
    let events = json!([{ "name": "retry" }, { "name": "exception", "attributes": attributes(&exception) }]);
    let span = with(span(&json!({ "fractal.tool": "report", "error.type": "_OTHER" })), "events", events);
    let said = told(&json!({}), span).run.failure.expect("says why");
    assert_eq!((said.class.as_deref(), said.message.as_str(), said.trace.as_str()), (Some("KeyError"), "'a'", "Traceback"));
    let stderr = run(&json!({ "fractal.tool": "report", "error.type": "oops", "fractal.stderr": "Traceback" })).failure;
    assert_eq!(stderr.map(|said| said.trace).as_deref(), Some("Traceback"));
}

#[test]
fn what_cannot_be_an_execution_is_refused_with_the_reason() {
    let ours = span(&json!({ "fractal.tool": "report" }));
    refused(span(&json!({ "fractal.tool": "a b" })), "`a b` cannot name a tool");
    refused(with(ours.clone(), "endTimeUnixNano", json!(0)), "when it began and ended");
    refused(with(ours.clone(), "endTimeUnixNano", json!("1799999989000000000")), "before it began");
    refused(with(ours.clone(), "endTimeUnixNano", json!("1900000000000000000")), "has not come yet");
    refused(with(ours.clone(), "startTimeUnixNano", json!(1)), "too long for a run");
    refused(with(ours.clone(), "traceId", json!("5B8E")), "a trace id has 16 bytes");
    refused(with(ours, "spanId", json!("0000000000000000")), "not all of them 0");
    refused(span(&json!({ "fractal.tool": "report", "process.exit.code": 1_i64 << 40 })), "no exit code");
    // What is none of our business is not refused, whatever else is wrong with it.
    assert_eq!(deliver(&json!({}), &[with(span(&json!({})), "endTimeUnixNano", json!(0))]), Delivery::default());
    let both = deliver(&json!({}), &[span(&json!({ "fractal.tool": "a/b" })), span(&json!({ "fractal.tool": "\u{1b}[2J" }))]);
    let answer = accepted(Signal::Traces, Encoding::Json, &both.refused);
    let answer: Json = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "2");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().expect("text").starts_with("2 are refused; the first: `a/b`"));
}

#[test]
fn a_working_directory_that_leads_elsewhere_is_left_out() {
    let cwd = |folder: &str| run(&json!({ "fractal.tool": "report", "process.working_directory": folder })).cwd;
    assert_eq!((cwd("/srv/app").as_deref(), cwd("/srv/app/a/b").as_deref()), (Some(""), Some("a/b")));
    for elsewhere in ["/srv/application", "/srv/app/../x", "/srv/app/a//b", "/srv/app/.git", "a", ""] {
        assert_eq!(cwd(elsewhere), None, "{elsewhere}");
    }
}

#[test]
fn a_log_record_is_an_execution_only_when_it_says_how_one_ended() {
    let record = |plain: Json| {
        let record = json!({ "timeUnixNano": "1799999990000000000", "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": "eee19b7ec3c1b174", "severityNumber": 9, "body": { "stringValue": "no such day" }, "attributes": attributes(&plain) });
        let body = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [record] }] }] }).to_string();
        read(Signal::Logs, Encoding::Json, body.as_bytes(), &tools(), "/srv/app", now()).expect("reads")
    };
    let ended = json!({ "process.executable.name": "report.py", "process.exit.code": 2, "fractal.duration_ms": 1500 });
    let [told] = record(ended.clone()).told.try_into().expect("one execution");
    assert_eq!((told.run.tool.as_str(), told.run.duration.as_millis(), told.run.exit.clone()), ("report", 1500, Exit::Code(2)));
    assert_eq!(told.run.failure.as_ref().map(|said| said.message.as_str()), Some("no such day"));
    assert_eq!(told.run.source, record(ended).told[0].run.source);
    assert_ne!(told.run.source, record(json!({ "fractal.tool": "report" })).told[0].run.source);
    for other in [json!({}), json!({ "gen_ai.tool.name": "report" }), json!({ "process.executable.name": "report.py" })] {
        assert_eq!(record(other), Delivery::default());
    }
    assert!(record(json!({ "fractal.tool": "report", "fractal.duration_ms": -1 })).refused.why.contains("no length of time"));
}

#[test]
fn json_is_read_as_the_protocol_says() {
    let parse = |text: &str| read(Signal::Traces, Encoding::Json, text.as_bytes(), &tools(), "", now());
    for fine in
        ["{}", r#"{"resourceSpans": null}"#, r#"{"resourceSpans": [{"scopeSpans": [{"scope": {}, "spans": [], "new": {}}]}]}"#]
    {
        assert_eq!(parse(fine), Ok(Delivery::default()), "{fine}");
    }
    for wrong in
        ["", "[1]", r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}"#, r#"{"resourceSpans": 1}"#]
    {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let deep = format!(r#"{{"resourceSpans": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep).is_err());
    let value = |text: &str| serde_json::from_str::<proto::AnyValue>(text).expect("reads").to_json();
    assert_eq!(value(r#"{"intValue": -5}"#), json!(-5));
    assert_eq!(value(r#"{"doubleValue": "NaN", "kind": 1}"#), json!(null));
    assert_eq!(value(r#"{"bytesValue": "_-8="}"#), json!("/+8="));
    assert_eq!(value(r#"{"arrayValue": {"values": [{"boolValue": true}, {}]}}"#), json!([true, null]));
    assert!(serde_json::from_str::<proto::AnyValue>(r#"{"intValue": "9223372036854775808"}"#).is_err());
}

#[test]
fn both_encodings_say_the_same() {
    let body =
        request(&json!({ "service.name": "s" }), &[span(&json!({ "fractal.tool": "report", "fractal.stdin": [1, 2.5, {}] }))]);
    let message: ExportTraceServiceRequest = serde_json::from_value(body.clone()).expect("reads");
    let read = |encoding, body: &[u8]| read(Signal::Traces, encoding, body, &tools(), "", now()).expect("reads");
    let protobuf = read(Encoding::Protobuf, &message.encode_to_vec());
    assert_eq!(protobuf.told.len(), 1);
    assert_eq!(protobuf, read(Encoding::Json, body.to_string().as_bytes()));
    let refused = Refused { count: 1, why: "x".into() };
    let answer = accepted(Signal::Logs, Encoding::Protobuf, &refused);
    let answer = ExportLogsServiceResponse::decode(answer.as_slice()).expect("reads").partial_success.expect("is set");
    assert_eq!((answer.rejected_log_records, answer.error_message.as_str()), (1, "x"));
    assert_eq!(accepted(Signal::Logs, Encoding::Protobuf, &Refused::default()), b"");
    assert_eq!(accepted(Signal::Traces, Encoding::Json, &Refused::default()), b"{}");
    assert_eq!(Status::decode(failed(Encoding::Protobuf, "why").as_slice()).expect("reads").message, "why");
}

#[test]
fn content_types_are_told_whatever_comes_after_them() {
    assert_eq!(Encoding::of_content_type("Application/JSON; charset=utf-8"), Some(Encoding::Json));
    assert_eq!(Encoding::of_content_type("application/x-protobuf"), Some(Encoding::Protobuf));
    assert_eq!(Encoding::of_content_type("text/plain"), None);
}
