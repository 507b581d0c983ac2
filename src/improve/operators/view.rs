//! What the operators know of a file: its values, the names at each place, and what the rest of the function offers to put there.
//!
//! Gathered once for a file, in one pass over its tree. Owns no edit.

use std::collections::{BTreeMap, BTreeSet};

use crate::lang::{Class, Grammar, Item, Shape, Tree};

/// Longer values are not put in another place, in bytes.
const PIECE: usize = 48;
/// Names of one function that are tried in each other's place, the first ones.
const NAMES: usize = 24;
/// Other values of one function.
const PIECES: usize = 60;
/// Operands that are looked into to guess what a value is.
const DEPTH: usize = 4;

/// A name that stands for a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'s> {
    pub(super) text: &'s str,
    pub(super) class: Class,
}

/// A value that the function computes somewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'s> {
    pub(super) text: &'s str,
    pub(super) class: Class,
}

/// A function, or the file outside of all functions.
#[derive(Debug, Default)]
pub(super) struct Scope<'s> {
    /// The file itself has none.
    pub(super) function: Option<usize>,
    outer: usize,
    /// In the order in which they are met, those of the functions around it last.
    pub(super) names: Vec<Name<'s>>,
    pub(super) pieces: Vec<Piece<'s>>,
    /// What is asked somewhere in it.
    pub(super) truths: Vec<&'s str>,
    /// Its statements without a body, as they are written on one line.
    pub(super) statements: Vec<&'s str>,
}

/// See the module.
pub(super) struct View<'s> {
    pub(super) source: &'s str,
    pub(super) tree: &'s Tree,
    pub(super) shape: &'static Shape,
    grammar: Grammar,
    pub(super) scopes: Vec<Scope<'s>>,
    scope_of: Vec<u32>,
    classes: BTreeMap<(u32, &'s str), Class>,
    /// Names of functions that the file defines.
    pub(super) functions: Vec<&'s str>,
    /// Members that are read, and members that are called.
    pub(super) attributes: Vec<&'s str>,
    pub(super) methods: Vec<&'s str>,
    pub(super) numbers: Vec<&'s str>,
    pub(super) strings: Vec<&'s str>,
}

impl<'s> View<'s> {
    pub(super) fn of(grammar: Grammar, shape: &'static Shape, tree: &'s Tree, source: &'s str) -> Self {
        let mut view = View {
            source,
            tree,
            shape,
            grammar,
            scopes: vec![Scope::default()],
            scope_of: Vec::new(),
            classes: BTreeMap::new(),
            functions: Vec::new(),
            attributes: Vec::new(),
            methods: Vec::new(),
            numbers: Vec::new(),
            strings: Vec::new(),
        };
        view.find_scopes();
        view.learn_classes();
        view.gather();
        view.inherit();
        view
    }

