//! GitHub's own description as the judge of what is sent and of what the model answers: every exchange of every test goes through it.
//!
//! The description is the npm package `@octokit/openapi`, the schema of GraphQL `@octokit/graphql-schema`; `.ci/peers` installs both.
//! What the description gets wrong by what real GitHub was recorded to say is in [`EXCEPTIONS`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use fractal::config::TokenMode;
use fractal::model::{CommitId, Sign};
use fractal::world::forge::{Change, Draft, File, Forge, Message, Reaction, Report, Verdict, Way};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::github::{Exchange, GitHub, Protection, WORKFLOW_TOKEN};
use crate::peers::or_not_run;

/// The operations in use. One that is not in the description, or that no test sends, is a failure.
const OPERATIONS: &str = "
GET /user
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/branches/{branch}
GET /repos/{owner}/{repo}/rules/branches/{branch}
GET /repos/{owner}/{repo}/pulls
POST /repos/{owner}/{repo}/pulls
GET /repos/{owner}/{repo}/pulls/{pull_number}
PATCH /repos/{owner}/{repo}/pulls/{pull_number}
PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge
GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews
GET /repos/{owner}/{repo}/issues
POST /repos/{owner}/{repo}/issues
GET /repos/{owner}/{repo}/issues/{issue_number}
PATCH /repos/{owner}/{repo}/issues/{issue_number}
GET /repos/{owner}/{repo}/issues/comments
GET /repos/{owner}/{repo}/issues/{issue_number}/comments
POST /repos/{owner}/{repo}/issues/{issue_number}/comments
PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}
POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
GET /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
GET /repos/{owner}/{repo}/issues/{issue_number}/reactions
POST /repos/{owner}/{repo}/issues/{issue_number}/labels
DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}
GET /repos/{owner}/{repo}/collaborators/{username}/permission
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/commits/{ref}/status
POST /repos/{owner}/{repo}/check-runs
PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
POST /repos/{owner}/{repo}/statuses/{sha}
GET /repos/{owner}/{repo}/git/ref/{ref}
GET /repos/{owner}/{repo}/git/commits/{commit_sha}
POST /repos/{owner}/{repo}/git/blobs
POST /repos/{owner}/{repo}/git/trees
POST /repos/{owner}/{repo}/git/commits
GET /repos/{owner}/{repo}/actions/runs
GET /repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs
GET /repos/{owner}/{repo}/actions/artifacts
GET /repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}
GET /repos/{owner}/{repo}/installation
POST /app/installations/{installation_id}/access_tokens
";

/// Places of answers that real GitHub fills otherwise than it says. A pull request whose fork is gone has no repository, no owner and
/// no label at its head (recorded in 2022 and later).
const EXCEPTIONS: [&str; 3] = ["/head/repo", "/head/user", "/head/label"];

/// Statuses that every operation may answer, whether its description says so or not: who it is, limits, what is not there.
const EVERYWHERE: [u16; 5] = [401, 403, 404, 429, 503];

/// GitHub's description, cut to the operations in use.
struct Contract {
    paths: Map<String, Value>,
    components: Value,
    /// By the place of a schema.
    validators: BTreeMap<String, Validator>,
}

/// A file of a package for Node.js of `.ci/peers`.
fn package(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node/node_modules").join(path);
    path.is_file().then_some(path)
}

fn contract() -> Option<&'static Mutex<Contract>> {
    static CONTRACT: OnceLock<Option<Mutex<Contract>>> = OnceLock::new();
    CONTRACT
        .get_or_init(|| Some(Mutex::new(Contract::read(&package("@octokit/openapi/generated/api.github.com.json")?))))
        .as_ref()
}

/// Whether there is somebody to ask; else the test says so.
#[track_caller]
fn is_there() -> Option<&'static Mutex<Contract>> {
    or_not_run(contract(), "@octokit/openapi (`.ci/peers` installs it)")
}

