//! What redaction as a whole promises, on examples and on anything. The corpus is tested in `tests/it/redaction.rs`.

use super::*;

fn rules(secrets: &[&str], harmless: &[&str]) -> Rules {
    let all = |list: &[&str]| list.iter().map(|one| (*one).to_string()).collect();
    Rules::of(&RecordConfig { secrets: all(secrets), harmless: all(harmless), ..crate::config::Config::default().record })
}

fn words(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn of<'a>(rules: &'a Rules, arguments: &[Vec<u8>]) -> Redactor<'a> {
    Redactor::of(rules, CaptureLevel::Redacted, "t", arguments, &[])
}

fn text(input: &str) -> String {
    String::from_utf8(Rules::default().redact(input.as_bytes()).into_owned()).expect("stays UTF-8")
}

#[test]
fn what_is_said_around_a_secret_stays() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    assert_eq!(text(&format!("pushed with {token}!")), "pushed with [redacted]!");
    assert_eq!(text("https://bob:hunter22@example.com/x"), "https://bob:[redacted]@example.com/x");
    assert_eq!(text("DB_PASSWORD=hunter22 ok"), "DB_PASSWORD=[redacted] ok");
    assert_eq!(text(r#"{"api_key": "abcd1234", "n": 1}"#), r#"{"api_key": "[redacted]", "n": 1}"#);
    assert_eq!(text(r#"{"pin": 1234, "n": 1}"#), r#"{"pin": "[redacted]", "n": 1}"#);
    assert_eq!(text("Authorization: Bearer abc.def-123"), "Authorization: Bearer [redacted]");
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----";
    assert_eq!(text(key), "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----");
}

#[test]
fn the_argument_after_a_password_option_is_hidden() {
    let (rules, arguments) =
        (Rules::default(), words(&["--db-password", "x1", "--limit", "5", "--token=abcdefgh12", "--max-token", "5"]));
    let redacted = of(&rules, &arguments).arguments(arguments);
    assert_eq!(redacted, words(&["--db-password", MASK, "--limit", "5", "--token=[redacted]", "--max-token", "5"]));
}

#[test]
fn what_the_arguments_give_away_is_taken_out_of_the_streams_too() {
    let rules = Rules::default();
    let arguments = words(&["--password", "hunter22", "--token=abcdefgh12", "hunter22x"]);
    let redactor = of(&rules, &arguments);
    assert_eq!(redactor.text("no entry for hunter22 with abcdefgh12"), "no entry for [redacted] with [redacted]");
    assert_eq!(redactor.arguments(arguments)[3], b"[redacted]x");
    let arguments = words(&["--password", "no"]);
    assert_eq!(of(&rules, &arguments).text("no entry"), "no entry");
}

#[test]
fn what_one_stream_gives_away_is_taken_out_of_the_others() {
    let rules = Rules::default();
    let redactor =
        Redactor::of(&rules, CaptureLevel::Redacted, "t", &[], &[b"password=p%40ss99word", b"login as p@ss99word failed"]);
    assert_eq!(redactor.part(b"login as p@ss99word failed".to_vec(), Kept::Whole), b"login as [redacted] failed");
}

#[test]
fn the_words_at_a_cut_are_taken_out_because_half_a_secret_has_no_shape() {
    let rules = Rules::default();
    let redactor = of(&rules, &[]);
    let part = |text: &[u8], kept| String::from_utf8(redactor.part(text.to_vec(), kept)).expect("UTF-8");
    assert_eq!(part(b"pushed with ghp_a1B2", Kept::Parts), "pushed with [redacted]");
    let both_ends = b"with ghp_a1\n[99 bytes not kept]\nB2a1 failed";
    assert_eq!(part(both_ends, Kept::Parts), "with [redacted]\n[99 bytes not kept]\n[redacted] failed");
    assert_eq!(part(both_ends, Kept::Beginning), "with ghp_a1\n[99 bytes not kept]\nB2a1 [redacted]");
    assert_eq!(part(b"pushed with ghp_a1B2", Kept::Whole), "pushed with ghp_a1B2");
    assert_eq!(part(b"a\n[9 bytes not kept]\n hunter22 b", Kept::Parts), "[redacted]\n[9 bytes not kept]\n[redacted] b");
    assert_eq!(part("é\u{e9}".as_bytes().split_last().expect("some").1, Kept::Beginning), MASK);
}

#[test]
fn the_configuration_adds_secrets_and_clears_harmless_ones() {
    let custom = rules(&["case-(?P<s>[0-9]{6})", "ZX[0-9]+"], &["demo-[a-z]+-[0-9]+"]);
    let text = |text: &str| String::from_utf8(custom.redact(text.as_bytes()).into_owned()).expect("UTF-8");
    assert_eq!(text("case-123456 of ZX77"), "case-[redacted] of [redacted]");
    assert_eq!(text("password=demo-key-1 password=demo-key-1x"), "password=demo-key-1 password=[redacted]");
    // An expression that matches what stands in a secret's place does not go on for ever.
    let greedy = rules(&["[a-z]{4,}", ".*word.*"], &[]);
    assert_eq!(&*greedy.redact(b"secret sauce\nnoword"), b"[redacted] [redacted]\n[redacted]");
    assert_eq!(&*greedy.redact(b"[redacted] [redacted]"), b"[redacted] [redacted]");
}

#[test]
fn values_of_secret_environment_variables_are_taken_out_and_others_are_not() {
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let environment = [
        pair("APP_TOKEN", "q7-sesame-9"),
        pair("DB_PASSWORD", "sesamestreet"),
        pair("TOKEN_TYPE", "certificate"),
        pair("SECRET_NAME", "backup-job"),
        pair("TOKENIZERS_PARALLELISM", "false"),
        pair("MAX_TOKENS", "4096"),
        pair("SECRETS_TOKEN_FILE", "/run/secrets/token"),
        pair("EXACT", "plainly"),
        pair("HOME", "/srv/bob"),
    ];
    let mut config = crate::config::Config::default().record;
    config.secret_environment.push("exact".into());
    let rules = Rules::of(&config).knowing(&environment);
    let text = |text: &str| String::from_utf8(rules.redact(text.as_bytes()).into_owned()).expect("UTF-8");
    assert_eq!(text("a q7-sesame-9 sesamestreet plainly"), "a [redacted] [redacted] [redacted]");
    let kept = "certificate backup-job false 4096 /run/secrets/token /srv/bob";
    assert_eq!(text(kept), kept);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which secrets and their surroundings are made.
    const PIECES: [&str; 60] = [
        "password",
        "token",
        "secret",
        "api_key",
        "=",
        ":",
        " ",
        "\n",
        "\"",
        "'",
        "\\\"",
        "\\n",
        "hunter22",
        "ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEAx7",
        "://",
        "bob:",
        "@",
        "Authorization",
        "Bearer ",
        "Basic ",
        "Set-Cookie",
        "sid=a1b2c3d4e5f6a7b8",
        ";",
        "&",
        ",",
        "{",
        "}",
        "[",
        "]",
        "<",
        ">",
        "</",
        "$",
        "%3D",
        "[redacted]",
        "redacted",
        "[redac",
        "ted]",
        "é",
        "\u{1b}[31m",
        "\u{1b}[0m",
        "AKIA",
        "QWERTYUIOPASDF12",
        "eyJhbGciOiJIUzI1NiJ9",
        ".",
        "wJalrXUtnFEMIK7MDENGbPxRfiCY7dKq2Lx",
        "pin",
        "1234",
        "curl -u ",
        "mysql -p",
        "value",
        "is ",
        "|",
        "  ",
        "-",
        "private-lines:",
        "x",
    ];

    fn pieces() -> impl Strategy<Value = String> {
        proptest::collection::vec(0..PIECES.len(), 0..24).prop_map(|picks| picks.into_iter().map(|pick| PIECES[pick]).collect())
    }

    fn checked(bytes: &[u8]) -> Result<(), TestCaseError> {
        let rules = Rules::default();
        let once = rules.redact(bytes).into_owned();
        let twice = rules.redact(&once).into_owned();
        prop_assert_eq!(
            String::from_utf8_lossy(&twice),
            String::from_utf8_lossy(&once),
            "of {:?}",
            String::from_utf8_lossy(bytes)
        );
        prop_assert!(std::str::from_utf8(bytes).is_err() || std::str::from_utf8(&once).is_ok());
        // Nothing is invented: what stands between the masks was there, in this order.
        let plain = String::from_utf8_lossy(&once).replace("\"[redacted]\"", MASK);
        let original = String::from_utf8_lossy(bytes).replace("\"[redacted]\"", MASK);
        let mut rest = original.as_str();
        for part in plain.split(MASK) {
            let Some(at) = rest.find(part) else {
                return Err(TestCaseError::fail(format!("`{part}` of {plain:?} is not in {original:?}")));
            };
            rest = &rest[at + part.len()..];
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn redacting_twice_is_redacting_once_and_invents_nothing(text in pieces()) {
            checked(text.as_bytes())?;
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in pieces(), at in 0usize..200) {
            let mut bytes = bytes;
            let at = at.min(bytes.len());
            bytes.splice(at..at, text.into_bytes());
            checked(&bytes)?;
            let rules = Rules::default();
            let arguments: Vec<Vec<u8>> = bytes.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
            let redactor = Redactor::of(&rules, CaptureLevel::Redacted, "mysql", &arguments, &[&bytes]);
            for kept in [Kept::Whole, Kept::Beginning, Kept::Parts] {
                redactor.part(bytes.clone(), kept);
            }
            redactor.arguments(arguments);
        }

        #[test]
        fn json_stays_json(name in "[a-z_]{0,4}(password|token|api_key|pin|authorization|cookie)", value in ".{0,40}", number in any::<u32>()) {
            let json = serde_json::json!({ "a": { name.as_str(): value }, "list": [format!("{name}={value}"), number], "n": { name.as_str(): number } });
            for text in [json.to_string(), serde_json::to_string_pretty(&json).expect("writes"), serde_json::json!({ "log": json.to_string() }).to_string()] {
                let redacted = Rules::default().redact(text.as_bytes()).into_owned();
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&redacted).is_ok(), "{} became {}", text, String::from_utf8_lossy(&redacted));
            }
        }
    }
}
