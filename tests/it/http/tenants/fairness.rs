//! What one tenant asks for does not keep others waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Caller, persons};
use crate::support::own_lake::OwnLake;
use crate::support::server::Server;

/// Requests of the greedy tenant at the same time.
const GREEDY: usize = 24;
/// A preview of another tenant is answered within this time on a busy machine. Its turn comes after one running
/// query, and not after all that wait.
const PATIENCE: Duration = Duration::from_secs(6);

#[test]
fn slow_queries_of_one_tenant_leave_room_for_others() {
    let lake = OwnLake::new("http_tenants_fairness");
    let server = Server::start(&lake, "default");
    let (greedy, modest) = (
        Caller::admin(&lake, &server, "greedy"),
        Caller::admin(&lake, &server, "modest"),
    );
    for caller in [&greedy, &modest] {
        assert_eq!(
            caller.rows("persons", &[], &persons(9, "x.example")).status,
            200
        );
    }
    // Some seconds of work each.
    let slow = "select count(*) as n from generate_series(1, 9000) a, generate_series(1, 9000) b \
                where a.value % 7 = b.value % 11";
    let is_over = AtomicBool::new(false);
    let slowest = thread::scope(|scope| {
        for _ in 0..GREEDY {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = greedy.sql(slow);
                    assert!(
                        [200, 429, 503].contains(&answer.status),
                        "{}",
                        answer.status
                    );
                }
            });
        }
        thread::sleep(Duration::from_secs(2));
        let mut slowest = Duration::ZERO;
        for n in 0..8 {
            let begun = Instant::now();
            let preview =
                json!({"criteria": format!("country = 'QQ' and order_count < {}", n + 2)});
            let answer = modest.post("/v1/segments/preview", &preview);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["count"], 9);
            assert_eq!(modest.sql("select 1 as one").status, 200);
            slowest = slowest.max(begun.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        slowest
    });
    println!("the slowest preview and query took {slowest:?}");
    assert!(slowest < PATIENCE, "{slowest:?}");
    assert!(server.stop());
}
