//! Bounds of a key: the segments that it is for, and the columns that it sees.

use rollbook_model::SegmentKey;
use rollbook_segments::{Channel, Definition};
use serde::{Deserialize, Serialize};

use crate::access::rights::{Right, Rights};

/// What a key is bound to. Each list that is not empty narrows what the key may see; a key without any is not bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Only these segments.
    #[serde(default)]
    pub segments: Vec<SegmentKey>,
    /// Only segments with one of these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Only segments that are reached over one of these channels.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Only these columns of persons; others are masked.
    #[serde(default)]
    pub columns: Vec<String>,
}

impl Bounds {
    /// The rights that a bound key can have: the others are about more than its segments.
    pub const RIGHTS: Rights =
        Rights::of(&[Right::Read, Right::Members, Right::Export, Right::Pii]);

    /// The bounds as ASCII text, for a worker.
    pub fn to_text(&self) -> String {
        hex::encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The bounds of such a text; `None` if it has none.
    pub fn of_text(text: &str) -> Option<Self> {
        let bounds: Self = serde_json::from_slice(&hex::decode(text).ok()?).ok()?;
        (!bounds.is_empty()).then_some(bounds)
    }

    /// Whether it binds nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same in order, without duplicates.
    #[must_use]
    pub(super) fn sorted(&self) -> Self {
        fn sorted<T: Clone + Ord>(list: &[T]) -> Vec<T> {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            list
        }
        Self {
            segments: sorted(&self.segments),
            tags: sorted(&self.tags),
            channels: sorted(&self.channels),
            columns: sorted(&self.columns),
        }
    }

    /// Whether a segment is one of its segments.
    pub fn admits(&self, segment: &Definition) -> bool {
        let is_of_tag = || segment.tags.iter().any(|tag| self.tags.contains(tag));
        let is_of_channel = || {
            let channel = segment.channel.as_ref();
            channel.is_some_and(|channel| self.channels.contains(channel))
        };
        (self.segments.is_empty() || self.segments.contains(&segment.key))
            && (self.tags.is_empty() || is_of_tag())
            && (self.channels.is_empty() || is_of_channel())
    }

    /// Whether members may be asked for over a channel.
    pub fn admits_channel(&self, channel: Channel) -> bool {
        self.channels.is_empty() || self.channels.contains(&channel)
    }

    /// Whether a column of persons is masked.
    pub fn masks(&self, column: &str) -> bool {
        !self.columns.is_empty() && !self.columns.iter().any(|known| known == column)
    }

    /// Whether it masks columns at all.
    pub fn masks_some(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Whether a key with the bounds of `other` may see nothing that one with these may not.
    pub fn contains(&self, other: &Self) -> bool {
        fn within<T: PartialEq>(list: &[T], other: &[T]) -> bool {
            list.is_empty() || (!other.is_empty() && other.iter().all(|one| list.contains(one)))
        }
        within(&self.segments, &other.segments)
            && within(&self.tags, &other.tags)
            && within(&self.channels, &other.channels)
            && within(&self.columns, &other.columns)
    }
}

#[cfg(test)]
mod tests {
    use rollbook_segments::Channel;

    use super::Bounds;

    fn bounds(segments: &[&str], columns: &[&str]) -> Bounds {
        Bounds {
            segments: segments.iter().map(|key| key.parse().unwrap()).collect(),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            ..Bounds::default()
        }
    }

    #[test]
    fn narrower_bounds_are_contained() {
        let free = Bounds::default();
        let two = bounds(&["a", "b"], &[]);
        let one = bounds(&["a"], &["country"]);
        assert!(free.is_empty() && free.contains(&two) && free.contains(&free));
        assert!(two.contains(&one) && two.contains(&two));
        assert!(!two.contains(&free) && !one.contains(&two));
        assert!(!one.contains(&bounds(&["a"], &[])));
        assert!(!two.contains(&bounds(&["a", "c"], &[])));
        let email = Bounds {
            channels: vec![Channel::Email],
            ..Bounds::default()
        };
        assert!(!email.contains(&two) && !two.contains(&email));
        assert!(email.admits_channel(Channel::Email) && !email.admits_channel(Channel::Sms));
    }

    #[test]
    fn columns_that_are_not_listed_are_masked() {
        assert!(!bounds(&["a"], &[]).masks("email"));
        let country = bounds(&[], &["country"]);
        assert!(country.masks("email") && !country.masks("country"));
        assert!(country.masks_some() && !country.is_empty());
    }

    #[test]
    fn stored_bounds_are_read_back() {
        let one = bounds(&["b", "a", "b"], &["country"]).sorted();
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Bounds>(&text).unwrap(), one);
        assert_eq!(one.segments.len(), 2);
        assert_eq!(
            serde_json::from_str::<Bounds>("{}").unwrap(),
            Bounds::default()
        );
    }
}
