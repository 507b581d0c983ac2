//! How others are reached: through the proxy that the environment names or not, and only with a certificate for which somebody vouches. The
//! real program asks; what is between is real too.

use std::path::Path;

use serde_json::Value;

use crate::between::{Proxy, tls_front};
use crate::github::{GitHub, PAT, REPOSITORY};
use crate::model::{configure, events, failing, outcomes, right, settings};
use crate::oracle::{KEY, Oracle, Say};
use crate::peers::or_not_run;
use crate::server::make_certificates;
use crate::support::{Repository, text};

/// `ana` and her password, as a header has them.
const ANA: &str = "Basic YW5hOnB3IzE=";

/// A model behind TLS: its port.
fn encrypted(folder: &Path, behind: &str) -> Option<u16> {
    or_not_run(make_certificates(folder).then(|| tls_front(folder, behind)), "openssl")
}

/// One cycle in which the model at `address` is asked, in this environment.
fn asked(address: &str, environment: &[(&str, &str)]) -> (Repository, Value) {
    let repository = failing();
    configure(&repository, &settings(address, ""));
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    let done =
        command.env("FRACTAL_MODEL_KEY", KEY).envs(environment.iter().copied()).args(["run", "--json"]).output().expect("runs");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    let improvement = repository.improvement();
    (repository, improvement)
}

/// What the doctor says of a forge, in this environment.
fn forge_at(url: &str, environment: &[(&str, &str)]) -> String {
    let repository = Repository::greeter();
    let url = format!("url = \"{url}\"\ntoken = \"pat\"\napp = 7");
    repository.configure(&format!("[forge]\nkind = \"github\"\nrepository = \"{REPOSITORY}\"\n{url}\n"));
    let mut command = repository.hermetic(env!("CARGO_BIN_EXE_fractal"));
    command.env("FRACTAL_GITHUB_TOKEN", PAT).envs(environment.iter().copied());
    let done = command.args(["doctor", "--json"]).output().expect("runs");
    let said: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&done.stderr)));
    let states = said["state"].as_array().expect("a list").iter();
    states.filter(|state| state["what"] == "forge").map(|state| state["said"].as_str().expect("text").to_string()).collect()
}

#[test]
fn a_model_is_asked_over_tls_and_only_where_an_authority_that_is_trusted_vouches_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let oracle = Oracle::always(Say::Text(right()));
    let Some(port) = encrypted(folder.path(), &oracle.address) else { return };
    let file = |name: &str| folder.path().join(name).display().to_string();
    let address = format!("https://localhost:{port}/v1");
    let (repository, _) = asked(&address, &[("SSL_CERT_FILE", &file("other.crt"))]);
    let said = outcomes(&repository).join("\n");
    for part in ["not asked: its certificate is refused (UnknownIssuer)", "SSL_CERT_FILE", &format!("`localhost:{port}`")] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(
        (oracle.asked().len(), events(&repository, "asked").len()),
        (0, 1),
        "it is asked once, and learns nothing: {said}"
    );
    let (repository, _) = asked(&format!("https://127.0.0.1:{port}/v1"), &[("SSL_CERT_FILE", &file("ca.crt"))]);
    let said = outcomes(&repository).join("\n");
    assert!(said.contains("its certificate is refused (NotValidForName") && oracle.asked().is_empty(), "{said}");
    let (repository, improvement) = asked(&address, &[("SSL_CERT_FILE", &file("ca.crt"))]);
    assert_eq!((repository.stage().as_str(), oracle.asked().len()), ("proposed", 1), "{improvement:#}");
}