    pub(super) fn item(&self, at: usize) -> &'s Item {
        self.tree.item(at)
    }

    pub(super) fn text(&self, at: usize) -> &'s str {
        self.tree.text(at, self.source)
    }

    pub(super) fn scope(&self, at: usize) -> &Scope<'s> {
        &self.scopes[self.scope_of[at] as usize]
    }

    /// Kinds of nodes that are functions.
    pub(super) fn grammar_functions(&self) -> &'static [&'static str] {
        self.grammar.syntax().functions
    }

    /// Whether a node lies in a function.
    pub(super) fn in_function(&self, at: usize) -> bool {
        self.scope_of[at] != 0
    }

    fn find_scopes(&mut self) {
        let functions = self.grammar.syntax().functions;
        let mut open = vec![(0usize, usize::MAX)];
        for (at, item) in self.tree.items().iter().enumerate() {
            while open.last().is_some_and(|(_, after)| *after <= at) {
                open.pop();
            }
            let outer = open.last().map_or(0, |(scope, _)| *scope);
            let mut own = outer;
            if functions.contains(&item.kind) {
                own = self.scopes.len();
                self.scopes.push(Scope { function: Some(at), outer, ..Scope::default() });
                open.push((own, item.after));
            }
            self.scope_of.push(u32::try_from(own).unwrap_or(0));
        }
    }

    /// What names are, from what is assigned to them and from their declared types.
    fn learn_classes(&mut self) {
        let mut found: BTreeMap<(u32, &'s str), BTreeSet<u8>> = BTreeMap::new();
        for (at, item) in self.tree.items().iter().enumerate() {
            let assigned = self.shape.assigns.iter().find(|(kind, ..)| *kind == item.kind);
            let (target, class) = match assigned {
                Some((_, target, value)) => {
                    let declared = self.tree.child(at, "type").map(|declared| declared_class(self.text(declared)));
                    let class = || self.tree.child(at, value).map_or(Class::Unknown, |value| self.class(value));
                    (self.tree.child(at, target), declared.unwrap_or_else(class))
                }
                None => match (self.tree.child(at, "pattern"), self.tree.child(at, "type")) {
                    (Some(pattern), Some(declared)) => (Some(pattern), declared_class(self.text(declared))),
                    _ => continue,
                },
            };
            let Some(target) = target.filter(|target| self.shape.names.contains(&self.item(*target).kind)) else { continue };
            if class != Class::Unknown {
                found.entry((self.scope_of[target], self.text(target))).or_default().insert(class as u8);
            }
        }
        for (name, classes) in found {
            let all = [Class::Number, Class::Text, Class::Truth, Class::List, Class::Map];
            if let [only] = classes.into_iter().collect::<Vec<_>>()[..] {
                self.classes.extend(all.into_iter().find(|class| *class as u8 == only).map(|class| (name, class)));
            }
        }
    }

    fn gather(&mut self) {
        let mut seen: BTreeSet<(u32, &'s str)> = BTreeSet::new();
        for at in 0..self.tree.items().len() {
            let (item, text, scope) = (self.item(at), self.text(at), self.scope_of[at]);
            if self.is_made(at) || self.is_value(at) {
                self.gather_value(at, &mut seen);
            }
            if self.shape.simple.contains(&item.kind)
                && !text.contains('\n')
                && text.len() <= 2 * PIECE
                && seen.insert((scope, text))
            {
                self.scopes[scope as usize].statements.push(text);
            }
            for (_, _, name) in self.shape.members.iter().filter(|(kind, ..)| *kind == item.kind) {
                if let Some(name) = self.tree.child(at, name).map(|name| self.text(name)) {
                    let list = if self.is_callee(at) { &mut self.methods } else { &mut self.attributes };
                    remember(list, name);
                }
            }
            if self.shape.numbers.contains(&item.kind) {
                remember(&mut self.numbers, text);
            } else if self.shape.strings.contains(&item.kind) && text.len() <= PIECE && !text.contains('\n') {
                remember(&mut self.strings, text);
            }
            if self.grammar.syntax().functions.contains(&item.kind)
                && let Some(name) = self.tree.child(at, "name")
            {
                let name = self.text(name);
                remember(&mut self.functions, name);
            }
        }
    }

    fn gather_value(&mut self, at: usize, seen: &mut BTreeSet<(u32, &'s str)>) {
        let (item, text, mut scope) = (self.item(at), self.text(at), self.scope_of[at]);
        if self.shape.names.contains(&item.kind) {
            // `__name__` is the language's: whoever gives it a value switches a whole program off.
            if !text.starts_with("__") && !self.is_callee(at) && seen.insert((scope, text)) {
                let class = self.name_class(scope, text);
                self.scopes[scope as usize].names.push(Name { text, class });
            }
            return;
        }
        // A function is a value of the scope around it.
        if self.scopes[scope as usize].function == Some(at) {
            scope = u32::try_from(self.scopes[scope as usize].outer).unwrap_or(0);
        }
        let is_literal = self.shape.numbers.contains(&item.kind) || self.shape.strings.contains(&item.kind);
        if is_literal || text.len() > PIECE || text.contains('\n') || item.kind == "parenthesized_expression" {
            return;
        }
        let (class, asked) = (self.class(at), self.is_condition(at));
        let scope = &mut self.scopes[scope as usize];
        if class == Class::Truth || asked {
            remember(&mut scope.truths, text);
        } else if scope.pieces.len() < PIECES && !scope.pieces.iter().any(|piece| piece.text == text) {
            scope.pieces.push(Piece { text, class });
        }
    }

    /// A function sees the names of those around it.
    fn inherit(&mut self) {
        for at in 0..self.scopes.len() {
            let (before, own) = self.scopes.split_at_mut(at);
            let scope = &mut own[0];
            if let Some(outer) = before.get(scope.outer) {
                for name in &outer.names {
                    if !scope.names.iter().any(|known| known.text == name.text) && !self.functions.contains(&name.text) {
                        scope.names.push(*name);
                    }
                }
            }
            scope.names.retain(|name| !self.functions.contains(&name.text));
            scope.names.truncate(NAMES);
        }
    }

    fn name_class(&self, scope: u32, name: &str) -> Class {
        let mut scope = scope as usize;
        loop {
            let key = (u32::try_from(scope).unwrap_or(0), name);
            match self.classes.get(&key) {
                Some(class) => return *class,
                None if scope == 0 => return Class::Unknown,
                None => scope = self.scopes[scope].outer,
            }
        }
    }

    /// What a value is, as far as its form tells.
    pub(super) fn class(&self, at: usize) -> Class {
        self.guess(at, DEPTH)
    }

    fn guess(&self, at: usize, depth: usize) -> Class {
        let (item, shape) = (self.item(at), self.shape);
        let inner = |child: Option<usize>| match child {
            Some(child) if depth > 0 => self.guess(child, depth - 1),
            _ => Class::Unknown,
        };
        match item.kind {
            kind if shape.numbers.contains(&kind) => Class::Number,
            kind if shape.strings.contains(&kind) => Class::Text,
            kind if shape.truths.contains(&kind) => Class::Truth,
            kind if shape.lists.contains(&kind) => Class::List,
            kind if shape.maps.contains(&kind) => Class::Map,
            kind if shape.names.contains(&kind) => self.name_class(self.scope_of[at], self.text(at)),
            "parenthesized_expression" => inner(self.tree.named(at).first().copied()),
            "macro_invocation" => self.given(self.tree.child(at, "macro")),
            kind if shape.calls.contains(&kind) => {
                let function = self.tree.child(at, "function");
                let name = function.map(|function| self.last_name(function));
                self.given(name)
            }
            kind if shape.members.iter().any(|(member, ..)| *member == kind) => self.given(Some(self.last_name(at))),
            kind if shape.unaries.contains(&kind) => match self.text(at).starts_with(shape.not) {
                true => Class::Truth,
                false => inner(self.tree.named(at).last().copied()),
            },
            kind if shape.binaries.contains(&kind) => match self.operator(at) {
                Some("<" | "<=" | ">" | ">=" | "==" | "!=" | "===" | "!==") => Class::Truth,
                Some("and" | "or" | "&&" | "||") => inner(self.tree.child(at, "left")),
                Some("-" | "/" | "//" | "**" | "&" | "|" | "^" | "<<" | ">>") => Class::Number,
                _ => {
                    let sides = [inner(self.tree.child(at, "left")), inner(self.tree.child(at, "right"))];
                    let strong = [Class::Text, Class::List].into_iter().find(|class| sides.contains(class));
                    strong.unwrap_or(if sides == [Class::Number; 2] { Class::Number } else { Class::Unknown })
                }
            },
            _ => Class::Unknown,
        }
    }

    fn given(&self, name: Option<usize>) -> Class {
        let Some(name) = name.map(|name| self.text(name)) else { return Class::Unknown };
        self.shape.gives.iter().find(|(known, _)| *known == name).map_or(Class::Unknown, |(_, class)| *class)
    }

    /// The operator of a binary node.
    pub(super) fn operator(&self, at: usize) -> Option<&'s str> {
        self.operator_node(at).map(|child| self.text(child))
    }

    pub(super) fn operator_node(&self, at: usize) -> Option<usize> {
        let of_field = self.tree.child(at, "operator").or_else(|| self.tree.child(at, "operators"));
        of_field.or_else(|| self.tree.children(at).find(|child| !self.item(*child).named))
    }

    /// The name in `a.b.name` and in `name`.
    pub(super) fn last_name(&self, at: usize) -> usize {
        let member = self.shape.members.iter().find(|(kind, ..)| *kind == self.item(at).kind);
        member.and_then(|(_, _, name)| self.tree.child(at, name)).unwrap_or(at)
    }

    /// What a call calls.
    pub(super) fn is_callee(&self, at: usize) -> bool {
        let item = self.item(at);
        item.field == Some("function") && self.shape.calls.contains(&self.item(item.parent).kind)
    }

    fn stands(&self, at: usize, places: &[(&str, &str)]) -> bool {
        let item = self.item(at);
        let parent = self.item(item.parent).kind;
        places.iter().any(|(kind, field)| *kind == parent && (field.is_empty() || item.field == Some(field)))
    }

    /// Whether a name comes into scope here.
    fn is_made(&self, at: usize) -> bool {
        self.shape.names.contains(&self.item(at).kind) && self.stands(at, self.shape.making)
    }

    /// Whether a node is a value that could be another one.
    pub(super) fn is_value(&self, at: usize) -> bool {
        let kind = self.item(at).kind;
        if self.item(self.item(at).parent).kind == "token_tree" {
            return self.is_value_in_macro(at);
        }
        if at == 0 || self.stands(at, self.shape.naming) {
            return false;
        }
        self.shape.names.contains(&kind) && self.item(at).named || self.shape.values.contains(&kind) && self.item(at).named
    }

    /// What a macro is given has no structure: literals are known by their form, and names when the function has them elsewhere.
    fn is_value_in_macro(&self, at: usize) -> bool {
        let kind = self.item(at).kind;
        let literal = self.shape.numbers.contains(&kind) || self.shape.strings.contains(&kind);
        literal || self.shape.names.contains(&kind) && self.scope(at).names.iter().any(|name| name.text == self.text(at))
    }

    /// Whether something is assigned to this.
    pub(super) fn is_target(&self, at: usize) -> bool {
        let item = self.item(at);
        let parent = self.item(item.parent).kind;
        parent == "pattern_list"
            || self.shape.assigns.iter().any(|(kind, target, _)| *kind == parent && item.field == Some(target))
    }

    /// Whether it is what an assignment gives to a name.
    pub(super) fn is_assigned(&self, at: usize) -> bool {
        let item = self.item(at);
        let parent = self.item(item.parent).kind;
        self.shape.assigns.iter().any(|(kind, _, value)| *kind == parent && item.field == Some(value))
    }

    /// Whether only its truth is asked for.
    pub(super) fn is_condition(&self, at: usize) -> bool {
        if self.stands(at, self.shape.conditions) {
            return true;
        }
        let parent = self.item(at).parent;
        self.item(parent).kind == "parenthesized_expression" && self.stands(parent, self.shape.conditions)
    }
}

fn remember<'s>(list: &mut Vec<&'s str>, text: &'s str) {
    if list.len() < PIECES && !list.contains(&text) {
        list.push(text);
    }
}

/// A declared type, by the names that most languages share.
fn declared_class(text: &str) -> Class {
    let text = text.trim_start_matches(['&', ':', ' ']).trim_start_matches("mut ").trim();
    let head: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    match head.as_str() {
        "Vec" | "List" | "list" | "Set" | "set" | "HashSet" | "VecDeque" | "tuple" | "Tuple" => Class::List,
        "Dict" | "dict" | "HashMap" | "BTreeMap" => Class::Map,
        "String" | "str" | "char" => Class::Text,
        "bool" => Class::Truth,
        "int" | "float" | "usize" | "isize" => Class::Number,
        _ if text.starts_with('[') => Class::List,
        _ if head.len() <= 4 && head.starts_with(['i', 'u', 'f']) && head[1..].parse::<u8>().is_ok() => Class::Number,
        _ => Class::Unknown,
    }
}
