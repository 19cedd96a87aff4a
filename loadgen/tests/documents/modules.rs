//! Which modules of a crate use which, read from its sources with their syntax understood.
//!
//! The tree of modules is followed from the crate's root by its `mod` items, so that it does not matter where a file
//! lies; what is compiled for tests alone is left out. Paths are resolved whatever their form: `crate::…`, `super::…`, `self::…`,
//! the crate's own name, groups, what the root re-exports, and tokens within macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};

/// A module's place in its crate: the names from the root on.
type Place = Vec<String>;

/// The modules of one crate and what each of them names.
pub(crate) struct Crate {
    /// The crate's own name, as its binaries and tests write it.
    name: String,
    modules: BTreeSet<Place>,
    /// What a module re-exports from elsewhere: the module, the name that it gives, and where that is.
    exports: Vec<(Place, String, Place)>,
    /// In which module which path is named, from the crate's root on.
    uses: BTreeSet<(Place, Place)>,
}

impl Crate {
    /// Reads a crate from its root file, `src/lib.rs` for one.
    pub(crate) fn read(name: &str, root: &Path) -> Self {
        let mut read = Self {
            name: name.to_owned(),
            modules: BTreeSet::new(),
            exports: Vec::new(),
            uses: BTreeSet::new(),
        };
        read.file(root, root.parent().unwrap(), &Vec::new());
        read
    }

    /// Reads one file, which is the module at `place` and has its children's files in `folder`.
    fn file(&mut self, file: &Path, folder: &Path, place: &Place) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.items(&parsed.items, file, folder, place);
    }

    fn items(&mut self, items: &[syn::Item], file: &Path, folder: &Path, place: &Place) {
        self.modules.insert(place.clone());
        for item in items {
            if is_for_tests(item) {
                continue;
            }
            let syn::Item::Mod(module) = item else {
                Reader { read: self, place }.visit_item(item);
                continue;
            };
            let name = module.ident.to_string();
            let inner = folder.join(&name);
            let child = [&place[..], std::slice::from_ref(&name)].concat();
            if let Some((_, items)) = &module.content {
                self.items(items, file, &inner, &child);
                continue;
            }
            let named = module.attrs.iter().find_map(path_attribute).map(|path| file.with_file_name(path));
            let candidates = [named, Some(folder.join(format!("{name}.rs"))), Some(inner.join("mod.rs"))];
            let own = candidates.into_iter().flatten().find(|file| file.is_file());
            self.file(&own.unwrap_or_else(|| panic!("{child:?} has no file")), &inner, &child);
        }
    }

    /// Where a path leads that is written in the module at `place`, from the crate's root on; `None` where it leads
    /// out of the crate or stays within the module.
    fn resolve(&self, place: &Place, path: &[String]) -> Option<Place> {
        let (first, mut rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => place.clone(),
            "super" => place[..place.len().checked_sub(1)?].to_vec(),
            own if own == self.name => Vec::new(),
            _ => return None,
        };
        while let Some((next, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
            base.truncate(base.len().saturating_sub(next.len().min(1)));
            rest = after;
        }
        Some([base, rest.to_vec()].concat())
    }

    /// Where the thing is that a path from the root names, through what modules re-export.
    fn origin(&self, path: &Place) -> Place {
        let mut at = path.clone();
        // Each step follows one re-export; a chain is no longer than there are any.
        for _ in 0..=self.exports.len() {
            let step = self.exports.iter().find_map(|(module, name, origin)| {
                let rest = at.strip_prefix(&module[..])?.strip_prefix(std::slice::from_ref(name))?;
                (!self.modules.contains(&[&module[..], std::slice::from_ref(name)].concat()))
                    .then(|| [&origin[..], rest].concat())
            });
            match step {
                Some(next) if next != at => at = next,
                _ => break,
            }
        }
        at
    }

    /// Which children of the module at `parent` use which of their siblings.
    pub(crate) fn siblings(&self, parent: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let child = |place: &Place| {
            let (head, rest) = (place.get(..parent.len())?, place.get(parent.len())?);
            let is_module = self.modules.contains(&place[..=parent.len()]);
            (head == parent && is_module).then(|| rest.clone())
        };
        let mut uses: BTreeMap<String, BTreeSet<String>> =
            self.modules.iter().filter_map(child).map(|name| (name, BTreeSet::new())).collect();
        for (place, path) in &self.uses {
            let Some(from) = child(place) else { continue };
            for target in [child(path), child(&self.origin(path))].into_iter().flatten() {
                if target != from {
                    uses.get_mut(&from).unwrap().insert(target);
                }
            }
        }
        uses
    }

    /// Everything that the module at `place` and those below it name.
    pub(crate) fn used_below(&self, place: &[&str]) -> Vec<&Place> {
        let below = |(user, _): &&(Place, Place)| user.get(..place.len()).is_some_and(|head| head == place);
        self.uses.iter().filter(below).map(|(_, used)| used).collect()
    }

    /// The crate's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Every module that has children, by the names from the root on.
    pub(crate) fn parents(&self) -> BTreeSet<Place> {
        self.modules
            .iter()
            .filter(|place| !place.is_empty())
            .map(|place| place[..place.len() - 1].to_vec())
            .collect()
    }
}

