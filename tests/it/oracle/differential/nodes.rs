//! Nested conditions, evaluated by three-valued logic on sets of persons.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;
use serde_json::Value;

use super::atoms::Atom;

/// The persons for whom a condition is true, and those for whom it is unknown.
#[derive(Clone, Default)]
pub(super) struct Truth {
    pub(super) yes: RoaringTreemap,
    pub(super) unknown: RoaringTreemap,
}

impl Truth {
    /// From rows of a person and whether the condition is met; persons for whom it is not are missing.
    pub(super) fn of(rows: &[Vec<Value>]) -> Self {
        let mut truth = Self::default();
        for row in rows {
            let person = row[0].as_u64().unwrap();
            match row[1].as_bool() {
                Some(_) => truth.yes.insert(person),
                None => truth.unknown.insert(person),
            };
        }
        truth
    }
}

/// A condition, made of indices of atoms; segments by their numbers.
pub(super) enum Node {
    Atom(usize),
    /// A query for persons, which is a complete definition.
    Select(usize),
    Segment(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

/// The material of conditions.
pub(super) struct Parts<'a> {
    pub(super) dice: &'a mut ChaCha8Rng,
    /// Atoms, the next one last.
    pub(super) atoms: &'a mut Vec<usize>,
    /// Segments that may be used: those before this one.
    pub(super) segments: usize,
}

/// Answers of the oracle at a moment.
pub(super) struct Known<'a> {
    pub(super) all: &'a RoaringTreemap,
    pub(super) atoms: &'a [Truth],
    pub(super) selects: &'a [Truth],
    /// The members of segments that may be used.
    pub(super) segments: &'a [RoaringTreemap],
}

impl Node {
    pub(super) fn random(parts: &mut Parts<'_>, depth: u32) -> Self {
        let below = |parts: &mut Parts<'_>| Box::new(Self::random(parts, depth - 1));
        match parts.dice.random_range(0..if depth == 0 { 2 } else { 8 }) {
            0..2 => {
                let names_one = parts.segments > 0 && parts.dice.random_range(0..10) == 0;
                match parts.atoms.pop() {
                    Some(atom) if !names_one => Self::Atom(atom),
                    _ => Self::Segment(parts.dice.random_range(0..parts.segments)),
                }
            }
            2 => Self::Not(below(parts)),
            3..6 => Self::And(below(parts), below(parts)),
            _ => Self::Or(below(parts), below(parts)),
        }
    }

    /// The condition as criteria, with no more parentheses than SQL needs.
    pub(super) fn text(&self, atoms: &[Atom], selects: &[Atom]) -> String {
        let of = |node: &Self, least: u8| match node.tightness(atoms) < least {
            true => format!("({})", node.text(atoms, selects)),
            false => node.text(atoms, selects),
        };
        match self {
            Self::Atom(at) => atoms[*at].criteria.clone(),
            Self::Select(at) => selects[*at].criteria.clone(),
            Self::Segment(at) => format!("in_segment('{}')", super::key(*at)),
            Self::Not(one) => format!("not {}", of(one, 2)),
            Self::And(one, other) => format!("{} and {}", of(one, 1), of(other, 1)),
            Self::Or(one, other) => format!("{} or {}", of(one, 0), of(other, 0)),
        }
    }

    /// The precedence of the outermost operator.
    fn tightness(&self, atoms: &[Atom]) -> u8 {
        match self {
            Self::Atom(at) => atoms[*at].tightness(),
            Self::Or(..) => 0,
            Self::And(..) => 1,
            Self::Not(_) => 2,
            Self::Select(_) | Self::Segment(_) => 3,
        }
    }

    /// The top-level clauses.
    pub(super) fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::And(one, other) => [one.conjuncts(), other.conjuncts()].concat(),
            one => vec![one],
        }
    }

    /// Visits the parts without parts.
    pub(super) fn leaves(&self, look: &mut impl FnMut(&Self)) {
        match self {
            Self::Not(one) => one.leaves(look),
            Self::And(one, other) | Self::Or(one, other) => {
                one.leaves(look);
                other.leaves(look);
            }
            leaf => look(leaf),
        }
    }

    pub(super) fn truth(&self, known: &Known<'_>) -> Truth {
        match self {
            Self::Atom(at) => known.atoms[*at].clone(),
            Self::Select(at) => known.selects[*at].clone(),
            // Unknown counts as not belonging.
            Self::Segment(at) => Truth {
                yes: known.segments[*at].clone(),
                unknown: RoaringTreemap::new(),
            },
            Self::Not(one) => {
                let Truth { yes, unknown } = one.truth(known);
                let yes = &(known.all - &yes) - &unknown;
                Truth { yes, unknown }
            }
            Self::And(one, other) => {
                let (one, other) = (one.truth(known), other.truth(known));
                let yes = &one.yes & &other.yes;
                let not_false = &(&one.yes | &one.unknown) & &(&other.yes | &other.unknown);
                let unknown = &not_false - &yes;
                Truth { yes, unknown }
            }
            Self::Or(one, other) => {
                let (one, other) = (one.truth(known), other.truth(known));
                let yes = &one.yes | &other.yes;
                let unknown = &(&one.unknown | &other.unknown) - &yes;
                Truth { yes, unknown }
            }
        }
    }
}
