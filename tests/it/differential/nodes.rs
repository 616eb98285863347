//! Conditions put together, and for whom they hold by the logic of three values on sets.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;

use super::atoms::Atom;

/// For whom a condition is true, and for whom it is unknown.
#[derive(Clone, Default)]
pub(super) struct Truth {
    pub(super) yes: RoaringTreemap,
    pub(super) unknown: RoaringTreemap,
}

/// A condition, by the places of its atoms; those of segments by their numbers.
pub(super) enum Node {
    Atom(usize),
    /// A query for persons, which is a definition as a whole.
    Select(usize),
    Segment(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

/// What conditions are made of.
pub(super) struct Parts<'a> {
    pub(super) dice: &'a mut ChaCha8Rng,
    /// Atoms, the next one last.
    pub(super) atoms: &'a mut Vec<usize>,
    /// Segments that may be named: those before this one.
    pub(super) segments: usize,
}

/// What is known at a moment.
pub(super) struct Known<'a> {
    pub(super) all: &'a RoaringTreemap,
    pub(super) atoms: &'a [Truth],
    pub(super) selects: &'a [Truth],
    /// The members of segments, as far as they may be named.
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

    pub(super) fn text(&self, atoms: &[Atom], selects: &[Atom]) -> String {
        let of = |node: &Self| node.text(atoms, selects);
        match self {
            Self::Atom(at) => format!("({})", atoms[*at].criteria),
            Self::Select(at) => selects[*at].criteria.clone(),
            Self::Segment(at) => format!("in_segment('{}')", super::key(*at)),
            Self::Not(one) => format!("not {}", of(one)),
            Self::And(one, other) => format!("({} and {})", of(one), of(other)),
            Self::Or(one, other) => format!("({} or {})", of(one), of(other)),
        }
    }

    pub(super) fn truth(&self, known: &Known<'_>) -> Truth {
        match self {
            Self::Atom(at) => known.atoms[*at].clone(),
            Self::Select(at) => known.selects[*at].clone(),
            // Who is not known to belong does not belong.
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
