//! Models over the wire: the same questions in every protocol, and what becomes of everything that a server can do wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fractal::config::{ModelConfig, Provider, Recordings, Span};
use fractal::model::Cost;
use fractal::world::clock::Clock;
use fractal::world::provider::{AskError, Models, Question, Role, Stop};
use serde_json::json;

use crate::oracle::{KEY, Oracle, Say};

const PROTOCOLS: [(Provider, &str); 3] = [
    (Provider::Compatible, "/v1/chat/completions"),
    (Provider::OpenAiResponses, "/v1/responses"),
    (Provider::Anthropic, "/v1/messages"),
];

fn question() -> Question {
    let said = |role, text: &str| (role, text.to_string());
    Question {
        system: "You repair programs.".into(),
        messages: vec![said(Role::User, "first"), said(Role::Assistant, "an answer"), said(Role::User, "again, Zoë")],
        temperature: Some(1.5),
        answer_tokens: 500,
        form: None,
        sample: 0,
    }
}

fn config(provider: Provider, address: &str) -> ModelConfig {
    ModelConfig {
        provider,
        name: "gpt-4o-mini".into(),
        url: address.into(),
        recordings: Recordings::Off,
        timeout: Span(Duration::from_millis(1500)),
        ..ModelConfig::default()
    }
}

fn clock() -> (Clock, Arc<AtomicI64>) {
    let at = Arc::new(AtomicI64::new(0));
    (Clock::Fixed(at.clone()), at)
}

fn opened(config: &ModelConfig, state: &std::path::Path, clock: Clock) -> Models {
    let redact = Box::new(|text: &str| text.replace("swordfish", "<masked>"));
    Models::with_key(config, Some(KEY.into()), state, clock, redact).expect("can be asked")
}

fn ask(config: &ModelConfig, question: &Question) -> Result<fractal::world::provider::Reply, AskError> {
    let folder = tempfile::tempdir().expect("a folder");
    opened(config, folder.path(), clock().0).ask(question)
}

#[test]
fn every_protocol_carries_the_same_question_and_answer_streaming_and_not() {
    for (provider, path) in PROTOCOLS {
        for stream in [false, true] {
            let text = "Grüße, \"Zoë\"\nand more";
            let oracle = Oracle::always(Say::Text(text.into()));
            let config = ModelConfig { stream, ..config(provider, &oracle.address) };
            let reply = ask(&config, &question()).unwrap_or_else(|error| panic!("{provider:?} {stream}: {error}"));
            assert_eq!((reply.text.as_str(), reply.stop), (text, Stop::End), "{provider:?} {stream}");
            let asked = oracle.asked();
            assert_eq!((asked.len(), asked[0].path.as_str()), (1, path));
            assert!(asked[0].told.contains("You repair programs.") && asked[0].told.ends_with("again, Zoë"), "{:?}", asked[0]);
            let Cost { attempts, input_tokens, output_tokens, micro_usd, .. } = reply.cost;
            assert_eq!(
                (attempts, input_tokens, output_tokens),
                (1, asked[0].told.len().div_ceil(4) as u64, text.len().div_ceil(4) as u64)
            );
            assert_eq!(micro_usd, (0.15 * input_tokens as f64 + 0.6 * output_tokens as f64).ceil() as u64);
            assert!(!reply.estimated && !reply.recorded);
        }
    }
}

