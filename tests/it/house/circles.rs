//! No two files of a crate need each other, so that one can be read without the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use syn::visit::{self, Visit};

/// The name of a file's module: its path below the root of the crate.
type Module = Vec<String>;

/// The modules of a crate that are files of their own.
fn modules(source: &Path) -> BTreeMap<Module, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let below = path.strip_prefix(source).unwrap().with_extension("");
            let parts = below.iter().map(|part| part.to_str().unwrap().to_owned());
            let mut module: Module = parts.collect();
            if ["lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            found.insert(module, path);
        }
    }
    found
}

/// The paths that a file names, without those of its tests.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn of(module: &Module, text: &str) -> Vec<Vec<String>> {
        let mut paths = Self::default();
        let file = syn::parse_file(text);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", module.join("/")));
        paths.visit_file(&file);
        paths.0
    }

    fn used(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(of) => {
                path.push(of.ident.to_string());
                self.used(&of.tree, path);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.used(tree, path.clone());
                }
            }
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.0.push(path);
            }
            syn::UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                self.0.push(path);
            }
            syn::UseTree::Glob(_) => self.0.push(path),
        }
    }
}

impl Visit<'_> for Paths {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.used(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        self.0.push(names.collect());
        visit::visit_path(self, path);
    }

    /// What a macro is given may be anything; its words are looked through for paths.
    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        let text = call.tokens.to_string().replace(" :: ", "::");
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in text.split(|c: char| !is_word(c)) {
            if ["crate::", "self::", "super::"]
                .iter()
                .any(|root| word.starts_with(root))
            {
                self.0.push(word.split("::").map(str::to_owned).collect());
            }
        }
    }
}

/// The module that a path leads into, seen from another.
fn led_to(path: &[String], from: &Module, modules: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut at = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                at.pop();
                rest = &rest[1..];
            }
        }
        name => {
            let child: Module = from.iter().cloned().chain([name.to_owned()]).collect();
            if !modules.contains_key(&child) {
                return None;
            }
        }
    }
    for name in rest {
        at.push(name.clone());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    Some(at)
}

/// Parent and child of one module may need each other.
fn are_related(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Files that need each other, by the text of each.
fn circles(
    texts: &BTreeMap<Module, String>,
    modules: &BTreeMap<Module, PathBuf>,
) -> Vec<Vec<String>> {
    let names: Vec<&Module> = texts.keys().collect();
    let mut needs: DiGraphMap<usize, ()> = DiGraphMap::new();
    for (at, (module, text)) in texts.iter().enumerate() {
        let paths = Paths::of(module, text);
        let needed = paths
            .iter()
            .filter_map(|path| led_to(path, module, modules));
        for other in needed.collect::<BTreeSet<Module>>() {
            let place = names.iter().position(|name| **name == other);
            if let Some(place) = place.filter(|_| !are_related(module, &other)) {
                needs.add_edge(at, place, ());
            }
        }
    }
    let groups = tarjan_scc(&needs)
        .into_iter()
        .filter(|group| group.len() > 1);
    let named = groups.map(|group| {
        let mut group: Vec<String> = group.into_iter().map(|at| names[at].join("/")).collect();
        group.sort();
        group
    });
    named.collect()
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut files = 0;
    for entry in fs::read_dir(crates).unwrap() {
        let source = entry.unwrap().path().join("src");
        let modules = modules(&source);
        let is_of_tests = |module: &Module| module.iter().any(|part| part == "tests");
        let texts = modules.iter().filter(|(module, _)| !is_of_tests(module));
        let texts: BTreeMap<Module, String> = texts
            .map(|(module, path)| (module.clone(), fs::read_to_string(path).unwrap()))
            .collect();
        files += texts.len();
        let found = circles(&texts, &modules);
        assert_eq!(found, Vec::<Vec<String>>::new(), "{}", source.display());
    }
    assert!(files > 400, "{files}");
}

#[test]
fn circles_are_found_in_every_form_of_import() {
    let check = |of_b: &str, expected: &[&[&str]]| {
        let texts = [
            ("a", "use crate::b::{self, Thing};"),
            ("b", of_b),
            ("b/c", "use super::Thing; use crate::a::Other;"),
        ];
        let texts: BTreeMap<Module, String> = texts
            .into_iter()
            .map(|(name, text)| {
                (
                    name.split('/').map(str::to_owned).collect(),
                    text.to_owned(),
                )
            })
            .collect();
        let modules = texts
            .keys()
            .map(|name| (name.clone(), PathBuf::new()))
            .collect();
        assert_eq!(circles(&texts, &modules), expected, "{of_b}");
    };
    // A parent may need its child, which needs what needs the parent.
    check("mod c; use c::Inner;", &[]);
    for circle in [
        "use crate::{a, c};",
        "use super::a::{Deep as D};",
        "fn f() { crate::a::go() }",
        "type T = Vec<crate::a::Other>;",
        "fn f() { println!(\"{}\", crate::a::NAME) }",
    ] {
        check(circle, &[&["a", "b"]]);
    }
    check("#[cfg(test)] mod tests { use crate::a::Other; }", &[]);
}
