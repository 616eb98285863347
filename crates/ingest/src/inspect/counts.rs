//! Counts of the distinct values in a column of a file.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch};

/// The values of one column, without the blanks around them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The distinct values in the order in which they first occur, with the number of their rows.
    pub(super) values: Vec<(String, usize)>,
    /// Rows without a value.
    pub(super) blank: usize,
    /// The place of each value in `values`.
    places: HashMap<String, usize>,
}

impl Counts {
    /// Counts the values of the text columns of a batch.
    pub(super) fn add(columns: &mut [Self], batch: &RecordBatch) {
        for (counts, texts) in columns.iter_mut().zip(batch.columns()) {
            for text in texts.as_string::<i32>() {
                counts.note(text);
            }
        }
    }

    fn note(&mut self, text: Option<&str>) {
        let Some(text) = text.map(str::trim) else {
            self.blank += 1;
            return;
        };
        match self.places.get(text) {
            Some(place) => self.values[*place].1 += 1,
            None => {
                self.places.insert(text.to_owned(), self.values.len());
                self.values.push((text.to_owned(), 1));
            }
        }
    }

    /// The lengths of the shortest and of the longest value, in characters.
    pub(super) fn lengths(&self) -> Option<(u32, u32)> {
        let length = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let lengths = self.values.iter().map(|(text, _)| length(text));
        let ends = |(least, most): (u32, u32), length: u32| (least.min(length), most.max(length));
        lengths
            .map(|length| (length, length))
            .reduce(|all, (one, _)| ends(all, one))
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn values_are_counted_in_the_order_of_their_first_rows() {
        let mut counts = Counts::default();
        for text in [
            Some("b"),
            None,
            Some(" Äöü "),
            Some("b\u{a0}"),
            Some("  "),
            Some("a"),
        ] {
            counts.note(text);
        }
        let values = [("b", 2), ("Äöü", 1), ("", 1), ("a", 1)];
        assert_eq!(
            counts.values,
            values.map(|(text, rows)| (text.to_owned(), rows))
        );
        assert_eq!((counts.blank, counts.lengths()), (1, Some((0, 3))));
        assert_eq!(Counts::default().lengths(), None);
    }
}
