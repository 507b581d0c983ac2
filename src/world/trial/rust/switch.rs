//! One module for many candidates: the functions that they change stand there in every variant, and a switch at run time says which is
//! called. What the candidates share (types, other functions, tests) is compiled once.
//!
//! Owns which candidates can be told apart this way: those that differ from the untouched source inside of one function's body, where the
//! function can be called through a pointer and nothing keeps state from one candidate to the next. The others get a module each.

use std::fmt::Write as _;
use std::ops::Range;

use crate::lang::{Grammar, SyntaxNode};
use crate::model::Language;

/// The untouched source, and what may vary in it.
pub(super) struct Base {
    source: String,
    functions: Vec<Function>,
}

/// A function that may be called through a pointer. Places are in the source.
struct Function {
    whole: Range<usize>,
    name: Range<usize>,
    body: Range<usize>,
    /// Patterns of parameters, which get names here.
    patterns: Vec<Range<usize>>,
    arguments: Vec<String>,
    /// Before the name in a call.
    before: &'static str,
    /// Behind the name in a call: the type parameters.
    behind: String,
}

/// A candidate's variant of a function.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    function: usize,
    /// The whole function, under its own name.
    text: String,
}

impl Variant {
    /// Bytes of its text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}

/// Lines, 1-based, and the candidate to which they belong.
pub(super) type Lines = Vec<(Range<u32>, usize)>;

/// A module that holds many candidates.
pub(super) struct Switched {
    pub(super) text: String,
    pub(super) lines: Lines,
}

/// Words of state that would outlive a candidate.
const STATE: [&str; 3] = ["static", "thread_local", "lazy"];
/// Attributes that mean the same on a function that only calls another.
const HARMLESS: [&str; 10] = ["inline", "must_use", "allow", "warn", "deny", "expect", "doc", "cold", "deprecated", "rustfmt"];

impl Base {
    /// What may vary in `source`: nothing when it does not parse or keeps state.
    pub(super) fn new(source: &str) -> Self {
        let found = || {
            let tree = Grammar::of(Language::Rust)?.tree(source)?;
            let root = tree.root();
            Some(root.dfs().filter(|node| node.kind() == "function_item").filter_map(|node| function(&node)).collect())
        };
        let functions = if keeps_state(source) { None } else { found() };
        Base { source: source.to_string(), functions: functions.unwrap_or_default() }
    }

    /// The variant that makes the candidate, when one does.
    pub(super) fn variant(&self, candidate: &str) -> Option<Variant> {
        let (old, new) = (self.source.as_bytes(), candidate.as_bytes());
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let shorter = old.len().min(new.len()) - same;
        let behind = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
        let changed = same..old.len() - behind;
        let is_inside = |function: &Function| function.body.start < changed.start && changed.end < function.body.end;
        let function = self.functions.iter().position(is_inside)?;
        let Range { start, end } = self.functions[function].whole;
        let text = candidate.get(start..(end + new.len()).checked_sub(old.len())?)?;
        (is_one_function(text) && !keeps_state(text)).then(|| Variant { function, text: text.to_string() })
    }

    /// The module with these variants, each with its candidate's number; `crate::fractal_candidate()` says which is called.
    pub(super) fn switched(&self, variants: &[(usize, Variant)]) -> Switched {
        let mut text = String::with_capacity(self.source.len() * 2);
        let (mut lines, mut from, mut line) = (Vec::new(), 0, 1);
        for (at, function) in self.functions.iter().enumerate() {
            let mine = || variants.iter().filter(|(_, variant)| variant.function == at);
            if mine().next().is_none() {
                continue;
            }
            let written = text.len();
            text.push_str(&self.source[from..function.whole.start]);
            self.write_switch(&mut text, function, mine().map(|(candidate, _)| *candidate));
            self.write_variant(&mut text, function, &self.source[function.whole.clone()], "");
            line += newlines(&text[written..]);
            for (candidate, variant) in mine() {
                let written = text.len();
                self.write_variant(&mut text, function, &variant.text, &format!("_{candidate}"));
                let first = line + 1;
                line += newlines(&text[written..]);
                lines.push((first..line + 1, *candidate));
            }
            from = function.whole.end;
        }
        text.push_str(&self.source[from..]);
        Switched { text, lines }
    }

