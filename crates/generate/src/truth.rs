//! What the generated data were made from, for those who want to check what they find in them.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rollbook_model::Timestamp;

use crate::error::GenerateError;
use crate::profile::Profile;
use crate::profile::courtship::{DECIDES, SHOWS};

/// The file `truth/leads.csv`: of each person who did not come as a customer, how likely it was
/// that they would become one, and when.
#[derive(Debug)]
pub(crate) struct Truth {
    leads: BufWriter<File>,
}

impl Truth {
    pub(crate) fn create(out: &Path) -> Result<Self, GenerateError> {
        let folder = out.join("truth");
        let failed = GenerateError::writing(&folder);
        fs::create_dir_all(&folder).map_err(&failed)?;
        let mut leads = BufWriter::new(File::create(folder.join("leads.csv")).map_err(&failed)?);
        let header = "person_external_id,created_at,decides_from,decides_until,probability";
        writeln!(leads, "{header}").map_err(&failed)?;
        Ok(Self { leads })
    }

    /// Writes what is true of a person, where they are a lead.
    pub(crate) fn note(&mut self, number: u64, profile: &Profile) -> Result<(), GenerateError> {
        let Some(courtship) = &profile.courtship else {
            return Ok(());
        };
        let time = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let from = profile.joined + SHOWS;
        writeln!(
            self.leads,
            "P{},{},{},{},0.{:03}",
            number + 1,
            time(profile.joined),
            time(from),
            time(from + DECIDES),
            courtship.per_mille
        )
        .map_err(GenerateError::writing(Path::new("truth/leads.csv")))
    }

    pub(crate) fn finish(mut self) -> Result<(), GenerateError> {
        let failed = GenerateError::writing(Path::new("truth/leads.csv"));
        self.leads.flush().map_err(failed)
    }
}
