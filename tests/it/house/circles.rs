//! Dependencies inside a crate: no two files need each other, and folders depend only on lower ones.

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

/// The paths in a file, without those in its tests.
#[derive(Default)]
struct Paths {
    named: Vec<Vec<String>>,
    /// The names that it imports, which its children and others may use.
    passed_on: BTreeMap<String, Vec<String>>,
}

impl Paths {
    fn of(module: &Module, text: &str) -> Self {
        let mut paths = Self::default();
        let file = syn::parse_file(text);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", module.join("/")));
        paths.visit_file(&file);
        paths
    }

    fn note(&mut self, name: &syn::Ident, path: Vec<String>) {
        self.passed_on.insert(name.to_string(), path.clone());
        self.named.push(path);
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
                self.note(&name.ident, path);
            }
            syn::UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                self.note(&name.rename, path);
            }
            syn::UseTree::Glob(_) => self.named.push(path),
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
        self.named.push(names.collect());
        visit::visit_path(self, path);
    }

    /// The input of a macro can be anything; its words are searched for paths.
    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        let text = call.tokens.to_string().replace(" :: ", "::");
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in text.split(|c: char| !is_word(c)) {
            if ["crate::", "self::", "super::"]
                .iter()
                .any(|root| word.starts_with(root))
            {
                self.named
                    .push(word.split("::").map(str::to_owned).collect());
            }
        }
    }
}

/// The module that defines the item of a path, as seen from another module; imports are followed.
fn origin(path: &[String], from: &Module, files: &BTreeMap<Module, Paths>) -> Option<Module> {
    let (mut at, mut rest) = led_to(path, from, files)?;
    for _ in 0..files.len() {
        let passed_on = rest
            .first()
            .and_then(|name| files.get(&at)?.passed_on.get(name));
        let Some(passed_on) = passed_on else { break };
        let path: Vec<String> = passed_on.iter().chain(&rest[1..]).cloned().collect();
        let Some(next) = led_to(&path, &at, files) else {
            break;
        };
        (at, rest) = next;
    }
    Some(at)
}

/// The module of a path, as seen from another module, and the rest of the path.
fn led_to(
    path: &[String],
    from: &Module,
    modules: &BTreeMap<Module, Paths>,
) -> Option<(Module, Vec<String>)> {
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
    let mut rest = rest.to_vec();
    while let Some(name) = rest.first() {
        at.push(name.clone());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
        rest.remove(0);
    }
    Some((at, rest))
}

