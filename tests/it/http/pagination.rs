//! All pages of one listing show one membership, in every format, whatever is written meanwhile.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::server::{Answer, Server};

/// The ids on a page in one format.
fn ids(format: &str, answer: &Answer) -> Vec<u64> {
    let of_batch = |batch: RecordBatch| -> Vec<u64> {
        let column = batch["person_id"].as_primitive::<Int64Type>().clone();
        column
            .values()
            .iter()
            .map(|id| id.cast_unsigned())
            .collect()
    };
    let text = || String::from_utf8(answer.body.clone()).unwrap();
    match format {
        "json" => {
            let members = answer.json()["members"].as_array().unwrap().clone();
            members.iter().map(|id| id.as_u64().unwrap()).collect()
        }
        "ndjson" => {
            let rows = text();
            let rows = rows
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            rows.map(|row| row["person_id"].as_u64().unwrap()).collect()
        }
        "csv" => {
            let rows = text();
            let mut lines = rows.lines();
            assert_eq!(lines.next(), Some("person_id"));
            lines.map(|line| line.parse().unwrap()).collect()
        }
        "arrow" => {
            let batches = StreamReader::try_new(Cursor::new(&answer.body), None).unwrap();
            batches.flat_map(|batch| of_batch(batch.unwrap())).collect()
        }
        "parquet" => {
            let bytes = bytes::Bytes::from(answer.body.clone());
            let batches = ParquetRecordBatchReader::try_new(bytes, 1024).unwrap();
            batches.flat_map(|batch| of_batch(batch.unwrap())).collect()
        }
        other => panic!("{other}"),
    }
}

/// All pages of a listing, with their snapshots and revisions.
fn pull(server: &Server, format: &str) -> (Vec<u64>, Vec<(String, String)>) {
    let (mut all, mut pinned, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/v1/segments/odd/members?limit=97&format={format}{token}");
        let answer = server.get(&path);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        all.extend(ids(format, &answer));
        pinned.push((answer.header("x-snapshot"), answer.header("x-revision")));
        match answer.header("x-next-page-token") {
            next if next.is_empty() => return (all, pinned),
            next => token = format!("&page_token={next}"),
        }
    }
}

#[test]
fn pages_show_one_snapshot_during_writes() {
    let lake = OwnLake::new("http_pages");
    let server = Server::start(&lake, "default");
    let row = |n: u64| format!("p{n},{}\n", if n.is_multiple_of(3) { "DE" } else { "FR" });
    let persons = |range: std::ops::Range<u64>| {
        format!(
            "external_id,country\n{}",
            range.map(row).collect::<String>()
        )
    };
    let post = |body: &str| {
        let answer = server.send_text("POST", "/v1/ingest/native/persons", "text/csv", &[], body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    };
    let refresh = || {
        let answer = server.send("POST", "/v1/segments/odd/refresh", &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.json());
        (
            answer.json()["snapshot"].to_string(),
            answer.json()["count"].as_u64().unwrap(),
        )
    };
    post(&persons(0..3000));
    let new = json!({"key": "odd", "criteria": "country = 'DE'"});
    assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    let mut sizes = vec![refresh()];
    let (done, sizes_after) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    let pulls = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 3000;
            while !done.load(Ordering::Relaxed) {
                post(&persons(next..next + 100));
                next += 100;
                sizes_after.lock().unwrap().push(refresh());
            }
        });
        let formats = ["json", "ndjson", "csv", "arrow", "parquet"];
        let mut pulls: Vec<_> = (0..15).map(|n| pull(&server, formats[n % 5])).collect();
        // On a busy machine the writer is slow.
        let begun = Instant::now();
        while sizes_after.lock().unwrap().len() < 2 && begun.elapsed() < Duration::from_secs(60) {
            pulls.push(pull(&server, formats[pulls.len() % 5]));
        }
        done.store(true, Ordering::Relaxed);
        pulls
    });
    sizes.extend(sizes_after.into_inner().unwrap());
    assert!(sizes.len() > 2, "nothing was written meanwhile");
    for (members, pinned) in pulls {
        assert!(pinned.iter().all(|page| *page == pinned[0]), "{pinned:?}");
        assert!(members.is_sorted() && members.windows(2).all(|pair| pair[0] != pair[1]));
        let size = sizes
            .iter()
            .find(|(snapshot, _)| *snapshot == pinned[0].0)
            .unwrap()
            .1;
        assert_eq!(members.len() as u64, size);
        // Ids follow the order of the rows, from 1; every third one of them, from the first.
        assert!(members.iter().all(|id| (id - 1).is_multiple_of(3)));
    }
}
