//! Shapes of tokens that their issuers document: a prefix, then so many characters of an alphabet. One line each.
//!
//! Deliberately not here: secrets that only a word beside them gives away (`assigned`, `beside`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::text::{before, begins, is_dull, run, until};

/// A documented shape.
pub(super) struct Token {
    /// As the issuer writes it.
    pub(super) prefix: &'static str,
    alphabet: Alphabet,
    /// Characters that follow the prefix at the very least.
    least: usize,
    /// … and at most: where more follow, it is something else.
    most: usize,
}

/// What a token is made of.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    /// Letters and digits.
    Plain,
    /// … capitals only.
    Capitals,
    Hex,
    /// Also `_`.
    Word,
    /// Also `_` and `-`, as in URL-safe base64.
    Dash,
    /// Also `_`, `-` and `.`.
    Dot,
    /// Also `+`, `/` and `=`.
    Base64,
    /// What parts of a path are made of.
    Path,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        let plain = byte.is_ascii_alphanumeric();
        match self {
            Alphabet::Plain => plain,
            Alphabet::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Alphabet::Hex => byte.is_ascii_hexdigit(),
            Alphabet::Word => plain || byte == b'_',
            Alphabet::Dash => plain || matches!(byte, b'_' | b'-'),
            Alphabet::Dot => plain || matches!(byte, b'_' | b'-' | b'.'),
            Alphabet::Base64 => plain || matches!(byte, b'+' | b'/' | b'='),
            Alphabet::Path => plain || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | b'%' | b'='),
        }
    }
}

const fn token(prefix: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { prefix, alphabet, least, most: usize::MAX }
}

const fn exactly(prefix: &'static str, alphabet: Alphabet, length: usize) -> Token {
    Token { prefix, alphabet, least: length, most: length }
}

use Alphabet::{Base64, Capitals, Dash, Dot, Hex, Path, Plain, Word};

