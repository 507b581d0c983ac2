//! The reference of `fractal.toml` as text, made from the schema and the defaults, so that it cannot say anything else.

use std::fmt::Write as _;

use super::Config;

/// The commented reference of every key with its default, made from the schema and the defaults: the text of `fractal init`.
pub fn reference() -> String {
    let schema = Config::schema();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = String::from("# fractal.toml: every key with its default. `fractal config --check` reads it.\n");
    write_table(&mut text, &schema, &schema, &defaults, "");
    text.push_str(TOOL_EXAMPLE);
    text
}

const TOOL_EXAMPLE: &str = r#"
# A tool. What is not declared is found (`fractal tools` shows both); declared values win.
# [[tool]]
# name = "report"
# paths = ["tools/report.py"]
# run = ["python3", "tools/report.py"]
# test = ["python3", "-m", "unittest", "tests/test_report.py"]
# tests = ["tests/test_report.py"]
# timeout = "30s"
# success = { exit = [0, 3] }
# effects = "none"
"#;

fn write_table(
    text: &mut String,
    root: &serde_json::Value,
    schema: &serde_json::Value,
    defaults: &serde_json::Value,
    name: &str,
) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let resolve = |property: &serde_json::Value| -> serde_json::Value {
        let reference = property["$ref"].as_str().or_else(|| property["allOf"][0]["$ref"].as_str());
        reference.and_then(|path| root.pointer(path.trim_start_matches('#'))).cloned().unwrap_or_default()
    };
    let comment = |text: &mut String, property: &serde_json::Value| {
        for line in property["description"].as_str().unwrap_or_default().lines() {
            let _ = writeln!(text, "# {line}");
        }
    };
    let plain = properties.iter().filter(|(key, _)| !defaults[key.as_str()].is_object() && key.as_str() != "tool");
    for (key, property) in plain {
        text.push('\n');
        comment(text, property);
        let value: toml::Value = serde_json::from_value(defaults[key.as_str()].clone()).unwrap_or(toml::Value::Boolean(false));
        let _ = writeln!(text, "{key} = {value}");
    }
    for (key, property) in properties.iter().filter(|(key, _)| defaults[key.as_str()].is_object()) {
        text.push('\n');
        comment(text, property);
        let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        let _ = writeln!(text, "[{path}]");
        write_table(text, root, &resolve(property), &defaults[key.as_str()], &path);
    }
}