/// Parent and child of one module may need each other.
fn are_related(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The files of a crate, by module, without those of its tests.
fn texts_of(source: &Path) -> BTreeMap<Module, String> {
    let modules = modules(source).into_iter();
    let modules = modules.filter(|(module, _)| !module.iter().any(|part| part == "tests"));
    modules
        .map(|(module, path)| (module, fs::read_to_string(path).unwrap()))
        .collect()
}

/// The other modules that each module needs.
fn needs(texts: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = texts.iter();
    let files = files.map(|(module, text)| (module.clone(), Paths::of(module, text)));
    let files: BTreeMap<Module, Paths> = files.collect();
    let of = |(module, paths): (&Module, &Paths)| {
        let needed = paths.named.iter();
        let needed = needed.filter_map(|path| origin(path, module, &files));
        let others = needed.filter(|other| other != module).collect();
        (module.clone(), others)
    };
    files.iter().map(of).collect()
}

/// Files that need each other.
fn circles(texts: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let needs = needs(texts);
    let names: Vec<&Module> = needs.keys().collect();
    let mut edges: DiGraphMap<usize, ()> = DiGraphMap::new();
    for (at, (module, others)) in needs.iter().enumerate() {
        for other in others.iter().filter(|other| !are_related(module, other)) {
            if let Some(place) = names.iter().position(|name| *name == other) {
                edges.add_edge(at, place, ());
            }
        }
    }
    let groups = tarjan_scc(&edges).into_iter();
    let named = groups.filter(|group| group.len() > 1).map(|group| {
        let mut group: Vec<String> = group.into_iter().map(|at| names[at].join("/")).collect();
        group.sort();
        group
    });
    named.collect()
}

/// Modules that a crate's top modules need, but that come later in the order, lowest first.
fn against(order: &str, texts: &BTreeMap<Module, String>) -> Vec<String> {
    let order: Vec<&str> = order.split_whitespace().collect();
    let place = |module: &Module| order.iter().position(|name| *name == module[0]);
    let mut found = BTreeSet::new();
    for (module, others) in needs(texts).iter().filter(|(module, _)| !module.is_empty()) {
        let Some(own) = place(module) else {
            found.insert(format!("`{}` stands in no order", module[0]));
            continue;
        };
        for other in others.iter().filter(|other| !other.is_empty()) {
            if place(other).is_none_or(|place| place > own) {
                found.insert(format!(
                    "`{}` needs `{}`",
                    module.join("/"),
                    other.join("/")
                ));
            }
        }
    }
    let missing = order.iter().filter(|name| {
        let is_it = |module: &Module| module.first().is_some_and(|first| first == *name);
        !texts.keys().any(is_it)
    });
    found.extend(missing.map(|name| format!("there is no `{name}`")));
    found.into_iter().collect()
}

/// The top modules of each crate, lowest first.
const ORDERS: [(&str, &str); 8] = [
    (
        "lake",
        "error json encryption state storage lake table vault secrets documents wal snapshot maintenance",
    ),
    (
        "engine",
        "error opaque query_pool rewriting functions operators wrapped_errors times sql criteria tables threads cache \
         coercion session",
    ),
    (
        "ingest",
        "error mapping rows inspect quarantine persons retention run",
    ),
    (
        "segments",
        "error names schedule ledger custom_traits definition membership affected criteria \
         evaluation values sessions clause_stats deletion outcome status explain forecast refresh",
    ),
    (
        "app",
        "error process_usage quotas recent versioned access audit workspace tenants rows page_token sql_files data identity ingest retention attribution suppressions \
         segments persons scores traits secrets readiness maintenance demo",
    ),
    (
        "server",
        "answered request_id problem limits network api workers state access http isolation tasks routes router serve \
         work",
    ),
    ("cli", "scratch arguments output commands"),
    (
        "generate",
        "error allotment dice calendar countries catalog lead world profile output reference person",
    ),
];

fn source_of(name: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    crates.join(name).join("src")
}

#[test]
fn folders_of_a_crate_depend_on_lower_ones_only() {
    for (name, order) in ORDERS {
        let texts = texts_of(&source_of(name));
        assert_eq!(against(order, &texts), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn dependency_on_a_higher_folder_is_found() {
    let texts = [
        ("a", "pub use crate::b::Thing;"),
        ("b", "pub struct Thing;"),
        ("c/d", "use crate::a::Thing;"),
    ];
    let texts = texts_by_module(&texts);
    assert_eq!(against("b a c", &texts), Vec::<String>::new());
    assert_eq!(against("a b c", &texts), ["`a` needs `b`"]);
    // `c/d` takes `Thing` by way of `a`; it needs `b`, which defines it.
    assert_eq!(
        against("a c b", &texts),
        ["`a` needs `b`", "`c/d` needs `b`"]
    );
    assert_eq!(against("b a", &texts), ["`c` stands in no order"]);
    assert_eq!(against("b a c e", &texts), ["there is no `e`"]);
}

fn texts_by_module(texts: &[(&str, &str)]) -> BTreeMap<Module, String> {
    let parts = |name: &str| name.split('/').map(str::to_owned).collect::<Module>();
    let module = |name: &str| {
        parts(name)
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect()
    };
    let texts = texts.iter();
    texts
        .map(|(name, text)| (module(name), (*text).to_owned()))
        .collect()
}

#[test]
fn files_of_a_crate_form_no_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut files = 0;
    for entry in fs::read_dir(crates).unwrap() {
        let source = entry.unwrap().path().join("src");
        let texts = texts_of(&source);
        files += texts.len();
        let found = circles(&texts);
        assert_eq!(found, Vec::<Vec<String>>::new(), "{}", source.display());
    }
    assert!(files > 400, "{files}");
}

#[test]
fn circles_are_found_through_every_form_of_import() {
    let check = |of_b: &str, expected: &[&[&str]]| {
        let texts = [
            ("a", "use crate::b::{self, Thing};"),
            ("b", of_b),
            ("b/c", "use super::Thing; use crate::a::Other;"),
        ];
        assert_eq!(circles(&texts_by_module(&texts)), expected, "{of_b}");
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
    // A circle by way of a file that only passes a name on.
    let texts = [
        ("", "pub use b::Thing;"),
        ("a", "use crate::Thing; pub struct Other;"),
        ("b", "use crate::a::Other; pub struct Thing;"),
    ];
    assert_eq!(circles(&texts_by_module(&texts)), [["a", "b"]]);
}
