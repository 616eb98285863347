//! The segments of a world, and who belongs to them as plain SQL on the raw tables says.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;
use rollbook_app::{Place, data};
use rollbook_model::Timestamp;

use super::atoms::{Atom, atoms, selects};
use super::nodes::{Known, Node, Parts, Truth};
use super::values::Values;

/// The first segments, which others may name.
const NAMED: usize = 12;
/// Of so many definitions one is a query for persons.
const SELECTED: u32 = 25;
/// Atoms that are asked about in one query.
const TOGETHER: usize = 12;
/// From here nothing is hidden, and the query alone says what is past.
const FAR: &str = "2040-01-01";

/// What segments there are.
pub(super) struct Definitions {
    atoms: Vec<Atom>,
    selects: Vec<Atom>,
    nodes: Vec<Node>,
    /// How deep conditions are put together.
    depth: u32,
    /// Atoms that are used next, so that all are before one is again.
    next: Vec<usize>,
}

impl Definitions {
    pub(super) fn random(dice: &mut ChaCha8Rng, values: &Values, count: usize, depth: u32) -> Self {
        let mut definitions = Self {
            atoms: atoms(dice, values, count / 3),
            selects: selects(dice, values),
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

    /// The first segment that no other names.
    pub(super) fn first_free(&self) -> usize {
        NAMED.min(self.nodes.len() - 1)
    }

    /// The criteria of a segment.
    pub(super) fn text(&self, at: usize) -> String {
        self.nodes[at].text(&self.atoms, &self.selects)
    }

    /// Gives a segment other criteria.
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

    /// Who belongs to each segment.
    pub(super) async fn members(&self, place: &Place, as_of: Timestamp) -> Vec<RoaringTreemap> {
        let all = everybody(place, as_of).await;
        let atoms = known(place, &self.atoms, as_of).await;
        let selects = known(place, &self.selects, as_of).await;
        let mut members: Vec<RoaringTreemap> = Vec::new();
        for node in &self.nodes {
            let truth = node.truth(&Known {
                all: &all,
                atoms: &atoms,
                selects: &selects,
                segments: &members,
            });
            members.push(&truth.yes & &all);
        }
        members
    }
}

async fn everybody(place: &Place, as_of: Timestamp) -> RoaringTreemap {
    let sql = "select 0 as atom, person_id, true as is_met from persons where person_id <> 0";
    ask(place, sql, as_of, 1).await.remove(0).yes
}

/// For whom each of some atoms is true or unknown.
async fn known(place: &Place, atoms: &[Atom], as_of: Timestamp) -> Vec<Truth> {
    let mut all = Vec::new();
    for some in atoms.chunks(TOGETHER) {
        let rows: Vec<_> = (0..).zip(some).map(|(at, atom)| atom.rows(at)).collect();
        all.extend(ask(place, &rows.join(" union all "), as_of, some.len()).await);
    }
    all
}

async fn ask(place: &Place, sql: &str, as_of: Timestamp, atoms: usize) -> Vec<Truth> {
    let now = format!("cast('{as_of}' as timestamp with time zone)");
    let sql = sql.replace("{now}", &now);
    let answer = data::sql(place, &sql, FAR.parse().unwrap(), None).await;
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(!answer.truncated, "{sql}");
    let mut all = vec![Truth::default(); atoms];
    for batch in &answer.batches {
        let [atom, person] = [0, 1].map(|at| batch.column(at).as_primitive::<Int64Type>());
        let is_met = batch.column(2).as_boolean();
        for ((atom, person), is_met) in atom.iter().zip(person).zip(is_met) {
            let truth = &mut all[usize::try_from(atom.unwrap()).unwrap()];
            let person = u64::try_from(person.unwrap()).unwrap();
            match is_met {
                Some(_) => truth.yes.insert(person),
                None => truth.unknown.insert(person),
            };
        }
    }
    all
}