    /// The function under its own name, which calls what the switch says.
    fn write_switch(&self, text: &mut String, function: &Function, candidates: impl Iterator<Item = usize>) {
        let mut from = function.whole.start;
        for (at, pattern) in function.patterns.iter().enumerate() {
            text.push_str(&self.source[from..pattern.start]);
            let _ = write!(text, "fractal_{at}");
            from = pattern.end;
        }
        text.push_str(&self.source[from..function.body.start]);
        let Function { before, behind, .. } = function;
        let name = &self.source[function.name.clone()];
        // In a closure, so that the room for so many pointers is not in the frame of a function that calls itself.
        text.push_str("{ (|| match crate::fractal_candidate() {");
        for candidate in candidates {
            let _ = write!(text, " {candidate} => {before}{name}_fractal_{candidate}{behind},");
        }
        let _ = write!(text, " _ => {before}{name}_fractal{behind} }})()({}) }}", function.arguments.join(", "));
    }

    /// The function on lines of its own, under a name of its own.
    fn write_variant(&self, text: &mut String, function: &Function, whole: &str, suffix: &str) {
        let name_end = function.name.end - function.whole.start;
        let _ = write!(text, "\n{}_fractal{suffix}{}", &whole[..name_end], &whole[name_end..]);
    }
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

/// Whether anything in `text` may outlive a call; lifetimes do not.
fn keeps_state(text: &str) -> bool {
    let is_word = |place: usize| !text[..place].ends_with(['\'', '_']) && !text[..place].ends_with(char::is_alphanumeric);
    STATE.iter().any(|word| text.match_indices(word).any(|(place, _)| is_word(place)))
}

/// Whether an edit has left the function what it was: one function.
fn is_one_function(text: &str) -> bool {
    let Some(tree) = Grammar::of(Language::Rust).and_then(|grammar| grammar.tree(text)) else { return false };
    let root = tree.root();
    let mut children = root.children();
    let only = children.next().is_some_and(|child| child.kind() == "function_item") && children.next().is_none();
    only && !root.dfs().any(|node| node.is_error() || node.is_missing())
}

/// What must be known of a function to call it through a pointer; `None` when it cannot be.
fn function(node: &SyntaxNode<'_>) -> Option<Function> {
    let before = before(node)?;
    let says = |text: &str, words: &[&str]| text.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word));
    let modifiers = node.children().find(|child| child.kind() == "function_modifiers");
    if modifiers.is_some_and(|modifiers| says(&modifiers.text(), &["const", "async", "extern"])) {
        return None;
    }
    // Every variant would return a type of its own.
    if node.field("return_type").is_some_and(|returned| says(&returned.text(), &["impl"])) || !has_harmless_attributes(node) {
        return None;
    }
    let (mut patterns, mut arguments) = (Vec::new(), Vec::new());
    for parameter in node.field("parameters")?.children().filter(|child| child.is_named()) {
        match &*parameter.kind() {
            "self_parameter" => arguments.push("self".to_string()),
            "parameter" => {
                let pattern = parameter.field("pattern")?;
                if pattern.text() == "self" {
                    arguments.push("self".to_string());
                } else {
                    arguments.push(format!("fractal_{}", patterns.len()));
                    patterns.push(parameter.range().start..pattern.range().end);
                }
            }
            kind if kind.ends_with("comment") => {}
            _ => return None,
        }
    }
    Some(Function {
        whole: node.range(),
        name: node.field("name")?.range(),
        body: node.field("body")?.range(),
        patterns,
        arguments,
        before,
        behind: type_arguments(node)?,
    })
}

