//! Persons who lost all their records, recorded by every commit that moves records.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use roaring::RoaringTreemap;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{
    DataFile, IDENTITY_REMAP, IdentityRemap, Lake, LakeError, PERSON_REDIRECTS, PersonRedirects,
    State, TableChange,
};
use rollbook_model::tables::IDENTITIES;
use serde_json::{Value, json};

use crate::IngestError;
use crate::persons::links::Linked;
use crate::persons::records;

type Named = BTreeMap<String, Option<Value>>;

/// The snapshot entries after a resolution; `moves` includes its moves.
pub(crate) async fn after(
    lake: &Lake,
    base: &State,
    linked: &Linked,
    moves: &IdentityRemap,
) -> Result<Named, IngestError> {
    let known = lake.person_redirects(base.person_redirects_path()).await?;
    let comes_back = |to: &i64| known.contains(*to);
    if linked.before.is_empty() && !linked.moved.values().any(comes_back) {
        return Ok(Named::new());
    }
    let mut gone = known.clone();
    let from = linked.before.values().copied().filter(|from| *from != 0);
    let from: BTreeSet<i64> = from.collect();
    let from: Vec<i64> = from.into_iter().collect();
    let records = records::of_persons(lake, base, &from).await?;
    let stays = records.iter();
    let stays = stays.filter(|record| !linked.moved.contains_key(&record.identity));
    let held: BTreeSet<i64> = stays
        .map(|record| record.before)
        .chain(linked.moved.values().copied())
        .collect();
    for person in from.into_iter().filter(|person| !held.contains(person)) {
        let theirs = records.iter().filter(|record| record.before == person);
        let first = theirs.min_by_key(|record| (record.order, record.provider.clone()));
        if let Some(first) = first {
            gone.redirect(person, first.identity, linked.moved[&first.identity]);
        }
    }
    for person in held {
        gone.remove(person);
    }
    gone.apply_remap(moves);
    Ok(named(lake, &known, &gone).await?)
}

/// The snapshot entries after persons were erased.
pub(crate) async fn after_erasure(
    lake: &Lake,
    base: &State,
    persons: &BTreeSet<i64>,
) -> Result<Named, LakeError> {
    let known = lake.person_redirects(base.person_redirects_path()).await?;
    let mut gone = known.clone();
    for person in persons {
        gone.mark_erased(*person);
    }
    named(lake, &known, &gone).await
}

/// The snapshot entries after an undo that changes `identities`: the person of each moved record, and the
/// persons without records.
pub(crate) async fn after_undo(
    lake: &Lake,
    base: &State,
    change: Option<&TableChange>,
) -> Result<Named, IngestError> {
    let Some(change) = change else {
        return Ok(Named::new());
    };
    let is_gone = |path: &str| change.removes.iter().any(|file| file.path == path);
    let mut files = base.table(IDENTITIES.name).files;
    files.retain(|file| !is_gone(&file.path));
    files.extend(change.adds.iter().cloned());
    let moves = lake.identity_remap(base).await?;
    let moves = moves.as_deref().cloned().unwrap_or_default();
    let known = lake.person_redirects(base.person_redirects_path()).await?;
    // Persons who lost their records may have some again, and persons that the run added have none.
    let mut persons =
        persons_in(lake, &change.removes).await? - persons_in(lake, &change.adds).await?;
    let homes = moves.iter().flat_map(|(_, moved)| moved.homes.clone());
    let concerned = homes.chain(known.iter());
    persons.extend(concerned.filter_map(|id| u64::try_from(id).ok()));
    persons.remove(0);
    let is_concerned = |person: i64| u64::try_from(person).is_ok_and(|id| persons.contains(id));
    let records = records::read(lake, &files, |identity, person| {
        moves.get(identity).is_some() || is_concerned(person)
    });
    let records = records.await?;
    let owners: BTreeMap<i64, i64> = records
        .iter()
        .map(|record| (record.identity, record.before))
        .collect();
    let (mut after, mut gone) = (moves.clone(), known.clone());
    for (identity, moved) in moves.iter() {
        match owners.get(&identity) {
            None => after.forget(identity),
            Some(person) if *person != moved.to => after.set(identity, moved.to, *person),
            Some(_) => {}
        }
    }
    let held: BTreeSet<i64> = owners.values().copied().collect();
    for person in persons.iter().map(u64::cast_signed) {
        let was_theirs = |moved: &rollbook_lake::RemappedIdentity| moved.homes.contains(&person);
        let mut records = after.iter();
        match records.find(|(_, moved)| was_theirs(moved)) {
            _ if known.is_erased(person) => {}
            _ if held.contains(&person) => gone.remove(person),
            _ if known.contains(person) => {}
            Some((record, moved)) => gone.redirect(person, record, moved.to),
            None => gone.mark_erased(person),
        }
    }
    gone.apply_remap(&after);
    let mut named = named(lake, &known, &gone).await?;
    if after != moves {
        let path = lake.put_content("_identity/moves", &after).await?;
        named.insert(IDENTITY_REMAP.to_owned(), Some(json!(path)));
    }
    Ok(named)
}

async fn named(
    lake: &Lake,
    before: &PersonRedirects,
    after: &PersonRedirects,
) -> Result<Named, LakeError> {
    if before == after {
        return Ok(Named::new());
    }
    let path = lake.put_content("_identity/gone", after).await?;
    Ok(Named::from([(
        PERSON_REDIRECTS.to_owned(),
        Some(json!(path)),
    )]))
}

/// The persons whose records files hold.
async fn persons_in(lake: &Lake, files: &[DataFile]) -> Result<RoaringTreemap, IngestError> {
    let mut persons = RoaringTreemap::new();
    for file in files {
        for batch in read_file(lake, IDENTITIES, file, None).await? {
            let batch = batch.map_err(IngestError::rows(IDENTITIES.name, "read"))?;
            let ids = batch["person_id"].as_primitive::<Int64Type>();
            persons.extend(ids.values().iter().filter_map(|id| u64::try_from(*id).ok()));
        }
    }
    Ok(persons)
}