#[test]
fn structured_output_is_asked_for_as_each_protocol_has_it() {
    let schema = json!({"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]});
    for (provider, _) in PROTOCOLS {
        for stream in [false, true] {
            let oracle = Oracle::always(Say::Text(r#"{"title":"x"}"#.into()));
            let question = Question { form: Some(("edits", schema.clone())), ..question() };
            let config = ModelConfig { stream, ..config(provider, &oracle.address) };
            assert_eq!(ask(&config, &question).expect("answers").text, r#"{"title":"x"}"#, "{provider:?} {stream}");
            let body = &oracle.asked()[0].body;
            let sent = match provider {
                Provider::Anthropic => &body["tools"][0]["input_schema"],
                Provider::OpenAiResponses => &body["text"]["format"]["schema"],
                _ => &body["response_format"]["json_schema"]["schema"],
            };
            assert_eq!(sent, &schema);
        }
    }
}

#[test]
fn a_refusal_and_an_answer_that_is_too_long_are_told_apart_from_answers() {
    for (provider, _) in PROTOCOLS {
        for stream in [false, true] {
            let stop = |say| {
                let oracle = Oracle::always(say);
                ask(&ModelConfig { stream, ..config(provider, &oracle.address) }, &question()).expect("answers").stop
            };
            assert_eq!(stop(Say::Refusal("I will not")), Stop::Refused, "{provider:?} {stream}");
            assert_eq!(stop(Say::Long("half a".into())), Stop::Length, "{provider:?} {stream}");
        }
    }
}

#[test]
fn what_may_have_cost_something_is_not_asked_again() {
    let broken: [(Say, &str); 5] = [
        (Say::Cut("an answer that does not arrive".repeat(9)), "broke off"),
        (Say::Enormous, "larger than 1 MiB"),
        (Say::Never, "no answer within 1.5s"),
        (Say::Status(400, None), "as the script says (status 400)"),
        (Say::Status(422, Some("1")), "status 422"),
    ];
    for (provider, _) in PROTOCOLS {
        for stream in [false, true] {
            for (say, wanted) in &broken {
                let oracle = Oracle::always(say.clone());
                let reply = ask(&ModelConfig { stream, ..config(provider, &oracle.address) }, &question());
                let error = reply.map(|reply| reply.text.len()).expect_err("broken");
                assert!(matches!(error, AskError::Broken(_)), "{provider:?} {stream} {say:?}: {error:?}");
                assert!(error.to_string().contains(wanted), "{provider:?} {stream}: {error}");
                assert_eq!(oracle.asked().len(), 1, "{say:?}");
            }
        }
    }
    let oracle = Oracle::always(Say::NotUtf8);
    let error = ask(&config(Provider::Compatible, &oracle.address), &question()).expect_err("no text");
    assert_eq!(error, AskError::Broken("the answer is no text".into()));
}

#[test]
fn a_busy_provider_is_asked_again_after_the_time_it_names_and_a_long_time_is_not_waited_for() {
    let times = |says: Vec<Say>| {
        let oracle = Oracle::in_turn(says);
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, at) = clock();
        let reply = opened(&config(Provider::Compatible, &oracle.address), folder.path(), clock).ask(&question());
        (reply.map(|reply| reply.text).map_err(|error| error.to_string()), oracle.asked().len(), at.load(Ordering::SeqCst))
    };
    let ok = || Say::Text("ok".into());
    assert_eq!(times(vec![Say::Status(429, Some("7")), ok()]), (Ok("ok".into()), 2, 7_000));
    assert_eq!(times(vec![Say::Status(429, None), Say::Status(503, None), ok()]), (Ok("ok".into()), 3, 3_000));
    assert_eq!(times(vec![Say::Status(500, None), ok()]), (Ok("ok".into()), 2, 1_000));
    let (answer, asked, waited) = times(vec![Say::Status(429, Some("3600"))]);
    assert_eq!((asked, waited), (1, 0));
    assert!(answer.expect_err("away").contains("it wants to be asked again in 3600 s"));
    let (answer, asked, _) = times(vec![Say::Status(500, None)]);
    assert_eq!((answer, asked), (Err("as the script says (status 500)".into()), 3));
}

#[test]
fn nobody_at_the_address_a_wrong_key_and_a_redirect_each_say_what_is_wrong() {
    let nobody = ask(&config(Provider::Compatible, "http://127.0.0.1:9/v1"), &question()).expect_err("nobody is there");
    assert!(matches!(&nobody, AskError::Away(why) if why.contains("no connection")), "{nobody:?}");
    let oracle = Oracle::always(Say::Elsewhere);
    let elsewhere = ask(&config(Provider::Anthropic, &oracle.address), &question()).expect_err("a redirect");
    assert!(matches!(&elsewhere, AskError::Setup(why) if why.contains("`[model] url`")), "{elsewhere:?}");
    let oracle = Oracle::always(Say::Status(401, None));
    let wrong = ask(&config(Provider::Compatible, &oracle.address), &question()).expect_err("a wrong key");
    assert!(matches!(&wrong, AskError::Setup(_)), "{wrong:?}");
    assert!(!format!("{wrong:?}{elsewhere:?}{nobody:?}").contains(KEY));
}

#[test]
fn what_was_asked_is_kept_redacted_and_answered_offline_by_whoever_has_it() {
    let oracle = Oracle::always(Say::Text(format!("your key is {KEY}, and the word is swordfish")));
    let folder = tempfile::tempdir().expect("a folder");
    let recorded = ModelConfig { recordings: Recordings::On, ..config(Provider::Anthropic, &oracle.address) };
    let mut secret = question();
    secret.messages[0].1 = "the password is swordfish".into();
    let first = opened(&recorded, folder.path(), clock().0).ask(&secret).expect("answers");
    assert_eq!(first.text, "your key is …, and the word is <masked>");
    assert!(!oracle.asked()[0].told.contains("swordfish"));
    let files: Vec<_> = std::fs::read_dir(folder.path().join("asked")).expect("a folder").flatten().collect();
    let kept = std::fs::read_to_string(files[0].path()).expect("text");
    assert!(files.len() == 1 && !kept.contains("swordfish") && !kept.contains(KEY) && kept.contains("You repair"), "{kept}");
    drop(oracle);
    // Nobody is at the address any more, and there is no key.
    let offline = ModelConfig { recordings: Recordings::Replay, url: "http://127.0.0.1:9/v1".into(), ..recorded };
    let models = Models::open(&offline, folder.path(), clock().0, Box::new(|text: &str| text.replace("swordfish", "<masked>")));
    let models = models.expect("needs no key").expect("is configured");
    let again = models.ask(&secret).expect("is recorded");
    assert_eq!((again.text, again.cost, again.recorded), (first.text, first.cost, true));
    assert_eq!(models.ask(&Question { sample: 1, ..secret }), Err(AskError::NotRecorded));
}

#[test]
fn recordings_have_a_limit_and_damaged_ones_are_none() {
    let oracle = Oracle::always(Say::Text("x".repeat(300_000)));
    let folder = tempfile::tempdir().expect("a folder");
    let recorded = ModelConfig { recordings: Recordings::On, recordings_mib: 1, ..config(Provider::Compatible, &oracle.address) };
    let models = opened(&recorded, folder.path(), clock().0);
    for sample in 0..6 {
        models.ask(&Question { sample, ..question() }).expect("answers");
    }
    let place = folder.path().join("asked");
    assert!((1..=3).contains(&std::fs::read_dir(&place).expect("a folder").count()));
    for file in std::fs::read_dir(&place).expect("a folder").flatten() {
        std::fs::write(file.path(), "{\"version\":1,").expect("writes");
    }
    assert!(!models.ask(&Question { sample: 5, ..question() }).expect("answers").recorded);
    assert_eq!(oracle.asked().len(), 7);
}