/// Groups of modules each of which uses, directly or through others, all the others of its group.
pub(crate) fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached = |from: &String| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for used in &uses[module] {
                if reached.insert(used.clone()) {
                    next.push(used);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        uses.keys().map(|from| (from, reached(from))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (module, reaches) in &reached {
        if reaches.contains(*module) && !circles.iter().any(|circle| circle.contains(*module)) {
            let members = reaches.iter().filter(|other| reached[*other].contains(*module));
            circles.push(members.cloned().collect());
        }
    }
    circles
}

/// Every `#[path = "…"]` below a folder.
pub(crate) fn path_attributes(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(path_attributes(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let parsed = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            let modules = parsed.items.iter().filter_map(|item| match item {
                syn::Item::Mod(module) => Some(module),
                _ => None,
            });
            let attributes = modules.flat_map(|module| &module.attrs).filter_map(path_attribute);
            found.extend(attributes.map(|attribute| (path.clone(), attribute)));
        }
    }
    found
}

/// The file that `#[path = "…"]` names, or `#[cfg_attr(…, path = "…")]`.
fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let tokens: Vec<String> = attribute.to_token_stream().into_iter().flat_map(flat).collect();
    let at = tokens.windows(2).position(|pair| pair[0] == "path" && pair[1] == "=")?;
    Some(tokens.get(at + 2)?.trim_matches('"').to_owned())
}

/// A token's text; a group's are those within.
fn flat(token: TokenTree) -> Vec<String> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().flat_map(flat).collect(),
        token => vec![token.to_string()],
    }
}

/// Whether an item is compiled for tests alone.
fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// Collects the paths that one module's items name.
struct Reader<'a> {
    read: &'a mut Crate,
    place: &'a Place,
}

impl Reader<'_> {
    fn note(&mut self, path: &[String]) {
        if let Some(place) = self.read.resolve(self.place, path) {
            self.read.uses.insert((self.place.clone(), place));
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, is_exported: bool) {
        let end = |reader: &mut Self, name: &syn::Ident, given: &syn::Ident| {
            let mut whole = path.clone();
            if name != "self" {
                whole.push(name.to_string());
            }
            reader.note(&whole);
            // A child's item needs no `self::` before it.
            let child = [&reader.place[..], &whole[..1.min(whole.len())]].concat();
            let origin = reader
                .read
                .resolve(reader.place, &whole)
                .or_else(|| is_exported.then(|| [&child[..], &whole[1.min(whole.len())..]].concat()));
            if let Some(origin) = origin.filter(|_| is_exported) {
                reader.read.exports.push((reader.place.clone(), given.to_string(), origin));
            }
        };
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.tree(&part.tree, path, is_exported);
                path.pop();
            }
            syn::UseTree::Name(name) => end(self, &name.ident, &name.ident),
            syn::UseTree::Rename(name) => end(self, &name.ident, &name.rename),
            syn::UseTree::Glob(_) => self.note(&path.clone()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, path, is_exported);
                }
            }
        }
    }

    /// Paths within a macro's tokens: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match &token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.note(&path);
                    (path, colons) = (Vec::new(), 0);
                    match other {
                        TokenTree::Ident(name) => path.push(name.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.note(&path);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_exported = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&item.tree, &mut Vec::new(), is_exported);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    // Who may see an item uses nothing, and neither does what is written of it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
