//! Tokens: from the environment or a file, or made by an App for an hour. What is secret is never shown.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::Settings;
use crate::config::{ForgeConfig, TokenMode, is_repository};
use crate::world::files;
use crate::world::forge::ForgeError;

/// What GitHub is when nothing else is said.
const URL: &str = "https://api.github.com";
/// How long an App's own token lasts; GitHub takes at most ten minutes.
const APP_SECONDS: i64 = 540;
/// Clocks differ: it is dated back.
const APP_SECONDS_BACK: i64 = 60;
/// A token this close to its end is replaced.
pub(super) const SPARE: SignedDuration = SignedDuration::from_mins(5);

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text to itself.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// A text without this in it.
    pub(super) fn remove_from(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_string() } else { text.replace(&self.0, "…") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What shows GitHub who we are.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A token of a person or of a workflow.
    Token { mode: TokenMode, token: Secret },
    /// An App's number and its private key, as PEM.
    App { app: u64, key: Secret },
}

impl Settings {
    /// What the configuration and the environment say.
    ///
    /// # Errors
    /// When one of them says too little, naming what is missing.
    pub fn of(config: &ForgeConfig) -> Result<Settings, ForgeError> {
        let said = |own: &str, name: &str| Some(own.to_string()).filter(|own| !own.is_empty()).or_else(|| files::variable(name));
        let repository = said(&config.repository, "GITHUB_REPOSITORY").filter(|name| is_repository(name)).ok_or_else(|| {
            ForgeError::Setup("there is no repository; set `[forge] repository` to `OWNER/NAME`, or `GITHUB_REPOSITORY`".into())
        })?;
        let url = said(&config.url, "GITHUB_API_URL").unwrap_or_else(|| URL.to_string());
        let credentials = match config.token {
            TokenMode::App => Credentials::App {
                app: config.app,
                key: secret(&["FRACTAL_GITHUB_APP_KEY"], "FRACTAL_GITHUB_APP_KEY_FILE", "the App's private key")?,
            },
            mode => Credentials::Token {
                mode,
                token: secret(&["FRACTAL_GITHUB_TOKEN", "GITHUB_TOKEN"], "FRACTAL_GITHUB_TOKEN_FILE", "a token")?,
            },
        };
        Ok(Settings { repository, url, credentials, patience: super::PATIENCE, pace: config.pace.0 })
    }
}

/// A secret from the first of the variables that is set, or from the file that another one names.
fn secret(names: &[&str], file: &str, what: &str) -> Result<Secret, ForgeError> {
    if let Some(text) = names.iter().find_map(|name| files::variable(name)) {
        return Ok(Secret(text.trim().to_string()));
    }
    let Some(path) = files::variable(file) else {
        return Err(ForgeError::Setup(format!("there is no {what}; set `{}` or `{file}`", names.join("`, `"))));
    };
    let bytes = files::read(Path::new(&path)).map_err(|error| ForgeError::Setup(format!("`{file}`: {error:#}")))?;
    let text = String::from_utf8(bytes).map_err(|_| ForgeError::Setup(format!("`{file}`: what it names is not text")))?;
    Ok(Secret(text.trim().to_string()))
}

/// A token that says we are the App: a JSON Web Token signed with RS256 (RFC 7515, RFC 7518 section 3.3).
///
/// # Errors
/// When the key is none.
pub(super) fn app_token(app: u64, key: &Secret, now: Timestamp) -> Result<Secret, ForgeError> {
    let wrong = |why: &str| ForgeError::Setup(format!("the App's private key cannot be used: {why}"));
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| wrong("it is no PEM file with a key"))?;
    let key = any_supported_type(&key).map_err(|_| wrong("it is no RSA key"))?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(|| wrong("it is no RSA key"))?;
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = now.as_second();
    let claims = json!({"iat": now - APP_SECONDS_BACK, "exp": now + APP_SECONDS, "iss": app.to_string()});
    let signed = format!("{}.{}", part(&json!({"alg": "RS256", "typ": "JWT"})), part(&claims));
    let signature = signer.sign(signed.as_bytes()).map_err(|_| wrong("it does not sign"))?;
    Ok(Secret(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let token = Credentials::Token { mode: TokenMode::Pat, token: Secret::new("ghp_hunter22") };
        assert!(!format!("{token:?}").contains("hunter22"), "{token:?}");
        let key = Credentials::App { app: 7, key: Secret::new("-----BEGIN hunter22") };
        assert!(!format!("{key:?}").contains("hunter22"), "{key:?}");
        assert_eq!(Secret::new("hunter22").remove_from("bad token hunter22"), "bad token …");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for key in ["", "hunter22", "-----BEGIN RSA PRIVATE KEY-----\naHVudGVyMjI=\n-----END RSA PRIVATE KEY-----\n"] {
            let error = app_token(1, &Secret::new(key), Timestamp::UNIX_EPOCH).expect_err("no key").to_string();
            assert!(error.contains("private key") && !error.contains("hunter22") && !error.contains("aHVu"), "{error}");
        }
    }
}
