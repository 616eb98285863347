//! Benchmark of a server with many concurrent clients: mixed reads, previews and posts, then a kill.
//!
//! Generates a lake, serves it and lets clients send requests for a while. Then it kills the server as a
//! power cut would, starts it again and checks that every acknowledged row is there. Prints one JSON
//! document: responses, errors, p50 and p99 by kind, and the server's memory.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const KINDS: [&str; 6] = ["post", "preview", "sql", "members", "person", "segments"];

/// What to run.
struct Options {
    program: PathBuf,
    work: PathBuf,
    clients: u64,
    seconds: u64,
    persons: u64,
    /// Rows of a post.
    rows: u64,
    /// What to ask; all kinds in turn without it.
    only: Option<&'static str>,
    /// Whether posts wait for the commit, or only until they are durable.
    waits: bool,
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// Milliseconds by kind.
    times: BTreeMap<&'static str, Vec<f64>>,
    errors: Vec<String>,
    acknowledged: HashSet<String>,
    /// Posts that were turned away, and sent again a second later.
    turned_away: u64,
}

fn main() -> Outcome<()> {
    let options = options()?;
    if options.work.exists() {
        return Err(format!(
            "{} exists already: name a new folder",
            options.work.display()
        )
        .into());
    }
    let lake = options.work.join("lake");
    prepare(&options, &lake)?;
    let (mut server, address) = serve(&options.program, &lake)?;
    let seen = Mutex::new(Seen::default());
    let (stop, number) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..options.clients {
            let (seen, stop, number, address) = (&seen, &stop, &number, address.as_str());
            let options = &options;
            scope.spawn(move || ask_on(options, address, client, number, stop, seen));
        }
        std::thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
    });
    let seconds = started.elapsed().as_secs_f64();
    let (peak, resident) = memory(&server);
    server.kill()?;
    server.wait()?;
    let seen = seen.into_inner().map_err(|_| "a client panicked")?;
    let lost = lost(&options.program, &lake, &seen.acknowledged)?;
    let count: usize = seen.times.values().map(Vec::len).sum();
    let kinds = seen.times.iter().map(|(kind, times)| {
        let mut times = times.clone();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let figures = json!({"answers": times.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)});
        ((*kind).to_owned(), figures)
    });
    let result = json!({
        "bench": "serve",
        "date": said("date", &["-u", "+%F"]),
        "machine": machine(),
        "versions": {
            "rollbook": said(&options.program.to_string_lossy(), &["--version"]),
            "rollbook_commit": said("git", &["rev-parse", "HEAD"]),
        },
        "clients": options.clients,
        "seconds": seconds,
        "persons": options.persons,
        "rows_of_a_post": options.rows,
        "only": options.only,
        "posts_wait_for_the_commit": options.waits,
        "posts_turned_away": seen.turned_away,
        "answers": count,
        "answers_per_second": count as f64 / seconds,
        "errors": seen.errors.len(),
        "first_errors": seen.errors.iter().take(5).collect::<Vec<_>>(),
        "posts_acknowledged": seen.acknowledged.len(),
        "rows_acknowledged": seen.acknowledged.len() as u64 * options.rows,
        "rows_acknowledged_per_second": seen.acknowledged.len() as f64 * options.rows as f64 / seconds,
        "posts_lost_after_kill": lost,
        "peak_rss_bytes": peak,
        "rss_bytes_at_end": resident,
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    std::fs::remove_dir_all(&options.work)?;
    if seen.errors.is_empty() && lost == 0 {
        Ok(())
    } else {
        Err("there were errors or losses".into())
    }
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        program: PathBuf::from("target/release/rollbook"),
        work: PathBuf::from("target/serve-bench"),
        clients: 64,
        seconds: 60,
        persons: 20_000,
        rows: 1,
        only: None,
        waits: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} wants a value"));
        match name.as_str() {
            "--program" => options.program = value()?.into(),
            "--work" => options.work = value()?.into(),
            "--clients" => options.clients = value()?.parse()?,
            "--seconds" => options.seconds = value()?.parse()?,
            "--persons" => options.persons = value()?.parse()?,
            "--rows" => options.rows = value()?.parse()?,
            "--async" => options.waits = false,
            "--only" => {
                let wanted = value()?;
                let known = KINDS.into_iter().find(|kind| *kind == wanted);
                let kinds = KINDS.join(", ");
                options.only = Some(known.ok_or(format!("--only takes one of {kinds}"))?);
            }
            _ => {
                let known = "--program --work --clients --seconds --persons --rows --async --only";
                return Err(format!("unknown option {name}: {known}").into());
            }
        }
    }
    Ok(options)
}

fn prepare(options: &Options, lake: &Path) -> Outcome<()> {
    let input = options.work.join("input");
    let persons = options.persons.to_string();
    let run = |arguments: &[&str]| -> Outcome<()> {
        let mut command = Command::new(&options.program);
        command
            .arg("--lake")
            .arg(lake)
            .args(arguments)
            .stdout(Stdio::null());
        if command.status()?.success() {
            return Ok(());
        }
        Err(format!("rollbook {} failed", arguments.join(" ")).into())
    };
    let folder = input.to_str().ok_or("the folder's name is no text")?;
    run(&[
        "generate",
        "--persons",
        &persons,
        "--seed",
        "1",
        "--out",
        folder,
    ])?;
    run(&["ingest", "native", folder])?;
    for (key, criteria) in [("buyers", "total_spent > 0"), ("everybody", "true")] {
        run(&["segment", "put", key, "--criteria", criteria])?;
    }
    run(&["segment", "refresh"])
}

