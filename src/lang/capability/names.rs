//! What a name in a source stands for: `sp.run` is `subprocess.run` after `import subprocess as sp`. Owns aliases and chains of
//! members, calls and items; a language says which nodes these are and which full names matter.

use std::collections::{BTreeMap, BTreeSet};

use super::literal::text_of;
use super::{Capability, Kind};
use crate::lang::Tree;

/// Steps of one chain that are followed, and calls inside calls: what is longer is not read.
const STEPS: usize = 40;
const STEPS_INSIDE: usize = 6;
const DEPTH: usize = 3;
/// Meanings of one name.
const MEANINGS: usize = 8;

/// How a language writes names, and which of them matter.
pub(super) struct Lore {
    /// Plain names.
    pub names: &'static [&'static str],
    /// Kind, field of the value, field of the member.
    pub members: &'static [(&'static str, &'static str, &'static str)],
    /// Kind and field of what is called.
    pub calls: &'static [(&'static str, &'static str)],
    /// Kind, field of the value, field of the index.
    pub items: &'static [(&'static str, &'static str, &'static str)],
    /// Nodes that stand for their last child.
    pub through: &'static [&'static str],
    /// Places where a name makes something, or is none of ours: kind and field; an empty field is any.
    pub making: &'static [(&'static str, &'static str)],
    /// Parameters and other nodes that give a name a meaning of their own, inside the functions that hold them.
    pub parameters: &'static [&'static str],
    /// Full names with dots. What lies below them counts too.
    pub powers: &'static [(Kind, &'static [&'static str])],
    /// Names of methods that say enough whatever they are called on.
    pub methods: &'static [(Kind, &'static [&'static str])],
    /// Names that need no import.
    pub globals: &'static [&'static str],
    /// What these belong to; empty for themselves.
    pub global: &'static str,
    /// Beginnings of full names that are the same as nothing.
    pub same: &'static [&'static str],
    /// The full name of what a call gives, when the call is a way to get at a name: `getattr(os, "system")`.
    pub opens: fn(&Names<'_>, usize, usize) -> Option<String>,
}

/// See the module.
pub(super) struct Names<'s> {
    pub tree: &'s Tree,
    pub source: &'s str,
    pub lore: &'static Lore,
    aliases: BTreeMap<String, BTreeSet<String>>,
    /// Modules whose names are all in scope.
    opened: BTreeSet<String>,
    pub found: Vec<Capability>,
}

impl<'s> Names<'s> {
    pub fn new(tree: &'s Tree, source: &'s str, lore: &'static Lore) -> Self {
        Names { tree, source, lore, aliases: BTreeMap::new(), opened: BTreeSet::new(), found: Vec::new() }
    }

    /// `name` may stand for `path` anywhere in the source.
    pub fn alias(&mut self, name: &str, path: &str) {
        let known = self.aliases.entry(name.to_string()).or_default();
        // Names that are given other meanings again and again are no reason to take long.
        if known.len() < MEANINGS && path.len() < 200 {
            known.insert(path.to_string());
        }
    }

    /// Every name of `module` is in scope.
    pub fn open(&mut self, module: &str) {
        self.opened.insert(module.to_string());
    }