/// What is wrong with these exchanges. Nothing, when the description is not there: [`the_description_is_there`] says so.
pub fn complaints(exchanges: &[Exchange]) -> Vec<String> {
    let Some(contract) = contract() else { return Vec::new() };
    let mut contract = contract.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let rest = exchanges.iter().filter(|exchange| exchange.path != "/graphql");
    contract.write_down(exchanges);
    let mut wrong: Vec<String> = rest.flat_map(|exchange| contract.complaints(exchange)).collect();
    drop(contract);
    wrong.extend(graphql_complaints(exchanges));
    wrong
}

/// Description version 3.0 calls what may be null `nullable`; JSON schemas have a type for it.
fn modernise(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(modernise);
            if object.remove("nullable") == Some(json!(true)) {
                let inner = Value::Object(std::mem::take(object));
                object.insert("anyOf".into(), json!([inner, {"type": "null"}]));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(modernise),
        _ => {}
    }
}

/// The references in a value, transitively.
fn needed(components: &Value, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref")
                && found.insert(reference.clone())
            {
                let target = components.pointer(reference.trim_start_matches("#/components"));
                needed(components, target.unwrap_or_else(|| panic!("no {reference}")), found);
            }
            object.values().for_each(|inner| needed(components, inner, found));
        }
        Value::Array(values) => values.iter().for_each(|inner| needed(components, inner, found)),
        _ => {}
    }
}

impl Contract {
    fn read(path: &Path) -> Contract {
        let text = std::fs::read(path).expect("reads");
        let mut whole: Value = serde_json::from_slice(&text).expect("is JSON");
        let mut paths = Map::new();
        for line in OPERATIONS.split_whitespace().collect::<Vec<_>>().chunks(2) {
            let (method, path) = (line[0].to_lowercase(), line[1]);
            let operation = whole["paths"][path][&method].take();
            assert!(operation.is_object(), "{} {path} is not in the description", line[0]);
            let place = paths.entry(path).or_insert_with(|| json!({}));
            place[&method] = operation;
            place["parameters"] = whole["paths"][path].get("parameters").cloned().unwrap_or(json!([]));
        }
        let mut paths = Value::Object(paths);
        let mut found = BTreeSet::new();
        needed(&whole["components"], &paths, &mut found);
        let mut components = json!({});
        for reference in &found {
            let parts: Vec<&str> = reference.split('/').collect();
            components[parts[2]][parts[3]] = whole["components"][parts[2]][parts[3]].take();
        }
        modernise(&mut paths);
        modernise(&mut components);
        let Value::Object(paths) = paths else { panic!("is an object") };
        Contract { paths, components, validators: BTreeMap::new() }
    }

