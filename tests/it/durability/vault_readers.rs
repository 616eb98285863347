//! Several processes read, write and erase personal values at the same time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use rollbook_lake::Lake;
use rollbook_lake::vault::Vault;
use rollbook_model::tables::PERSONS;
use tokio::runtime::Runtime;

use crate::support::records::with_a_bridge;

const ROUNDS: usize = 40;

#[test]
fn vault_reads_succeed_during_erasure() {
    let world = with_a_bridge("vaults-at-once");
    let place = world.lake.path("lake");
    let runtime = Runtime::new().unwrap();
    let all = runtime.block_on(async { read(&opened(&place).await).await });
    let rows = arrow::compute::concat_batches(&PERSONS.vault_schema(), &all).unwrap();
    let ids: Vec<i64> = identities(&rows).collect();
    let (comes_and_goes, stays) = (&ids[..2], BTreeSet::from_iter(ids[2..].iter().copied()));
    assert!(stays.len() >= 2, "{ids:?}");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..comes_and_goes.len())
            .map(|at| {
                let (row, place) = (rows.slice(at, 1), &place);
                scope.spawn(move || Runtime::new().unwrap().block_on(put_and_erase(place, &row)))
            })
            .collect();
        let reader = scope.spawn(|| {
            Runtime::new().unwrap().block_on(async {
                let lake = opened(&place).await;
                let mut reads = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let read = read(&lake).await;
                    let found: BTreeSet<i64> = read.iter().flat_map(identities).collect();
                    assert!(found.is_superset(&stays), "{found:?} lacks of {stays:?}");
                    reads += 1;
                }
                reads
            })
        });
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0, "nothing was read meanwhile");
        written.into_iter().for_each(|written| written.unwrap());
    });
    let left = runtime.block_on(async { read(&opened(&place).await).await });
    let left: BTreeSet<i64> = left.iter().flat_map(identities).collect();
    assert_eq!(left, stays);
}

async fn put_and_erase(place: &Path, row: &RecordBatch) {
    let lake = opened(place).await;
    let vault = Vault::new(&lake, PERSONS);
    let keys = row.project(&[row.schema().index_of("identity_id").unwrap()]);
    let keys = keys.unwrap();
    for _ in 0..ROUNDS {
        let mut values = vault.put();
        values.write(row).await.unwrap();
        values.commit().await.unwrap();
        vault.erase(std::slice::from_ref(&keys)).await.unwrap();
    }
}

async fn opened(place: &Path) -> Lake {
    let place = place.to_str().unwrap();
    Lake::open(place, "default".parse().unwrap()).await.unwrap()
}

async fn read(lake: &Lake) -> Vec<RecordBatch> {
    let batches = Vault::new(lake, PERSONS).batches().await.unwrap();
    batches.collect::<Result<_, _>>().unwrap()
}

fn identities(rows: &RecordBatch) -> impl Iterator<Item = i64> + '_ {
    let ids = rows.column_by_name("identity_id").unwrap();
    ids.as_primitive::<Int64Type>().values().iter().copied()
}
