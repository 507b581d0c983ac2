//! How programs are built in one language, as far as the coded repair operators need it: which nodes are values, where a name is
//! made and where it is used, and how a few common things are written. Tables only; each language's file holds its own.

use crate::model::Language;

/// Roughly what a value is. It orders what is tried, and forbids nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Number,
    Text,
    Truth,
    List,
    /// A table: dictionary, object, map.
    Map,
    Unknown,
}

impl Class {
    /// Whether one may stand for the other, as far as is known.
    pub fn fits(self, other: Class) -> bool {
        self == other || self == Class::Unknown || other == Class::Unknown
    }
}

/// Something that is put around a value: `{}` is the value.
#[derive(Clone, Copy, Debug)]
pub struct Wrap {
    pub text: &'static str,
    pub takes: Class,
    pub gives: Class,
    /// How often it is what was missing, beside the others; at most 1.
    pub share: f64,
}

/// A wrap as the tables write it.
#[cfg(any(feature = "lang-javascript", feature = "lang-python", feature = "lang-rust"))]
pub(super) const fn wrap(text: &'static str, takes: Class, gives: Class, share: f64) -> Wrap {
    Wrap { text, takes, gives, share }
}

/// A kind of node, and the field of its child that is meant; an empty field means any child.
pub type Place = (&'static str, &'static str);

/// See the module. In texts `{0}`, `{1}` stand for values, `{}` for the only one.
pub struct Shape {
    /// Names that stand for values.
    pub names: &'static [&'static str],
    /// Every other node that is a value.
    pub values: &'static [&'static str],
    pub numbers: &'static [&'static str],
    pub strings: &'static [&'static str],
    pub lists: &'static [&'static str],
    pub maps: &'static [&'static str],
    /// Values that are true or false by their form alone.
    pub truths: &'static [&'static str],
    /// Nodes with `left` and `right` or with operands side by side.
    pub binaries: &'static [&'static str],
    pub unaries: &'static [&'static str],
    /// With the fields `function` and `arguments`.
    pub calls: &'static [&'static str],
    /// A member of a value: kind, field of the value, field of the member's name.
    pub members: &'static [(&'static str, &'static str, &'static str)],
    /// An item of a value: kind, field of the value; an empty field means the first child.
    pub items: &'static [Place],
    /// Nodes whose children stand between commas and could change places.
    pub rows: &'static [&'static str],
    /// Where a truth is asked for.
    pub conditions: &'static [Place],
    /// Where an identifier makes a name, or is none of ours.
    pub naming: &'static [Place],
    /// Where a name that is made there comes into scope.
    pub making: &'static [Place],
    /// Assignments: kind, field of the target, field of the value.
    pub assigns: &'static [(&'static str, &'static str, &'static str)],
    /// Statements without a body.
    pub simple: &'static [&'static str],
    /// Statements that leave a block: nothing behind them runs.
    pub leaving: &'static [&'static str],
    /// Statements with a condition and one body, and the word they begin with.
    pub asking: &'static [(&'static str, &'static str)],
    pub and: &'static str,
    pub or: &'static str,
    pub not: &'static str,
    /// Ends a simple statement.
    pub end: &'static str,
    /// A guard on one line: `{0}` is the condition, `{1}` the statement.
    pub guard: &'static str,
    /// Whether a statement inside has to be indented more than the one that holds it.
    pub indents: bool,
    /// What one may ask of a value that may be nothing.
    pub nothing: &'static [&'static str],
    /// What one may ask of a list or a text.
    pub empty: &'static [&'static str],
    /// What one may ask of two numbers.
    pub compared: &'static [&'static str],
    /// What one may ask of a value and a list.
    pub member: &'static [&'static str],
    pub length: &'static str,
    /// Parts of a list or a text.
    pub parts: &'static [&'static str],
    /// Parts of a list or a text, by a number.
    pub parts_by: &'static [&'static str],
    /// Items at both ends.
    pub ends: &'static [&'static str],
    pub item: &'static str,
    /// The smaller and the larger of two values.
    pub bounds: &'static [&'static str],
    /// A list, `{0}`, in the order that a table, `{1}`, gives.
    pub keyed: &'static [&'static str],
    /// Statements that put a value into a list.
    pub inserts: &'static [&'static str],
    /// Statements that only a list is needed for.
    pub tidying: &'static [&'static str],
    /// What a function may answer when there is nothing to do.
    pub answers: &'static [&'static str],
    pub wraps: &'static [Wrap],
    /// Functions that are mistaken for one another.
    pub functions: &'static [&'static [&'static str]],
    /// Methods that are mistaken for one another.
    pub methods: &'static [&'static [&'static str]],
    /// What may be told to functions and methods besides values, by their names.
    pub extras: &'static [(&'static str, &'static [&'static str])],
    /// What calls are known to give, by the name of the function or method.
    pub gives: &'static [(&'static str, Class)],
}

/// The shape of a language; `None` where the coded operators know nothing.
pub fn shape(language: Language) -> Option<&'static Shape> {
    match language {
        #[cfg(feature = "lang-python")]
        Language::Python => Some(&super::python::SHAPE),
        #[cfg(feature = "lang-javascript")]
        Language::Javascript => Some(&super::javascript::SHAPE),
        #[cfg(feature = "lang-rust")]
        Language::Rust => Some(&super::rust::SHAPE),
        _ => None,
    }
}