    /// Which operations were used, for `.ci/run` to count: a line each, in a file for each run of the tests where one is wanted.
    fn write_down(&self, exchanges: &[Exchange]) {
        let Some(folder) = std::env::var_os("FRACTAL_CONTRACT") else { return };
        let used = exchanges.iter().map(|exchange| match exchange.path.as_str() {
            "/graphql" => {
                let document = exchange.request["query"].as_str().unwrap_or_default();
                format!("GRAPHQL {}\n", blake3::hash(document.as_bytes()).to_hex())
            }
            path => {
                let path = path.split('?').next().unwrap_or_default().replacen("/repositories/42", "/repos/ana/tools", 1);
                format!("{} {}\n", exchange.method, self.route(&path).unwrap_or_default())
            }
        });
        let file = Path::new(&folder).join(std::process::id().to_string());
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(used.collect::<String>().as_bytes())).expect("writes down");
    }

    fn deref<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let target = self.components.pointer(reference.trim_start_matches("#/components")).expect("is there");
                self.deref(target)
            }
            None => value,
        }
    }

    /// The path of the description that a path is one of: concrete parts before names, and only the last name holds slashes.
    fn route(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &String| {
            let wanted: Vec<&str> = template.split('/').collect();
            let greedy = wanted.last().is_some_and(|last| *last == "{ref}");
            (parts.len() == wanted.len() || greedy && parts.len() > wanted.len())
                && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') && !part.is_empty() || wanted == part)
        };
        let found = self.paths.keys().filter(|template| fits(template));
        found.min_by_key(|template| template.matches('{').count()).cloned()
    }

    /// What a schema says of a value.
    fn check(&mut self, name: String, schema: &Value, value: &Value) -> Vec<String> {
        if !self.validators.contains_key(&name) {
            let mut found = BTreeSet::new();
            needed(&self.components, schema, &mut found);
            let mut document = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]});
            for reference in &found {
                let parts: Vec<&str> = reference.split('/').collect();
                document["components"][parts[2]][parts[3]] = self.components[parts[2]][parts[3]].clone();
            }
            let made = jsonschema::validator_for(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
            self.validators.insert(name.clone(), made);
        }
        let errors = self.validators[&name].iter_errors(value);
        let excused = |place: &str| EXCEPTIONS.iter().any(|exception| place.ends_with(exception));
        let errors = errors.filter(|error| !excused(&error.instance_path().to_string()));
        errors.map(|error| format!("{}: {error}", error.instance_path()).chars().take(300).collect()).collect()
    }

    /// Fields that a schema names, however it is put together; none when it allows any.
    fn fields(&self, schema: &Value) -> Option<BTreeSet<String>> {
        let schema = self.deref(schema);
        let mut all: BTreeSet<String> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        if schema.get("additionalProperties").is_some_and(|more| *more != json!(false)) {
            return None;
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for part in schema[word].as_array().into_iter().flatten().filter(|part| part["type"] != "null") {
                all.extend(self.fields(part)?);
            }
        }
        (schema["type"] != "array").then_some(all)
    }

    fn unknown(&self, schema: &Value, value: &Value) -> Vec<String> {
        let (Some(known), Some(object)) = (self.fields(schema), value.as_object()) else { return Vec::new() };
        object.keys().filter(|key| !known.contains(*key)).map(|key| format!("no field `{key}`")).collect()
    }

    fn complaints(&mut self, exchange: &Exchange) -> Vec<String> {
        let shown = format!("{} {}", exchange.method, exchange.path);
        let (path, query) = exchange.path.split_once('?').unwrap_or((&exchange.path, ""));
        // Links to further pages name the repository by its number, which the description has no paths for.
        let path = path.replacen("/repositories/42", "/repos/ana/tools", 1);
        let Some(template) = self.route(&path) else { return vec![format!("{shown}: no such path")] };
        let method = exchange.method.to_lowercase();
        let place = self.paths[&template].clone();
        let operation = &place[&method];
        if !operation.is_object() {
            return vec![format!("{shown}: no such method")];
        }
        let name = format!("{method} {template}");
        let mut wrong = Vec::new();
        let parameters = [&place["parameters"], &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let parameters: Vec<Value> = parameters.map(|parameter| self.deref(parameter).clone()).collect();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(known) = parameters.iter().find(|one| one["in"] == "query" && one["name"] == key) else {
                wrong.push(format!("request: no parameter `{key}`"));
                continue;
            };
            let schema = self.deref(&known["schema"]).clone();
            let typed = match schema["type"].as_str() {
                Some("integer" | "boolean") => serde_json::from_str(value).unwrap_or(json!(value)),
                _ => json!(value),
            };
            wrong.extend(
                self.check(format!("{name} ?{key}"), &schema, &typed).into_iter().map(|error| format!("request ?{key}{error}")),
            );
        }
        let body = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        if body.is_object() && !exchange.request.is_null() {
            let errors = self.check(format!("{name} request"), &body, &exchange.request);
            wrong
                .extend(errors.into_iter().chain(self.unknown(&body, &exchange.request)).map(|error| format!("request {error}")));
        } else if !exchange.request.is_null() {
            wrong.push("request: has no body".into());
        }
        // What a knob answered is not meant to be right.
        if !exchange.troubled && exchange.status != 304 {
            wrong.extend(self.answer(&name, operation, exchange).into_iter().map(|error| format!("answer {error}")));
        }
        wrong.into_iter().map(|error| format!("{shown} ({}): {error}", exchange.status)).collect()
    }

    fn answer(&mut self, name: &str, operation: &Value, exchange: &Exchange) -> Vec<String> {
        let status = exchange.status;
        let described = operation["responses"].get(status.to_string()).map(|response| self.deref(response).clone());
        let schema = match described {
            Some(response) => response["content"]["application/json"]["schema"].clone(),
            None if EVERYWHERE.contains(&status) => json!({"$ref": "#/components/schemas/basic-error"}),
            None => return vec![format!("status {status} is not described")],
        };
        if !schema.is_object() {
            return Vec::new();
        }
        let mut wrong = self.check(format!("{name} {status}"), &schema, &exchange.answer);
        // Refusals name their status since 2024, and not all descriptions do.
        let unknown = self.unknown(&schema, &exchange.answer);
        wrong.extend(unknown.into_iter().filter(|error| status < 400 || error != "no field `status`"));
        wrong
    }
}