/// By issuer. The lengths are those of the issuers' documentation or a little less: issuers lengthen their tokens, and look-alikes
/// do not have the prefix.
#[rustfmt::skip]
pub(super) const TOKENS: &[Token] = &[
    // GitHub, GitLab, Bitbucket and Atlassian
    token("ghp_", Word, 30), token("gho_", Word, 30), token("ghu_", Word, 30), token("ghs_", Dot, 30), token("ghr_", Word, 30),
    token("github_pat_", Word, 22), token("glpat-", Dot, 20), token("glrt-", Dot, 20), token("gldt-", Dash, 20),
    token("glptt-", Dash, 20), token("glcbt-", Dash, 20), token("glft-", Dash, 20), token("glimt-", Dash, 20),
    token("glagent-", Dash, 40), token("gloas-", Dash, 40), token("glsoat-", Dash, 20), token("glffct-", Dash, 20),
    token("GR1348941", Dash, 20), token("ATATT3", Dot, 60), token("ATCTT3", Dot, 60), token("ATBB", Plain, 32),
    // Amazon, Google, Microsoft, Alibaba, Tencent, Yandex
    exactly("AKIA", Capitals, 16), exactly("ASIA", Capitals, 16), exactly("ABIA", Capitals, 16), exactly("ACCA", Capitals, 16),
    token("ABSK", Base64, 100), token("bedrock-api-key-", Base64, 40), token("AIza", Dash, 35), token("ya29.", Dot, 20),
    token("GOCSPX-", Dash, 20), token("1//0", Dash, 40), exactly("LTAI", Plain, 20), exactly("AKID", Plain, 32), token("AQVN", Dash, 35),
    token("y0_Ag", Dash, 50),
    // Package registries and containers
    token("npm_", Plain, 36), token("pypi-AgE", Dash, 40), token("rubygems_", Hex, 40), token("oy2", Plain, 43),
    exactly("cio", Plain, 32), token("dckr_pat_", Dash, 20), token("dckr_oat_", Dash, 20), token("CLOJARS_", Plain, 60),
    token("AKCp", Plain, 69), token("cmVmd", Plain, 59),
    // Models
    token("sk-ant-", Dash, 20), token("sk-proj-", Dash, 20), token("sk-svcacct-", Dash, 20), token("sk-admin-", Dash, 20),
    token("sk-or-v1-", Plain, 32), token("sk-lf-", Dash, 30), token("sk-", Plain, 20), token("hf_", Plain, 30), token("api_org_", Plain, 30),
    token("gsk_", Plain, 40), token("r8_", Plain, 36), token("xai-", Plain, 60), token("pplx-", Plain, 40),
    token("lsv2_pt_", Word, 32), token("lsv2_sk_", Word, 32),
    // Payments
    token("sk_live_", Plain, 10), token("sk_test_", Plain, 10), token("sk_prod_", Plain, 10), token("rk_live_", Plain, 10),
    token("rk_test_", Plain, 10), token("whsec_", Base64, 24), token("sq0atp-", Dash, 22), token("sq0csp-", Dash, 40),
    token("EAAA", Dash, 56), token("shpat_", Hex, 32), token("shpca_", Hex, 32), token("shppa_", Hex, 32), token("shpss_", Hex, 32),
    token("FLWSECK_TEST-", Dash, 12), token("FLWSECK-", Dash, 32), token("EZAK", Plain, 54), token("EZTK", Plain, 54),
    token("shippo_live_", Hex, 40), token("shippo_test_", Hex, 40), token("duffel_live_", Dash, 40), token("duffel_test_", Dash, 40),
    // Chat and mail
    token("xoxb-", Dash, 10), token("xoxp-", Dash, 10), token("xoxa-", Dash, 10), token("xoxr-", Dash, 10), token("xoxs-", Dash, 10),
    token("xoxo-", Dash, 10), token("xoxc-", Dash, 10), token("xoxd-", Path, 10), token("xoxe-", Dash, 10), token("xoxe.xox", Dash, 20),
    token("xapp-", Dash, 20), token("hooks.slack.com/services/", Path, 20), token("hooks.slack.com/workflows/", Path, 20),
    token("hooks.slack.com/triggers/", Path, 20), token("webhook.office.com/webhookb2/", Path, 40),
    token("discord.com/api/webhooks/", Path, 40), token("discordapp.com/api/webhooks/", Path, 40),
    token("chat.googleapis.com/v1/spaces/", Path, 200),
    token("SG.", Dot, 60), token("xkeysib-", Dash, 60), exactly("SK", Hex, 32), exactly("key-", Hex, 32), token("EAAC", Plain, 100),
    token("EAAM", Plain, 100),
    // Hosting and operations
    token("dop_v1_", Hex, 40), token("doo_v1_", Hex, 40), token("dor_v1_", Hex, 40), token("hvs.", Dash, 24), token("hvb.", Dash, 60),
    token("hvr.", Dash, 60), token("dapi", Dash, 32), token("pul-", Hex, 40), token("HRKU-AA", Dash, 50), token("fo1_", Dash, 40),
    token("fm1r_", Base64, 60), token("fm1a_", Base64, 60), token("fm2_", Base64, 60), token("nfp_", Plain, 36), token("sbp_", Hex, 40),
    token("sb_secret_", Dash, 20), token("tskey-", Dash, 20), token("dp.pt.", Plain, 40), token("dp.st.", Dot, 40), token("dp.ct.", Plain, 40),
    token("dp.sa.", Plain, 40), token("pscale_tkn_", Dot, 32), token("pscale_oauth_", Dot, 32), token("pscale_pw_", Dot, 32),
    token("CCIPAT_", Word, 40), token("bkua_", Hex, 40), token("pnu_", Plain, 36), token("tk-us-", Dash, 48), token("rdme_", Plain, 60),
    token("sha256~", Dash, 43), token("v1.0-", Dash, 100), token("ops_eyJ", Base64, 100), token("A3-", Dash, 30),
    token("AGE-SECRET-KEY-1", Plain, 50),
    // Watching and planning
    token("glsa_", Word, 32), token("glc_", Base64, 32), token("eyJrIjoi", Base64, 60), token("sntrys_", Dot, 60), token("sntryu_", Hex, 60),
    token("NRAK-", Plain, 27), token("NRII-", Dash, 32), token("NRJS-", Hex, 19), token("dt0c01.", Dot, 60), token("PMAK-", Dash, 50),
    token("lin_api_", Plain, 36), token("ntn_", Plain, 40), token("secret_", Plain, 40), token("figd_", Dash, 36), token("CFPAT-", Dash, 40),
    token("ico-", Plain, 32), exactly("API-", Capitals, 26), token("tfp_", Dot, 50), token("p8e-", Plain, 32), token("fio-u-", Dash, 60),
    token("sm_pat_", Plain, 16), token("sm_aat_", Plain, 16), token("squ_", Hex, 40), token("sqp_", Hex, 40), token("sqa_", Hex, 40),
];

impl Token {
    /// The end of the token whose prefix ends at `end`, if it is one.
    pub(super) fn end(&self, text: &[u8], start: usize, end: usize) -> Option<usize> {
        if &text[start..end] != self.prefix.as_bytes() || !begins(text, start) {
            return None;
        }
        let mut stop = end + run(text, end, |byte| self.alphabet.has(byte));
        while stop > end && matches!(text[stop - 1], b'.' | b'-' | b'/') {
            stop -= 1;
        }
        let rest = &text[end..stop];
        let goes_on = text.get(stop).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let fits = (self.least..=self.most).contains(&rest.len()) && !(goes_on && self.most < usize::MAX);
        // `sk-learn-something`: words, where a token has digits.
        let plain_words =
            rest.len() < 64 && !rest.iter().any(u8::is_ascii_digit) && rest.iter().filter(|b| b.is_ascii_uppercase()).count() < 2;
        (fits && !plain_words && !is_dull(rest)).then_some(stop)
    }
}