    pub fn text(&self, at: usize) -> &'s str {
        self.tree.text(at, self.source)
    }

    pub fn kind(&self, at: usize) -> &'static str {
        self.tree.item(at).kind
    }

    /// The value of a text at this node.
    pub fn literal(&self, at: usize) -> Option<String> {
        text_of(self.tree, at, self.source)
    }

    pub fn note(&mut self, at: usize, kind: Kind, what: impl Into<String>) {
        let line = self.tree.item(at).lines.0;
        self.found.push(Capability { kind, what: what.into(), line });
    }

    /// The kind of a full name.
    pub fn power(&self, path: &str) -> Option<Kind> {
        let below =
            |known: &str| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '(', '[']));
        // The longest entry decides: `os.environ` lies below nothing, `fs.promises.rm` below two.
        let entries = self.lore.powers.iter().flat_map(|(kind, paths)| paths.iter().map(move |known| (*kind, *known)));
        entries.filter(|(_, known)| below(known)).max_by_key(|(_, known)| known.len()).map(|(kind, _)| kind)
    }

    /// The full names that the node may stand for; none when it begins with a value that is the source's own.
    pub fn paths(&self, at: usize) -> Vec<String> {
        self.paths_within(at, DEPTH)
    }

    /// [`Self::paths`], `depth` calls deep at most.
    pub fn paths_within(&self, mut at: usize, depth: usize) -> Vec<String> {
        let mut tail: Vec<String> = Vec::new();
        for _ in 0..if depth == DEPTH { STEPS } else { STEPS_INSIDE } {
            let kind = self.kind(at);
            let next = if self.lore.through.contains(&kind) {
                self.tree.named(at).last().copied()
            } else if let Some((_, value, name)) = self.lore.members.iter().find(|(known, ..)| *known == kind) {
                let name = self.tree.child(at, name).map(|name| self.text(name)).unwrap_or_default();
                let value = self.tree.child(at, value);
                if value.is_none() {
                    // `::std::net`: the chain begins here.
                    return vec![self.joined(name, &tail)];
                }
                tail.push(format!(".{name}"));
                value
            } else if let Some((_, value, index)) = self.lore.items.iter().find(|(known, ..)| *known == kind) {
                let index = self.tree.child(at, index).and_then(|index| self.literal(index));
                tail.push(index.map_or("[]".to_string(), |name| format!(".{name}")));
                self.tree.child(at, value)
            } else if let Some((_, function)) = self.lore.calls.iter().find(|(known, _)| *known == kind) {
                let opened = if depth > 0 { (self.lore.opens)(self, at, depth - 1) } else { None };
                if let Some(base) = opened {
                    return vec![self.joined(&base, &tail)];
                }
                tail.push("()".into());
                self.tree.child(at, function)
            } else if self.lore.names.contains(&kind) {
                return self.meanings(at).iter().map(|base| self.joined(base, &tail)).collect();
            } else {
                None
            };
            let Some(next) = next else { return Vec::new() };
            at = next;
        }
        Vec::new()
    }

    fn joined(&self, base: &str, tail: &[String]) -> String {
        let mut path = base.to_string();
        path.extend(tail.iter().rev().map(String::as_str));
        for same in self.lore.same {
            if let Some(rest) = path.strip_prefix(same).filter(|rest| !rest.is_empty()) {
                let is_global = self.lore.globals.contains(&rest.split(['.', '(']).next().unwrap_or_default());
                let prefix =
                    if is_global && !self.lore.global.is_empty() { format!("{}.", self.lore.global) } else { String::new() };
                path = format!("{prefix}{rest}");
            }
        }
        path.replace(".__dict__", "")
    }

    fn meanings(&self, at: usize) -> Vec<String> {
        let name = self.text(at);
        if let Some(known) = self.aliases.get(name) {
            return known.iter().cloned().collect();
        }
        if let Some(path) = self.opened.iter().map(|module| format!("{module}.{name}")).find(|path| self.power(path).is_some()) {
            return vec![path];
        }
        let path = if self.lore.global.is_empty() { name.to_string() } else { format!("{}.{name}", self.lore.global) };
        if self.lore.globals.contains(&name) && !self.is_own(at, name) { vec![path] } else { Vec::new() }
    }

    /// Whether a parameter around the node has this name.
    fn is_own(&self, at: usize, name: &str) -> bool {
        let holds = |list: usize| {
            (list..self.tree.item(list).after)
                .any(|inner| self.lore.names.contains(&self.kind(inner)) && self.text(inner) == name)
        };
        self.tree.ancestors(at).take(STEPS).any(|around| {
            self.tree
                .children(around)
                .any(|child| self.lore.parameters.contains(&self.kind(child)) && child != at && holds(child))
        })
    }

    /// Whether the node is the whole of a chain, and not where a name is made.
    fn is_whole(&self, at: usize) -> bool {
        let item = self.tree.item(at);
        let (parent, field) = (self.kind(item.parent), item.field);
        let inner = |known: &str, value: &str| parent == known && field == Some(value);
        let continues = self.lore.members.iter().any(|(known, value, name)| inner(known, value) || inner(known, name))
            || self.lore.calls.iter().any(|(known, function)| inner(known, function))
            || self.lore.items.iter().any(|(known, value, _)| inner(known, value));
        let makes = self.lore.making.iter().any(|(known, made)| parent == *known && (made.is_empty() || field == Some(*made)));
        !(continues || makes && self.lore.names.contains(&item.kind))
    }

    /// Notes every full name that matters, and every method that says enough.
    pub fn survey(&mut self) {
        for at in 0..self.tree.items().len() {
            let kind = self.kind(at);
            if let Some((_, _, name)) = self.lore.members.iter().find(|(known, ..)| *known == kind) {
                self.method(at, name);
            }
            let is_chain = self.lore.names.contains(&kind)
                || self.lore.members.iter().any(|(known, ..)| *known == kind)
                || self.lore.items.iter().any(|(known, ..)| *known == kind)
                || self.lore.calls.iter().any(|(known, _)| *known == kind);
            if !is_chain || !self.is_whole(at) {
                continue;
            }
            let hit = self.paths(at).into_iter().find_map(|path| self.power(&path).map(|kind| (kind, path)));
            if let Some((kind, path)) = hit {
                self.note(at, kind, short(&path));
            }
        }
    }

    /// A method that is called by a name that says enough, unless its full name is known anyway.
    fn method(&mut self, at: usize, field: &str) {
        let parent = self.tree.item(at).parent;
        let is_called = self
            .lore
            .calls
            .iter()
            .any(|(known, function)| self.kind(parent) == *known && self.tree.item(at).field == Some(*function));
        let Some(name) = self.tree.child(at, field).map(|name| self.text(name)) else { return };
        let kind = self.lore.methods.iter().find(|(_, methods)| methods.contains(&name)).map(|(kind, _)| *kind);
        let (true, Some(kind)) = (is_called, kind) else { return };
        if !self.paths(at).iter().any(|path| self.power(path).is_some()) {
            self.note(at, kind, format!(".{name}"));
        }
    }
}

/// A full name up to where it is called.
pub(super) fn short(path: &str) -> String {
    let end = path.find(['(', '[']).unwrap_or(path.len());
    path.get(..end).unwrap_or(path).chars().take(80).collect()
}