/// What GitHub's schema says of documents, their variables, and the data that answers them.
const GRAPHQL: &str = r"
const [schemaFile] = process.argv.slice(1);
const { readFileSync } = require('fs');
const { buildSchema, parse, validate, execute } = require('graphql');
// The schema that is published defines two fields twice.
const schema = buildSchema(readFileSync(schemaFile, 'utf8'), { assumeValidSDL: true });
for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
    const { query, variables, data } = JSON.parse(line);
    const document = parse(query);
    const errors = validate(schema, document).map((error) => error.message);
    if (errors.length === 0) {
        const done = execute({ schema, document, variableValues: variables, rootValue: data || {} });
        errors.push(...(done.errors || []).map((error) => error.message));
        if (data && JSON.stringify(done.data) !== JSON.stringify(data)) errors.push('answered ' + JSON.stringify(data));
    }
    errors.forEach((error) => console.log(error));
}
";

fn graphql_complaints(exchanges: &[Exchange]) -> Vec<String> {
    let asked = exchanges.iter().filter(|exchange| exchange.path == "/graphql" && exchange.request.is_object());
    let line = |exchange: &Exchange| {
        let data = if exchange.troubled { Value::Null } else { exchange.answer["data"].clone() };
        json!({"query": exchange.request["query"], "variables": exchange.request["variables"], "data": data}).to_string() + "\n"
    };
    let lines: BTreeSet<String> = asked.map(line).collect();
    let (Some(schema), false) = (package("@octokit/graphql-schema/schema.graphql"), lines.is_empty()) else { return Vec::new() };
    let mut node = Command::new("node");
    node.args(["-e", GRAPHQL]).arg(&schema).current_dir(schema.ancestors().nth(4).expect("a folder"));
    let mut running = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node runs");
    running.stdin.take().expect("piped").write_all(lines.into_iter().collect::<String>().as_bytes()).expect("node reads");
    let done = running.wait_with_output().expect("node ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).lines().map(|line| format!("GraphQL: {line}")).collect()
}

#[test]
fn the_description_is_there() {
    let Some(contract) = is_there() else { return };
    let contract = contract.lock().expect("whole");
    assert!(contract.paths.len() > 20 && contract.components["schemas"].as_object().expect("an object").len() > 50);
    let schema = package("@octokit/graphql-schema/schema.graphql");
    assert!(or_not_run(schema, "@octokit/graphql-schema").is_some());
}

#[test]
fn every_operation_in_use_is_sent_and_answered_as_github_describes_it() {
    let github = GitHub::start();
    github.push("fractal/t/1", "main", &[("tool.py", "1")], "a change");
    let head = CommitId(github.push("fractal/t/1", "fractal/t/1", &[("tool.py", "2")], "more"));
    let client = github.client();
    let draft = Draft { branch: "fractal/t/1".into(), base: "main".into(), title: "t".into(), text: "x".into(), draft: false };
    client.access().expect("reads");
    let protection = Protection { checks: ["tests".to_string()].into(), strict: true, approvals: 1, linear: true, queue: true };
    github.change(|repository| repository.protections.insert("main".into(), protection));
    let rules = client.rules("main").expect("reads");
    assert!(rules.queue && rules.linear && rules.up_to_date && rules.approvals == 1 && rules.ways.len() == 2);
    let number = client.open(&draft).expect("opens").number;
    assert!(client.merge_when_ready(number, &head, Way::Squash, &Message::default()).is_ok());
    client.merge_not(number).expect("takes it back");
    github.change(|repository| drop(repository.protections.insert("main".into(), Protection::default())));
    client.update(number, &Change { title: Some("u".into()), text: Some("y".into()) }).expect("changes");
    let said = client.say(number, "k", "1").expect("says");
    client.say(number, "k", "2").expect("says");
    client.react(said.id, Reaction::Done).expect("reacts");
    client.comments(None, Some(github.now())).expect("reads");
    github.reacts("ana", number, None, "heart", true);
    github.reacts("ana", number, Some(said.id), "-1", true);
    let signs = client.signs(number).expect("reads");
    assert_eq!(signs.iter().map(|there| there.counts.len()).collect::<Vec<_>>(), [1, 2], "carl's own is among them");
    assert_eq!(client.signed(number, None).expect("reads"), [("ana".to_string(), Sign::Heart)].into());
    assert_eq!(client.signed(number, Some(said.id)).expect("reads"), [("ana".to_string(), Sign::ThumbsDown)].into());
    github.reviews(number, "ana", "APPROVED");
    assert_eq!(client.reviews(number).expect("reads").len(), 1);
    client.level("ana").expect("reads");
    client.label(number, &["fractal".to_string()].into()).expect("puts");
    client.unlabel(number, "fractal").expect("takes");
    let report = Report { name: "fractal/gate".into(), verdict: Verdict::Pending, title: "t".into(), text: "x".into() };
    client.report(&head, &report).expect("reports");
    let workflow = github.client_as(TokenMode::GithubToken, WORKFLOW_TOKEN);
    for verdict in [Verdict::Pending, Verdict::Passed] {
        workflow.report(&head, &Report { verdict, ..report.clone() }).expect("reports");
    }
    let files = [("a".to_string(), Some(File { content: vec![0, 255], executable: false }))].into();
    let commit = workflow.commit(&head, &files, "m").expect("commits");
    client.move_branch("fractal/t/2", None, Some(&commit)).expect("moves");
    client.branch("fractal/t/2").expect("reads");
    client.checks(&head).expect("reads");
    client.proposals("main").expect("lists");
    client.proposal_from("fractal/t/1").expect("asks");
    client.merge(number, &head, Way::Squash, &Message::default()).expect("lands");
    for text in ["1", "2"] {
        assert!(client.post("board", "t", text).expect("posts").is_some_and(|board| board.open && board.text == text));
    }
    github.ran("CI", "main", "failure");
    let runs = client.runs(github.now()).expect("lists");
    assert_eq!(client.jobs(&runs[0]).expect("lists").len(), 1);
    github.left("fractal-executions", b"{}".to_vec());
    let left = client.artifacts("fractal-executions", 0).expect("lists");
    assert_eq!(client.content(&left[0]).expect("reads"), b"{}");
    let sent = github.drain();
    let Some(contract) = is_there() else { return };
    let contract = contract.lock().expect("whole");
    let routes: BTreeSet<String> = sent
        .iter()
        .filter_map(|exchange| {
            let route = contract.route(exchange.path.split('?').next()?)?;
            Some(format!("{} {route}", exchange.method))
        })
        .collect();
    // The two of an App are in the tests of tokens: they need a key.
    let wanted = OPERATIONS.lines().filter(|line| !line.is_empty() && !line.contains("installation"));
    let missing: Vec<&str> = wanted.filter(|line| !routes.contains(*line)).collect();
    assert!(missing.is_empty(), "nothing sends {missing:?}");
}

#[test]
fn a_wrong_field_in_a_request_or_an_answer_is_found() {
    let Some(contract) = is_there() else { return };
    let github = GitHub::start();
    github.push("fractal/t/1", "main", &[("tool.py", "1")], "a change");
    let draft = Draft { branch: "fractal/t/1".into(), base: "main".into(), title: "t".into(), text: "x".into(), draft: false };
    github.client().open(&draft).expect("opens");
    let sent = github.drain();
    let opened = sent.iter().find(|exchange| exchange.method == "POST").expect("was sent");
    let listed = sent.iter().find(|exchange| exchange.path.contains("/pulls?")).expect("was sent");
    let found = |change: &dyn Fn(&mut Exchange), exchange: &Exchange, words: &str| {
        let mut changed = exchange.clone();
        change(&mut changed);
        let complaints = contract.lock().expect("whole").complaints(&changed);
        assert!(complaints.iter().any(|complaint| complaint.contains(words)), "{words}: {complaints:?}");
    };
    assert_eq!(contract.lock().expect("whole").complaints(opened), Vec::<String>::new());
    found(&|one| one.request["title"] = json!(7), opened, "request /title");
    found(&|one| one.request["heads"] = json!("x"), opened, "request no field `heads`");
    found(&|one| drop(one.request.as_object_mut().expect("an object").remove("base")), opened, "\"base\" is a required");
    found(&|one| one.answer["number"] = json!("1"), opened, "answer /number");
    found(&|one| one.answer["landable"] = json!(true), opened, "answer no field `landable`");
    found(&|one| drop(one.answer.as_object_mut().expect("an object").remove("head")), opened, "\"head\" is a required");
    found(&|one| one.status = 202, opened, "status 202 is not described");
    found(&|one| one.path = one.path.replace("state=all", "state=any"), listed, "request ?state");
    found(&|one| one.path = one.path.replace("state=", "stat="), listed, "no parameter `stat`");
    found(&|one| one.path = "/repos/ana/tools/pull".into(), listed, "no such path");
    found(&|one| one.method = "DELETE".into(), listed, "no such method");
}

#[test]
fn a_wrong_document_or_variable_is_found() {
    if or_not_run(package("@octokit/graphql-schema/schema.graphql"), "@octokit/graphql-schema").is_none() {
        return;
    }
    let github = GitHub::start();
    let main = CommitId(github.world().repository.bare.branch("main").expect("main"));
    github.client().move_branch("x", None, Some(&main)).expect("moves");
    let sent = github.drain();
    let asked = sent.iter().find(|exchange| exchange.path == "/graphql").expect("was sent");
    let found = |change: &dyn Fn(&mut Exchange), words: &str| {
        let mut changed = asked.clone();
        change(&mut changed);
        let complaints = graphql_complaints(&[changed]);
        assert!(complaints.iter().any(|complaint| complaint.contains(words)), "{words}: {complaints:?}");
    };
    assert_eq!(graphql_complaints(std::slice::from_ref(asked)), Vec::<String>::new());
    let query = asked.request["query"].as_str().expect("text");
    found(&|one| one.request["query"] = json!(query.replace("beforeOid", "before")), "before");
    found(&|one| one.request["variables"]["after"] = json!(null), "after");
    found(&|one| one.answer["data"] = json!({"updateRefs": {"clientMutationId": {"a": 1}}}), "clientMutationId");
}
