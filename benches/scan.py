"""Reading the columns that segments need: rollbook over its lake beside DuckDB over the same files.

Activities are taken in at once, and measured; then a hundred small loads follow, as they come, and
it is measured again. Both sides are warm: rollbook as a server, DuckDB as one open connection. The
answers must be the same. The raw result goes to benches/runs/<date>-<machine>/scan.json.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.request

from common import MEGABYTE, Failed, header, lake_rows, options_of, quoted, remove, run, run_process

# Every value of the columns is decoded; what is computed of them is as little as can be.
QUERIES = {
    "person and time": "select count(person_id) as n, sum(person_id) as p, max(occurred_at) as t"
    " from activities",
    "person, time and type": "select count(*) as n, sum(person_id) as p, max(occurred_at) as t,"
    " max(type) as k from activities",
    "by person": "select count(*) as n, sum(p * c) as p, max(t) as t from (select person_id as p,"
    " count(*) as c, max(occurred_at) as t from activities group by person_id) as one",
    "counters by person": "select sum(a) as n, sum(b) as p, max(t) as t from (select person_id,"
    " count(*) filter (where type = 'email_clicked') as a,"
    " count(*) filter (where type = 'page_viewed') as b, max(occurred_at) as t"
    " from activities group by person_id) as one",
}


def main() -> int:
    parser = options_of(__doc__, "the folder of an earlier run of load.py", 9)
    parser.add_argument("--loads", type=int, default=100, help="small loads (default 100)")
    parser.add_argument("--rows", type=int, default=2_000, help="rows of each (default 2000)")
    parser.add_argument("--port", type=int, default=18_080, help="where the server listens")
    return run(parser.parse_args(), compare, print_table, "scan")


def compare(options: argparse.Namespace) -> dict:
    """Both states of the lake, one after the other."""
    import duckdb

    source, lake = options.work / "input", options.work / "scanned"
    first = source / "first" / "activities.csv"
    if not first.is_file():
        raise Failed(f"there is no input in `{source}`: run load.py with that folder before")
    remove(lake)
    command = [options.rollbook, "--lake", lake, "ingest", "native"]
    print("taking everything in", file=sys.stderr)
    run_process([*command, source / "persons.csv", first])
    measured = {"after 1 load": measure(options, lake)}

    print(f"{options.loads} small loads", file=sys.stderr)
    small = options.work / "small" / "activities.csv"
    small.parent.mkdir(exist_ok=True)
    begun = time.perf_counter()
    for load in range(options.loads):
        # New activities of persons spread at random, as a day brings them.
        connection = duckdb.connect()
        connection.execute(
            f"copy (select * replace ('S{load}-' || external_id as external_id) from"
            f" read_csv({quoted(source / 'second' / 'activities.csv')}, all_varchar = true)"
            f" where hash(external_id, {load}) % 1000003 < {options.rows} * 1000003 //"
            f" (2 * {rows_of(source)})) to {quoted(small)} (format csv, header)"
        )
        run_process([*command, small])
    took = time.perf_counter() - begun
    measured[f"after {options.loads} more"] = measure(options, lake)
    remove(lake)
    return {
        **header("scan", options.machine, options.rollbook, duckdb.__version__),
        "parameters": {
            "loads": options.loads,
            "rows": options.rows,
            "rounds": options.rounds,
            "queries": QUERIES,
        },
        "small_loads_seconds": round(took, 1),
        "measured": measured,
    }


def rows_of(source: pathlib.Path) -> int:
    """Rows of the second load that are new: half of it."""
    with (source / "second" / "activities.csv").open("rb") as file:
        return sum(1 for _ in file) // 2


def measure(options: argparse.Namespace, lake: pathlib.Path) -> dict:
    import duckdb

    rows = lake_rows(lake, "activities")
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"create view activities as select * from {rows}")
    address = f"127.0.0.1:{options.port}"
    serve = [options.rollbook, "--lake", lake, "serve", "--listen", address]
    server = subprocess.Popen(serve, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(address)
        times = {}
        for name, query in QUERIES.items():
            ours, theirs = [], []
            for _ in range(options.rounds + 1):
                begun = time.perf_counter()
                answer = ask(address, query)
                ours.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                # All columns, lest the optimizer leave one of them out.
                found = connection.execute(
                    f"select * replace (epoch_us(t) as t) from ({query})"
                ).fetchone()
                theirs.append(time.perf_counter() - begun)
                check(name, answer, found)
            # The first of each warms up.
            times[name] = {"rollbook": ours[1:], "duckdb": theirs[1:]}
    finally:
        server.kill()
        server.wait()
    return {
        "files": rows.count(".parquet"),
        "rows": connection.execute("select count(*) from activities").fetchone()[0],
        "seconds": times,
    }


def wait_for(address: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{address}/healthz").read()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed("the server does not answer")


def ask(address: str, query: str) -> dict:
    request = urllib.request.Request(
        f"http://{address}/v1/sql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json"},
    )
    return json.loads(urllib.request.urlopen(request).read())


def check(name: str, answer: dict, found: tuple) -> None:
    row = answer["rows"][0]
    at = datetime.datetime.fromisoformat(row["t"])
    ours = [int(row["n"]), int(row["p"]), round(at.timestamp() * 1_000_000), row.get("k")]
    theirs = [*(int(value) for value in found[:3]), *(found[3:] or [None])]
    if ours != theirs:
        raise Failed(f"`{name}` gives {ours} here and {theirs} in DuckDB")


def print_table(result: dict) -> None:
    print(f"{'':22}{'files':>6}{'rollbook ms':>13}{'DuckDB ms':>11}{'ratio':>7}")
    for state, one in result["measured"].items():
        print(f"{state}: {one['rows'] / MEGABYTE:,.2f} M rows")
        for name, times in one["seconds"].items():
            ours, theirs = (statistics.median(times[side]) for side in ("rollbook", "duckdb"))
            print(
                f"{name:22}{one['files']:6}{ours * 1000:13.0f}{theirs * 1000:11.0f}"
                f"{ours / theirs:7.2f}"
            )


if __name__ == "__main__":
    sys.exit(main())
