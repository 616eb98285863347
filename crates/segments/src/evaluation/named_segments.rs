//! What conditions name: other segments, and custom traits.

use std::collections::{BTreeMap, BTreeSet};

use rollbook_model::{SegmentKey, nearest};

use super::Evaluation;
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
            let text = self.criteria.get(&one)?;
            let (named, is_shareable) = self.needs_of(text).ok()?;
            if !is_shareable {
                return None;
            }
            next.extend(named);
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
            // What is wrong with a text is told where it is evaluated.
            let text = self
                .criteria
                .get(&one)
                .filter(|_| !self.fixed.contains(&one));
            let named = text.map(|text| self.needs_of(text));
            next.extend(
                named
                    .and_then(Result::ok)
                    .map(|(named, _)| named)
                    .unwrap_or_default(),
            );
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
            let Some(text) = self.criteria.get(&one) else {
                continue;
            };
            // What is wrong with a text is told where it is evaluated.
            found.extend(self.session.traits_named(text).unwrap_or_default());
            let named = self.needs_of(text).map(|(named, _)| named);
            next.extend(named.unwrap_or_default());
        }
        found
    }

    /// The conditions that a segment is computed from: its own, and those of the segments that it
    /// names.
    pub fn texts(&self, key: &SegmentKey) -> Vec<&str> {
        let named = self.revisions(key).unwrap_or_default();
        let evaluated = named.keys().filter(|key| !self.fixed.contains(*key));
        let keys = evaluated.chain([key]);
        keys.filter_map(|key| Some(self.criteria.get(key)?.as_str()))
            .collect()
    }

    /// The texts that a segment is computed from, its own and those of all that it names, whatever
    /// they look at.
    pub fn all_texts(&self, key: &SegmentKey) -> Vec<&str> {
        let (mut texts, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![key.clone()]);
        while let Some(one) = next.pop() {
            if !seen.insert(one.clone()) || self.fixed.contains(&one) {
                continue;
            }
            let Some(text) = self.criteria.get(&one) else {
                continue;
            };
            texts.push(text.as_str());
            let named = self.needs_of(text).map(|(named, _)| named);
            next.extend(named.unwrap_or_default());
        }
        texts
    }

    /// Whether a condition, and all segments that it names, read one person at a time.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`] where the condition cannot be parsed.
    pub fn is_of_one_person(&self, condition: &str) -> Result<bool, SegmentError> {
        let (named, is_shareable) = self.needs(condition)?;
        let is_known = |key: &SegmentKey| self.revisions(key).is_some();
        let is_own = !self.session.traits_named(condition)?.is_empty();
        Ok(is_shareable && !is_own && named.iter().all(is_known))
    }

    /// The texts of the segments that a condition names, also through others.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`] where the condition cannot be parsed.
    pub fn texts_named(&self, condition: &str) -> Result<Vec<&str>, SegmentError> {
        let (named, _) = self.needs(condition)?;
        let mut texts: Vec<&str> = named.iter().flat_map(|key| self.texts(key)).collect();
        texts.sort_unstable();
        texts.dedup();
        Ok(texts)
    }

    /// The segments that a text names, and whether it can be answered together with others; a
    /// `select` names none.
    pub(super) fn needs_of(&self, text: &str) -> Result<(Vec<SegmentKey>, bool), SegmentError> {
        match Criteria::parse(text)? {
            Criteria::Expression(text) => self.needs(&text),
            Criteria::Select(_) => Ok((Vec::new(), false)),
        }
    }

    pub(super) fn needs(&self, condition: &str) -> Result<(Vec<SegmentKey>, bool), SegmentError> {
        let needs = self.session.needs(condition)?;
        let key = |name: &String| {
            name.parse().map_err(|_| SegmentError::UnknownName {
                name: name.clone(),
                nearest: self.nearest(name),
            })
        };
        let named = needs.segments.iter().map(key).collect::<Result<_, _>>()?;
        Ok((named, needs.is_shareable))
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
        SegmentError::Named {
            segment: key.clone(),
            reason: self.failed.get(key).cloned().unwrap_or_default(),
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