fn serve(program: &Path, lake: &Path) -> Outcome<(Child, String)> {
    let mut command = Command::new(program);
    command
        .arg("--lake")
        .arg(lake)
        .args(["serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
    loop {
        let line = lines.next().ok_or("the server ended")??;
        if let Some((_, address)) = line.split_once("http://") {
            // Somebody has to read the log, or the server waits for it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((child, address.trim().to_owned()));
        }
    }
}

fn ask_on(
    options: &Options,
    address: &str,
    client: u64,
    number: &AtomicU64,
    stop: &AtomicBool,
    seen: &Mutex<Seen>,
) {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into();
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        let n = number.fetch_add(1, Ordering::Relaxed);
        let next = KINDS[(turn % KINDS.len() as u64) as usize];
        let kind = options.only.unwrap_or(next);
        turn += 1;
        let started = Instant::now();
        let mut turned_away = 0;
        let outcome = loop {
            match ask(options, &agent, address, kind, n) {
                Ok(Told::Busy) if kind == "post" => turned_away += 1,
                Ok(Told::Busy) => break Err("503".into()),
                Ok(Told::Row(row)) => break Ok(row),
                Err(error) => break Err(error),
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        let Ok(mut seen) = seen.lock() else { return };
        seen.turned_away += turned_away;
        match outcome {
            Ok(row) => {
                seen.times.entry(kind).or_default().push(milliseconds);
                seen.acknowledged.extend(row);
            }
            Err(error) => seen.errors.push(format!("{kind}: {error}")),
        }
    }
}

/// What came of a request.
enum Told {
    /// An answer; for a post the id of the row that was acknowledged.
    Row(Option<String>),
    /// That it is to be sent again later.
    Busy,
}

/// One request.
fn ask(options: &Options, agent: &ureq::Agent, address: &str, kind: &str, n: u64) -> Outcome<Told> {
    let persons = options.persons;
    let get = |path: String| agent.get(format!("http://{address}{path}")).call();
    let post = |path: &str, media: &str, body: String| {
        agent
            .post(format!("http://{address}{path}"))
            .header("content-type", media)
            .header(
                "prefer",
                if options.waits {
                    "wait"
                } else {
                    "respond-async"
                },
            )
            .send(body)
    };
    let json_body = "application/json";
    let mut row = None;
    let mut answer = match kind {
        "post" => {
            let mut body = String::new();
            for of_post in 0..options.rows {
                let at = n * options.rows + of_post;
                let person = format!("P{}", at % persons + 1);
                let line = json!({"external_id": format!("load-{at}"), "person_external_id": person,
                    "type": "page_viewed", "channel": "web", "occurred_at": "2025-12-31T00:00:00Z"});
                body.push_str(&format!("{line}\n"));
            }
            // A post is taken in whole or not at all: its last row stands for it.
            row = Some(format!("load-{}", (n + 1) * options.rows - 1));
            post("/v1/ingest/native/activities", "application/x-ndjson", body)?
        }
        "preview" => {
            let criteria = format!("total_spent > {} and country <> 'DE'", n % 500);
            post(
                "/v1/segments/preview",
                json_body,
                json!({ "criteria": criteria }).to_string(),
            )?
        }
        "sql" => {
            let query = "select country, count(*) as n from persons group by country";
            post("/v1/sql", json_body, json!({ "query": query }).to_string())?
        }
        "members" => get("/v1/segments/everybody/members?limit=5000".to_owned())?,
        "person" => get(format!("/v1/persons/{}", n % persons + 1))?,
        _ => get("/v1/segments".to_owned())?,
    };
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string()?;
    if matches!(status, 200 | 202) {
        return Ok(Told::Row(row));
    }
    if status == 503 {
        return Ok(Told::Busy);
    }
    Err(format!("{status} {body}").into())
}

/// Peak and present resident memory of a process, in bytes.
fn memory(server: &Child) -> (u64, u64) {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    };
    (of("VmHWM:"), of("VmRSS:"))
}

/// What a program prints; nothing where it is not there.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let printed = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&printed).trim().to_owned()
}

fn machine() -> Value {
    let line = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find(|line| line.starts_with(name));
        let value = found.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
        value.unwrap_or_default()
    };
    let cores = std::thread::available_parallelism();
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "cores": cores.map(usize::from).unwrap_or_default(),
        "memory": line("/proc/meminfo", "MemTotal"),
    })
}

/// How many of the acknowledged rows a new process does not find.
fn lost(program: &Path, lake: &Path, acknowledged: &HashSet<String>) -> Outcome<usize> {
    // What waits in the journal is taken in by whoever comes next.
    let mut fold = Command::new(program);
    fold.arg("--lake").arg(lake).args(["journal", "fold"]);
    if !fold.output()?.status.success() {
        return Err("the journal could not be folded".into());
    }
    let query = "select external_id from activities where external_id like 'load-%'";
    let mut command = Command::new(program);
    command
        .arg("--lake")
        .arg(lake)
        .args(["--output", "json", "sql", query, "--limit", "10000000"]);
    let output = command.output()?;
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let found: HashSet<&str> = rows
        .iter()
        .filter_map(|row| row["external_id"].as_str())
        .collect();
    if found.len() != rows.len() {
        return Err("a row is there twice".into());
    }
    Ok(acknowledged
        .iter()
        .filter(|id| !found.contains(id.as_str()))
        .count())
}
