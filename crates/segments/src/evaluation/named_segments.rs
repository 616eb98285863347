//! What conditions name: other segments, and custom traits.

use std::collections::{BTreeMap, BTreeSet};

use rollbook_engine::Condition;
use rollbook_model::{SegmentKey, nearest};

use super::{Evaluation, Needed};
use crate::criteria::Criteria;
use crate::error::SegmentError;

impl Evaluation<'_> {
    /// The segments that a segment is computed from, also through others, with the revisions of
    /// their criteria; `None` where one of them, or it, is not a condition that looks at one
    /// person alone.
    pub fn revisions(&self, key: &SegmentKey) -> Option<BTreeMap<SegmentKey, u64>> {
        // A custom trait may read anything.
        if !self.traits(key).is_empty() {
            return None;
        }
        let mut found = BTreeMap::new();
        let mut next = vec![key.clone()];
        let mut seen = BTreeSet::new();
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) {
                continue;
            }
            if one != *key {
                found.insert(one.clone(), *self.revisions.get(&one)?);
            }
            // What a list has follows from nothing; of others it matters what they were computed from,
            // whether their members are known by now or not.
            if self.fixed.contains(&one) {
                continue;
            }
            let (_, needed) = self.parsed(&one).ok()?;
            if !needed.is_shareable {
                return None;
            }
            next.extend(needed.named.iter().cloned());
        }
        Some(found)
    }

    /// The segments that a segment is computed from, also through others, with the revisions of their
    /// criteria, whatever else it looks at.
    pub fn names(&self, key: &SegmentKey) -> BTreeMap<SegmentKey, u64> {
        let mut found = BTreeMap::new();
        let mut next = vec![key.clone()];
        let mut seen = BTreeSet::new();
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) {
                continue;
            }
            if let Some(revision) = self.revisions.get(&one).filter(|_| one != *key) {
                found.insert(one.clone(), *revision);
            }
            if !self.fixed.contains(&one) {
                next.extend(self.named_by(&one).iter().cloned());
            }
        }
        found
    }

    /// The custom traits that a segment is computed from, also through others.
    pub fn traits(&self, key: &SegmentKey) -> BTreeSet<String> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        if !self.session.has_own_traits() {
            return found;
        }
        let mut next = vec![key.clone()];
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) || self.fixed.contains(&one) {
                continue;
            }
            if let Some(criteria) = self.criteria_of(&one) {
                found.extend(criteria.names_among(self.session.own_trait_names()));
            }
            next.extend(self.named_by(&one).iter().cloned());
        }
        found
    }

    /// The criteria that a segment is computed from: its own, and those of all that it names, but for
    /// static ones; `None` where some of them cannot be parsed.
    pub fn all_criteria(&self, key: &SegmentKey) -> Option<Vec<&Criteria>> {
        let (mut all, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![key.clone()]);
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) || self.fixed.contains(&one) {
                continue;
            }
            if self.criteria.contains_key(&one) {
                all.push(self.criteria_of(&one)?);
                next.extend(self.named_by(&one).iter().cloned());
            }
        }
        Some(all)
    }

    /// The conditions that a segment is computed from; `None` where there are queries among its criteria,
    /// or some cannot be parsed.
    pub fn conditions(&self, key: &SegmentKey) -> Option<Vec<Condition>> {
        let all = self.all_criteria(key)?.into_iter();
        let conditions = all.map(|criteria| match criteria {
            Criteria::Expression(condition) => Some(condition.clone()),
            Criteria::Select(_) => None,
        });
        conditions.collect()
    }

    /// Whether a condition, and all segments that it names, read one person at a time.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`] where a behaviour function is called otherwise than it can be;
    /// [`SegmentError::UnknownName`] where it names what cannot be a segment.
    pub fn is_of_one_person(&self, condition: &Condition) -> Result<bool, SegmentError> {
        let needed = self.needs(condition)?;
        let is_known = |key: &SegmentKey| self.revisions(key).is_some();
        let own = condition.names_among(self.session.own_trait_names());
        Ok(needed.is_shareable && own.is_empty() && needed.named.iter().all(is_known))
    }

    /// The conditions of the segments that a condition names, also through others; `None` as for
    /// [`Evaluation::conditions`].
    ///
    /// # Errors
    /// As [`Evaluation::is_of_one_person`].
    pub fn conditions_named(
        &self,
        condition: &Condition,
    ) -> Result<Option<Vec<Condition>>, SegmentError> {
        let needed = self.needs(condition)?;
        let of_each = needed.named.iter().map(|key| self.conditions(key));
        let of_each: Option<Vec<_>> = of_each.collect();
        Ok(of_each.map(|of_each| {
            let all: BTreeSet<Condition> = of_each.into_iter().flatten().collect();
            all.into_iter().collect()
        }))
    }

    /// The criteria of a segment, and what they need; a `select` names no segments.
    pub(super) fn parsed(&self, key: &SegmentKey) -> Result<(&Criteria, &Needed), SegmentError> {
        let one = self.criteria.get(key).ok_or_else(|| self.unknown(key))?;
        let limits = self.session.limits();
        let Some(criteria) = one.parsed(limits) else {
            return Err(one.error(limits).unwrap_or_else(|| self.unknown(key)));
        };
        let needed = one.needed(|| match criteria {
            Criteria::Expression(condition) => self.needs(condition),
            Criteria::Select(_) => Ok(Needed::default()),
        });
        Ok((criteria, needed?))
    }

    fn criteria_of(&self, key: &SegmentKey) -> Option<&Criteria> {
        self.criteria.get(key)?.parsed(self.session.limits())
    }

    /// The segments that a segment names; none where its criteria are wrong, which their evaluation
    /// reports.
    fn named_by(&self, key: &SegmentKey) -> &[SegmentKey] {
        match self.parsed(key) {
            Ok((_, needed)) => &needed.named,
            Err(_) => &[],
        }
    }

    pub(super) fn needs(&self, condition: &Condition) -> Result<Needed, SegmentError> {
        let needs = self.session.needs(condition)?;
        let key = |name: &String| {
            name.parse().map_err(|_| SegmentError::UnknownName {
                name: name.clone(),
                nearest: self.nearest(name),
            })
        };
        Ok(Needed {
            named: needs.segments.iter().map(key).collect::<Result<_, _>>()?,
            is_shareable: needs.is_shareable,
        })
    }

    /// Refuses a condition that names segments which have no members.
    pub(super) fn check_named(&self, named: &[SegmentKey]) -> Result<(), SegmentError> {
        match named.iter().find(|key| !self.known.contains_key(key)) {
            None => Ok(()),
            Some(key) if self.criteria.contains_key(key) => Err(self.of_failed(key)),
            Some(key) => Err(SegmentError::UnknownName {
                name: key.to_string(),
                nearest: self.nearest(key.as_str()),
            }),
        }
    }

    pub(super) fn of_failed(&self, key: &SegmentKey) -> SegmentError {
        let (reason, is_personal) = self.failed.get(key).cloned().unwrap_or_default();
        SegmentError::Named {
            segment: key.clone(),
            reason,
            is_personal,
        }
    }

    pub(super) fn unknown(&self, key: &SegmentKey) -> SegmentError {
        SegmentError::Unknown {
            segment: key.clone(),
            nearest: self.nearest(key.as_str()),
        }
    }

    fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.criteria.keys().map(SegmentKey::as_str)).map(str::to_owned)
    }
}

/// Segments that name each other, from one that waits for them: each names the next, the last one
/// the first of the circle.
pub(super) fn circle(
    waiting: &BTreeMap<SegmentKey, Vec<SegmentKey>>,
    from: &SegmentKey,
) -> Vec<SegmentKey> {
    let mut path = vec![from.clone()];
    loop {
        let last = path.last().and_then(|last| waiting.get(last));
        let next = last.and_then(|named| named.iter().find(|key| waiting.contains_key(key)));
        let Some(next) = next else {
            return path;
        };
        let seen = path.iter().position(|known| known == next);
        path.push(next.clone());
        if let Some(begin) = seen {
            return path.split_off(begin);
        }
    }
}