#[test]
fn a_model_is_asked_through_the_proxy_that_the_environment_names_and_unencrypted_ones_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let oracle = Oracle::always(Say::Text(right()));
    let Some(port) = encrypted(folder.path(), &oracle.address) else { return };
    let (address, authority) = (format!("https://localhost:{port}/v1"), folder.path().join("ca.crt").display().to_string());
    let proxy = Proxy::wanting(Some(ANA));
    let through = format!("http://ana:pw%231@{}", proxy.address);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let before = (proxy.asked().len(), oracle.asked().len());
        let (repository, improvement) = asked(&address, &[("SSL_CERT_FILE", &authority), (name, &through)]);
        assert_eq!(repository.stage(), "proposed", "{name}: {improvement:#} {:?}", outcomes(&repository));
        let came = proxy.asked();
        assert_eq!((came.len(), oracle.asked().len()), (before.0 + 1, before.1 + 1), "{name}: {came:?}");
        assert_eq!(came.last().map(String::as_str), Some(format!("CONNECT localhost:{port} HTTP/1.1").as_str()));
    }
    let count = proxy.asked().len();
    // What needs none, and what is not encrypted, goes its own way.
    for (address, more) in
        [(address.as_str(), ("NO_PROXY", "example.com,localhost")), (&oracle.address, ("HTTP_PROXY", &through))]
    {
        let (repository, improvement) = asked(address, &[("SSL_CERT_FILE", &authority), ("HTTPS_PROXY", &through), more]);
        assert_eq!((repository.stage().as_str(), proxy.asked().len()), ("proposed", count), "{more:?}: {improvement:#}");
    }
    // A wrong password is told, without it, and so is a proxy of another kind.
    let wrong = format!("http://ana:hunter22@{}", proxy.address);
    let (repository, improvement) = asked(&address, &[("SSL_CERT_FILE", &authority), ("HTTPS_PROXY", &wrong)]);
    let said = format!("{} {improvement}", outcomes(&repository).join("\n"));
    assert!(said.contains("proxy auth") && !said.contains("hunter22"), "{said}");
    let (_, improvement) = asked(&address, &[("SSL_CERT_FILE", &authority), ("HTTPS_PROXY", "socks5://127.0.0.1:1")]);
    let reason = improvement["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("a proxy of the kind `socks5`") && reason.contains("NO_PROXY"), "{improvement:#}");
}

#[test]
fn a_forge_is_asked_through_the_proxy_that_the_environment_names() {
    let github = GitHub::start();
    let Some(port) = encrypted(github.folder(), &github.address) else { return };
    let authority = github.folder().join("ca.crt").display().to_string();
    let proxy = Proxy::wanting(Some(ANA));
    let through = format!("http://ana:pw%231@{}", proxy.address);
    let trusts = ("SSL_CERT_FILE", authority.as_str());
    let address = format!("https://localhost:{port}");
    let said = forge_at(&address, &[trusts, ("HTTPS_PROXY", &through)]);
    assert!(said.ends_with("/ana/tools, as carl"), "{said}");
    let came = proxy.asked();
    assert!(!came.is_empty() && came.iter().all(|line| *line == format!("CONNECT localhost:{port} HTTP/1.1")), "{came:?}");
    for (address, more) in [(address.as_str(), ("NO_PROXY", "localhost")), (&github.address, ("HTTP_PROXY", &through))] {
        let said = forge_at(address, &[trusts, ("HTTPS_PROXY", &through), more]);
        assert!(said.ends_with("/ana/tools, as carl"), "{said}");
        assert_eq!(proxy.asked().len(), came.len(), "{more:?}");
    }
    let said = forge_at(&address, &[trusts, ("HTTPS_PROXY", &format!("http://ana:hunter22@{}", proxy.address))]);
    assert!(said.contains(&proxy.address) && said.contains("proxy auth") && !said.contains("hunter22"), "{said}");
    let said = forge_at(&address, &[trusts, ("HTTPS_PROXY", "socks5://127.0.0.1:1")]);
    assert!(said.contains("a proxy of the kind `socks5`"), "{said}");
    let other = github.folder().join("other.crt").display().to_string();
    let said = forge_at(&address, &[("SSL_CERT_FILE", &other)]);
    assert!(said.contains("its certificate is refused (UnknownIssuer)") && said.contains("`SSL_CERT_FILE`"), "{said}");
}
