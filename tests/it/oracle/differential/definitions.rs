//! The segments of a world, and their members by the oracle.

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;
use rollbook_model::Timestamp;

use super::atoms::{Atom, atoms, selects};
use super::bounds::Bounds;
use super::duckdb::Oracle;
use super::nodes::{Known, Node, Parts, Truth};
use super::values::Values;

/// The first segments, which others may use.
const NAMED: usize = 12;
/// One in this many definitions is a query for persons.
const SELECTED: u32 = 25;
/// The segments.
pub(super) struct Definitions {
    atoms: Vec<Atom>,
    selects: Vec<Atom>,
    nodes: Vec<Node>,
    /// Maximum depth of conditions.
    depth: u32,
    /// Atoms in the order of use, so that each is used once before one is used again.
    next: Vec<usize>,
}

impl Definitions {
    /// An empty set of segments.
    pub(super) fn none() -> Self {
        Self {
            atoms: Vec::new(),
            selects: Vec::new(),
            nodes: Vec::new(),
            depth: 0,
            next: Vec::new(),
        }
    }

    pub(super) fn random(
        dice: &mut ChaCha8Rng,
        values: &Values,
        bounds: &Bounds,
        (count, depth): (usize, u32),
    ) -> Self {
        let mut definitions = Self {
            atoms: atoms(dice, values, bounds, count / 3),
            selects: selects(dice, values, bounds),
            nodes: Vec::new(),
            depth,
            next: Vec::new(),
        };
        for at in 0..count {
            let node = definitions.draw(dice, at);
            definitions.nodes.push(node);
        }
        definitions
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The first segment that no other uses.
    pub(super) fn first_free(&self) -> usize {
        NAMED.min(self.nodes.len() - 1)
    }

    /// The criteria of a segment.
    pub(super) fn text(&self, at: usize) -> String {
        self.nodes[at].text(&self.atoms, &self.selects)
    }

    /// Whether a segment is a query for persons.
    pub(super) fn is_query(&self, at: usize) -> bool {
        matches!(self.nodes[at], Node::Select(_))
    }

    /// Whether the clauses of a segment are those that [`Definitions::clauses`] returns: an atom may have
    /// several.
    pub(super) fn is_of_clauses(&self, at: usize) -> bool {
        let mut parts = self.nodes[at].conjuncts().into_iter();
        parts.all(|part| !matches!(part, Node::Atom(atom) if self.atoms[*atom].tightness() == 1))
    }

    /// Gives a segment new criteria.
    pub(super) fn edit(&mut self, dice: &mut ChaCha8Rng, at: usize) {
        self.nodes[at] = self.draw(dice, at);
    }

    fn draw(&mut self, dice: &mut ChaCha8Rng, at: usize) -> Node {
        if dice.random_range(0..SELECTED) == 0 {
            return Node::Select(dice.random_range(0..self.selects.len()));
        }
        // No condition has more atoms than that.
        while self.next.len() < 1 << self.depth {
            let mut more: Vec<_> = (0..self.atoms.len()).collect();
            more.shuffle(dice);
            self.next.splice(0..0, more);
        }
        let mut parts = Parts {
            dice,
            atoms: &mut self.next,
            segments: at.min(NAMED),
        };
        Node::random(&mut parts, self.depth)
    }

    /// The members of each segment.
    pub(super) fn members(&self, oracle: &mut Oracle, as_of: Timestamp) -> Vec<RoaringTreemap> {
        let known = self.ask(oracle, as_of, 0..self.len());
        known.members
    }

    /// The members of one segment.
    pub(super) fn members_of(
        &self,
        oracle: &mut Oracle,
        at: usize,
        as_of: Timestamp,
    ) -> RoaringTreemap {
        self.ask(oracle, as_of, [at]).members.swap_remove(at)
    }

    /// For each top-level clause of a segment, the persons for whom it is true, and all persons; none for a
    /// query.
    pub(super) fn clauses(
        &self,
        oracle: &mut Oracle,
        at: usize,
        as_of: Timestamp,
    ) -> (Vec<RoaringTreemap>, RoaringTreemap) {
        let answers = self.ask(oracle, as_of, [at]);
        let clauses = self.nodes[at].conjuncts().into_iter();
        let met = clauses.map(|node| node.truth(&answers.known()).yes & &answers.all);
        (met.collect(), answers.all.clone())
    }

    /// Queries everything that the members of these segments depend on.
    fn ask(
        &self,
        oracle: &mut Oracle,
        as_of: Timestamp,
        wanted: impl IntoIterator<Item = usize>,
    ) -> Answers {
        let mut segments = BTreeSet::new();
        let mut waiting: Vec<usize> = wanted.into_iter().collect();
        let mut atoms = BTreeSet::new();
        let mut selects = BTreeSet::new();
        while let Some(at) = waiting.pop() {
            if segments.insert(at) {
                self.nodes[at].leaves(&mut |leaf| match leaf {
                    Node::Atom(atom) => drop(atoms.insert(*atom)),
                    Node::Select(select) => drop(selects.insert(*select)),
                    Node::Segment(named) => waiting.push(*named),
                    _ => {}
                });
            }
        }
        let everybody = "select person_id, true as is_met from persons".to_owned();
        let of_atoms = atoms.iter().map(|at| self.atoms[*at].rows());
        let of_selects = selects.iter().map(|at| self.selects[*at].rows());
        let queries = std::iter::once(everybody).chain(of_atoms).chain(of_selects);
        let queries: Vec<_> = queries.map(|query| written_now(&query, as_of)).collect();
        let mut truths = oracle
            .ask(&queries)
            .into_iter()
            .map(|rows| Truth::of(&rows));
        let mut answers = Answers {
            all: truths.next().unwrap_or_default().yes,
            atoms: vec![Truth::default(); self.atoms.len()],
            selects: vec![Truth::default(); self.selects.len()],
            members: vec![RoaringTreemap::new(); self.len()],
        };
        for at in atoms {
            answers.atoms[at] = truths.next().unwrap();
        }
        for at in selects {
            answers.selects[at] = truths.next().unwrap();
        }
        // A segment names only those before it.
        for at in segments {
            let truth = self.nodes[at].truth(&answers.known());
            answers.members[at] = &truth.yes & &answers.all;
        }
        answers
    }
}

/// The answers of the oracle at a moment.
struct Answers {
    all: RoaringTreemap,
    atoms: Vec<Truth>,
    selects: Vec<Truth>,
    members: Vec<RoaringTreemap>,
}

impl Answers {
    fn known(&self) -> Known<'_> {
        Known {
            all: &self.all,
            atoms: &self.atoms,
            selects: &self.selects,
            segments: &self.members,
        }
    }
}

/// A query with its moment.
pub(super) fn written_now(query: &str, as_of: Timestamp) -> String {
    query.replace("{now}", &format!("timestamptz '{as_of}'"))
}