/// Shapes that are known by something in their middle.
#[derive(Clone, Copy)]
pub(super) enum Inner {
    /// `123456789:AA…` of Telegram.
    Telegram,
    /// Client secrets of Microsoft Entra: three characters, a digit, `Q~`, 31 or more characters.
    Entra,
    /// Keys of Azure services.
    Azure,
    /// `….atlasv1.…` of HashiCorp.
    Terraform,
    /// 32 hexadecimal digits and `-us7` of Mailchimp.
    Mailchimp,
    /// `…:APA91b…` of Firebase.
    Firebase,
    /// `pat` and 14 characters, a dot, 64 hexadecimal digits of Airtable.
    Airtable,
    /// JSON Web Tokens, and what else is a JSON object in base64 with dots.
    Jwt,
    /// The same in base64 once more.
    JwtBase64,
    /// The first line of a private key in base64, as Kubernetes keeps them.
    ArmourBase64,
    /// The beginning of a private key of OpenSSH without its first line.
    OpenSsh,
}

/// None of them is longer, except what base64 goes on.
const INNER_MAX: usize = 4096;

pub(super) const INNER: &[(&str, Inner)] = &[
    (":aa", Inner::Telegram),
    ("q~", Inner::Entra),
    ("jqqj9", Inner::Azure),
    (".atlasv1.", Inner::Terraform),
    ("-us", Inner::Mailchimp),
    (":apa91b", Inner::Firebase),
    ("pat", Inner::Airtable),
    ("eyj", Inner::Jwt),
    ("zxlk", Inner::JwtBase64),
    ("ls0tls1crudjti", Inner::ArmourBase64),
    ("b3blbnnzac1rzxktdje", Inner::OpenSsh),
];

impl Inner {
    /// Where the token around the cue at `start..end` is.
    pub(super) fn place(self, text: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
        let near = until(text, end, INNER_MAX);
        let after = |alphabet: Alphabet, from: usize| run(near, from, |byte| alphabet.has(byte));
        let ahead = |alphabet: Alphabet| before(text, start, |byte| alphabet.has(byte));
        let (from, to) = match self {
            Inner::Telegram => {
                let digits = before(text, start, |byte| byte.is_ascii_digit());
                let rest = after(Dash, end);
                ((6..=12).contains(&digits) && (32..=36).contains(&rest)).then(|| (start - digits, end + rest))
            }
            Inner::Entra => {
                let rest = run(text, end, |byte| Dot.has(byte) || byte == b'~');
                (start >= 4 && text[start - 1].is_ascii_digit() && (31..=40).contains(&rest)).then(|| (start - 4, end + rest))
            }
            Inner::Azure => {
                let (ahead, rest) = (ahead(Plain), after(Base64, end));
                (ahead >= 40 && rest >= 20).then(|| (start - ahead, end + rest))
            }
            Inner::Terraform => {
                let (ahead, rest) = (ahead(Plain), after(Dash, end));
                (ahead >= 14 && rest >= 40).then(|| (start - ahead, end + rest))
            }
            Inner::Mailchimp => {
                let (ahead, rest) = (ahead(Hex), run(text, end, |byte| byte.is_ascii_digit()));
                (ahead == 32 && (1..=2).contains(&rest)).then(|| (start - ahead, end + rest))
            }
            Inner::Firebase => {
                let (ahead, rest) = (ahead(Dash), after(Dash, end));
                (ahead >= 8 && rest >= 100).then(|| (start - ahead, end + rest))
            }
            Inner::Airtable if begins(text, start) => {
                let dot = end + run(until(text, end, 15), end, |byte| Plain.has(byte));
                let hex = if text.get(dot) == Some(&b'.') { after(Hex, dot + 1) } else { 0 };
                (dot == end + 14 && hex == 64).then(|| (start, dot + 1 + hex))
            }
            Inner::Airtable => None,
            Inner::Jwt => jwt(text, start),
            Inner::JwtBase64 => {
                let rest = after(Base64, end);
                (&text[start..end] == b"ZXlK" && rest >= 60).then(|| (start, end + rest))
            }
            Inner::ArmourBase64 => {
                let rest = after(Base64, end);
                let digits = (end + rest - start).min(64) / 4 * 4;
                let line = STANDARD.decode(&text[start..start + digits]).unwrap_or_default();
                line.windows(11).any(|part| part == b"PRIVATE KEY").then(|| (start, end + rest))
            }
            Inner::OpenSsh => {
                let rest = run(near, end, |byte| Base64.has(byte) || matches!(byte, b'\r' | b'\n'));
                (rest >= 60).then(|| (start, end + rest))
            }
        }?;
        let rest = if to == near.len() { run(text, to, |byte| Base64.has(byte)) } else { 0 };
        (!is_dull(&text[from..to])).then_some((from, to + rest))
    }
}

/// `eyJ…` with at least one dot: header and claims are JSON in base64, the signature may be missing.
fn jwt(text: &[u8], start: usize) -> Option<(usize, usize)> {
    if &text[start..start + 3] != b"eyJ" || !begins(text, start) {
        return None;
    }
    let mut end = start;
    let mut parts = 0;
    loop {
        let part = run(text, end, |byte| Dash.has(byte) || byte == b'=');
        if part < 10 && !(parts >= 2 && part == 0) {
            break;
        }
        (end, parts) = (end + part, parts + 1);
        if part == 0 || text.get(end) != Some(&b'.') || parts == 5 {
            break;
        }
        end += 1;
    }
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    (parts >= 2).then_some((start, end))
}