/// How a function beside it is called; `None` where no function may be put beside it.
fn before(node: &SyntaxNode<'_>) -> Option<&'static str> {
    let around = node.parent()?;
    if around.kind() == "source_file" {
        return Some("");
    }
    let owner = around.parent().filter(|_| around.kind() == "declaration_list")?;
    match &*owner.kind() {
        "mod_item" => Some(""),
        "impl_item" if owner.field("trait").is_none() => Some("Self::"),
        _ => None,
    }
}

fn has_harmless_attributes(node: &SyntaxNode<'_>) -> bool {
    let mut before = node.prev();
    while let Some(sibling) = before.take_if(|sibling| sibling.kind() == "attribute_item" || sibling.kind().ends_with("comment"))
    {
        let text = sibling.text();
        let word = text.trim_start_matches(['#', '[', ' ']).split(|c: char| !c.is_alphanumeric() && c != '_').next();
        if sibling.kind() == "attribute_item" && !word.is_some_and(|word| HARMLESS.contains(&word)) {
            return false;
        }
        before = sibling.prev();
    }
    true
}

fn type_arguments(node: &SyntaxNode<'_>) -> Option<String> {
    let Some(parameters) = node.field("type_parameters") else { return Some(String::new()) };
    let mut names = Vec::new();
    for parameter in parameters.children().filter(|child| child.is_named()) {
        match &*parameter.kind() {
            "type_parameter" | "const_parameter" => names.push(parameter.field("name")?.text().into_owned()),
            "lifetime_parameter" => {}
            kind if kind.ends_with("comment") => {}
            _ => return None,
        }
    }
    Some(if names.is_empty() { String::new() } else { format!("::<{}>", names.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "struct S<T>(T);\n\nimpl<T: Copy> S<T> {\n    #[inline]\n    pub fn pick<'a, U>(&'a mut self, (a, _): (U, U), mut n: u8) -> &'a T\n    where\n        U: Copy,\n    {\n        n += 1;\n        &self.0\n    }\n}\n\nfn last() {}\n";

    #[test]
    fn variants_stand_behind_a_function_that_switches_and_their_lines_are_known() {
        let base = Base::new(SOURCE);
        let candidate = SOURCE.replace("n += 1", "n -= 1");
        let variant = base.variant(&candidate).expect("varies inside a function");
        let Switched { text, lines } = base.switched(&[(7, variant)]);
        let switch = "pub fn pick<'a, U>(&'a mut self, fractal_0: (U, U), fractal_1: u8) -> &'a T\n    where\n        U: Copy,\n    { (|| match \
            crate::fractal_candidate() { 7 => Self::pick_fractal_7::<U>, _ => Self::pick_fractal::<U> })()(self, fractal_0, fractal_1) }\npub fn \
            pick_fractal<'a, U>(&'a mut self, (a, _): (U, U), mut n: u8) -> &'a T\n";
        assert!(text.contains(switch), "{text}");
        let (range, candidate) = &lines[0];
        let own: Vec<&str> = text.lines().skip(range.start as usize - 1).take(range.len()).collect();
        assert_eq!((own[4], own[6], *candidate), ("        n -= 1;", "    }", 7));
        assert!(own[0].starts_with("pub fn pick_fractal_7<'a, U>"), "{own:?}");
        assert!(text.ends_with("}\n\nfn last() {}\n"));
    }

    #[test]
    fn what_differs_elsewhere_or_cannot_be_called_through_a_pointer_is_no_variant() {
        let base = Base::new(SOURCE);
        let is_variant = |from: &str, to: &str| base.variant(&SOURCE.replace(from, to)).is_some();
        assert!(is_variant("&self.0", "&self.0 /* same */"));
        assert!(!is_variant("u8", "u16") && !is_variant("last", "least"));
        assert!(!is_variant("n += 1", "n += 1; } fn more() {") && !is_variant("n += 1", "static A: u8 = 1; n += A"));
        for single in [
            "const fn f() { 1; }\n",
            "async fn f() { 1; }\n",
            "fn f() -> impl Fn() { || { 1; } }\n",
            "#[test]\nfn f() { 1; }\n",
            "impl Drop for S { fn drop(&mut self) { 1; } }\n",
            "trait T { fn f() { 1; } }\n",
            "static A: u8 = 2;\nfn f() { 1; }\n",
        ] {
            assert!(Base::new(single).variant(&single.replace("1;", "3;")).is_none(), "{single}");
        }
        let plain = "/// Says.\n#[must_use]\nfn f(a: &'static str) { 1; }\n";
        assert!(Base::new(plain).variant(&plain.replace("1;", "3;")).is_some());
    }
}
