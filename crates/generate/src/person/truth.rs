//! The ground truth of a person, to check results against.

use super::Subject;
use super::card::FIRST_PROVIDER;
use crate::calendar::END;
use crate::error::GenerateError;
use crate::lead::{DECIDING, FIRST_DAYS};
use crate::output::{Output, Table};

/// Writes the ground truth: the purchase probability of a lead, when a customer left, and which person each
/// record belongs to.
pub(super) fn write(subject: &Subject<'_>, output: &mut Output) -> Result<(), GenerateError> {
    if !output.has(Table::TruthLeads) {
        return Ok(());
    }
    let profile = subject.profile;
    if let Some(lead) = &profile.lead {
        let decides_from = profile.joined + FIRST_DAYS;
        let row = output.row(Table::TruthLeads).id('P', subject.number);
        let row = row.time(profile.joined).time(decides_from);
        row.time(decides_from + DECIDING)
            .millionths(lead.probability)
            .end()?;
    }
    if let Some(since) = profile.customer_since {
        let row = output.row(Table::TruthCustomers).id('P', subject.number);
        row.time(since)
            .maybe_time(Some(profile.left).filter(|left| *left < END))
            .end()?;
    }
    let row = output.row(Table::TruthIdentities).text(FIRST_PROVIDER);
    row.id('P', subject.number).id('H', subject.number).end()
}
