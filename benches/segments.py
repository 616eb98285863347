"""A full refresh of many segments: rollbook beside DuckDB over the same files.

Segments of two to four clauses on what persons did, from a seeded generator, are defined before
anything is taken in. DuckDB answers them one query each, and all in one query in which the
aggregates of all are written side by side by hand. What only decodes the columns is shown too. The
members must be the same. Then activities come for one person in a hundred, neighbours first and
then anywhere, an hour passes each time, and only whom that may concern is evaluated; a full refresh
right after has to find nothing to change. At last ten times as many segments are refreshed in full.
The raw result goes to benches/runs/<date>-<machine>/segments.json.
"""

import argparse
import json
import pathlib
import random
import statistics
import sys
import time

from common import MEGABYTE, Failed, header, lake_rows, options_of, quoted, remove, run, run_process

AS_OF = "2026-01-01T00:00:00Z"
NOW = "timestamptz '2026-01-01T00:00:00Z'"
KINDS = [
    "page_viewed",
    "form_submitted",
    "email_sent",
    "email_opened",
    "email_clicked",
    "pricing_viewed",
    "signed_up",
    "cart_abandoned",
]
DAYS = [7, 14, 30, 60, 90, 180, 365]
DECODE = {
    "activities": "select count(person_id), sum(person_id), epoch_us(max(occurred_at)), max(type)",
    "orders": "select count(person_id), sum(person_id), epoch_us(max(placed_at))",
}


def main() -> int:
    parser = options_of(__doc__, "the folder of an earlier run of load.py", 5)
    parser.add_argument("--segments", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the segments (default 1)")
    parser.add_argument("--name", default="segments", help="the record's name (default segments)")
    options = parser.parse_args()
    return run(options, compare, print_table, options.name)


class Question:
    """An aggregate per person, as DuckDB has it."""

    def __init__(self, table: str, duckdb: str):
        self.table, self.duckdb = table, duckdb


def clause(dice: random.Random) -> tuple[str, str, list[Question]]:
    """One clause: for rollbook, for DuckDB with `{0}` for the aggregate, and the aggregate."""
    days, kind = dice.choice(DAYS), dice.choice(KINDS)
    since = f"{NOW} - interval '{days} days'"
    if dice.random() < 0.2:
        question = Question("orders", f"count(*) filter (where placed_at > {since})")
        least = dice.randint(1, 3)
        ours = f"ordered(at_least => {least}, within => interval '{days} days')"
        return ours, f"coalesce({{0}}, 0) >= {least}", [question]
    if dice.random() < 0.15:
        countries = dice.sample(["DE", "US", "FR", "GB", "IT", "ES", "NL"], 3)
        among = ", ".join(quoted(one) for one in countries)
        return f"country in ({among})", f"country in ({among})", []
    if dice.random() < 0.15:
        question = Question("activities", f"max(occurred_at) filter (where type = '{kind}')")
        test = f"< {NOW} - interval '{days} days'"
        ours = f"last_time('{kind}') < now() - interval '{days} days'"
        return ours, f"{{0}} {test}", [question]
    seen = f"count(*) filter (where type = '{kind}' and occurred_at > {since})"
    question = Question("activities", seen)
    least = dice.randint(1, 4)
    ours = f"did('{kind}', at_least => {least}, within => interval '{days} days')"
    theirs = f"coalesce({{0}}, 0) >= {least}"
    if dice.random() < 0.3:
        ours, theirs = f"not {ours}", f"not ({theirs})"
    return ours, theirs, [question]


class Segment:
    def __init__(self, dice: random.Random):
        clauses = [clause(dice) for _ in range(dice.randint(2, 4))]
        word = dice.choice([" and ", " and ", " or "])
        self.rollbook = word.join(ours for ours, _, _ in clauses)
        self.clauses = clauses
        self.word = word

    def questions(self) -> list[Question]:
        return [question for _, _, questions in self.clauses for question in questions]

    def duckdb(self, names: dict) -> str:
        """The condition, with the aggregates called as `names` says."""
        parts = [
            theirs.format(*(names[one.table, one.duckdb] for one in questions))
            for _, theirs, questions in self.clauses
        ]
        return "(" + self.word.join(f"({part})" for part in parts) + ")"


def query(segments: list[Segment]) -> str:
    """One query for these segments: each question asked once, a count and a sum of ids for each."""
    names: dict = {}
    for segment in segments:
        for question in segment.questions():
            names.setdefault((question.table, question.duckdb), f"c{len(names)}")
    joins = ""
    for table in ("activities", "orders"):
        asked = [f"{what} as {name}" for (of, what), name in names.items() if of == table]
        if asked:
            joins += (
                f" left join (select person_id, {', '.join(asked)} from {table}"
                f" where person_id <> 0 group by person_id) as of_{table} using (person_id)"
            )
    columns = ", ".join(
        f"count(*) filter (where {one.duckdb(names)}),"
        f" coalesce(sum(person_id) filter (where {one.duckdb(names)}), 0)::bigint"
        for one in segments
    )
    return f"select {columns} from persons{joins} where person_id <> 0"


def compare(options: argparse.Namespace) -> dict:
    import duckdb

    source, lake = options.work / "input", options.work / "segmented"
    files = [source / "persons.csv", source / "orders.csv", source / "first" / "activities.csv"]
    if not all(file.is_file() for file in files):
        raise Failed(f"there is no input in `{source}`: run load.py with that folder before")
    dice = random.Random(options.seed)
    segments = [Segment(dice) for _ in range(options.segments)]
    remove(lake)
    command = [options.rollbook, "--lake", lake]
    print("defining segments, taking everything in", file=sys.stderr)
    few = options.work / "few" / "persons.csv"
    few.parent.mkdir(exist_ok=True)
    with files[0].open(encoding="utf-8") as whole:
        few.write_text("".join(line for line, _ in zip(whole, range(10))), encoding="utf-8")
    run_process([*command, "ingest", "native", few])
    define(command, options.work / "definitions", segments)
    run_process([*command, "ingest", "native", *files])

    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table in ("persons", "orders", "activities"):
        connection.execute(f"create view {table} as select * from {lake_rows(lake, table)}")

    def refresh() -> dict:
        _, measured = run_process([*command, "segment", "refresh", "--full", "--as-of", AS_OF])
        return measured

    def timed(ask) -> tuple[float, list]:
        begun = time.perf_counter()
        found = ask()
        return time.perf_counter() - begun, found

    def one_by_one() -> list:
        return [connection.execute(query([one])).fetchone() for one in segments]

    def fused() -> list:
        found = connection.execute(query(segments)).fetchone()
        return [found[at : at + 2] for at in range(0, len(found), 2)]

    def decode() -> list:
        return [connection.execute(f"{what} from {of}").fetchone() for of, what in DECODE.items()]

    refresh()
    same(command, one_by_one(), fused())
    rounds = {"rollbook": [], "duckdb_each": [], "duckdb_fused": [], "decode": []}
    memory = 0
    for number in range(options.rounds):
        measured = refresh()
        memory = max(memory, measured["peak_rss_bytes"])
        rounds["rollbook"].append(measured["wall_seconds"])
        rounds["duckdb_fused"].append(timed(fused)[0])
        rounds["decode"].append(timed(decode)[0])
        if number < 2:
            rounds["duckdb_each"].append(timed(one_by_one)[0])
    patched = patches(command, options)
    many = segments + [Segment(dice) for _ in range(9 * len(segments))]
    define(command, options.work / "definitions", many)
    refresh()
    rounds["rollbook_ten_times_as_many"] = [refresh()["wall_seconds"] for _ in range(2)]
    bounded = [*command, "--memory-mib", "1024", "segment", "refresh", "--full", "--as-of", AS_OF]
    _, measured = run_process(bounded)
    remove(lake)
    return {
        "patched": patched,
        "ten_times_as_many_in_a_pool_of_1_gib": measured,
        **header("segments", options.machine, options.rollbook, duckdb.__version__),
        "parameters": {
            "segments": options.segments,
            "seed": options.seed,
            "rounds": options.rounds,
            "questions": len({(q.table, q.duckdb) for one in segments for q in one.questions()}),
            "criteria": [one.rollbook for one in segments],
        },
        "rollbook_peak_rss_bytes": memory,
        "seconds": rounds,
    }


def define(command: list, folder: pathlib.Path, segments: list[Segment]) -> None:
    """Makes the lake have these segments, which are computed when they are asked for."""
    folder.mkdir(exist_ok=True)
    for number, segment in enumerate(segments):
        text = f"-- refresh: manual\n{segment.rollbook}\n"
        (folder / f"s{number}.sql").write_text(text, encoding="utf-8")
    run_process([*command, "segment", "apply", folder])
    for file in folder.iterdir():
        file.unlink()


def patches(command: list, options: argparse.Namespace) -> dict:
    """Refreshes after activities of one person in a hundred, each with the full one after it."""
    said, _ = run_process([*command, "sql", "select count(*) as n from persons", "--output", "json"])
    persons = json.loads(said)[0]["n"]
    dice = random.Random(options.seed)
    some = persons // 100
    chosen = {
        "neighbours": range(persons // 3, persons // 3 + some),
        "anywhere": dice.sample(range(1, persons), some),
    }
    # The copies in order of time are made when they are first asked for.
    first = [*command, "segment", "refresh", "--as-of", "2026-01-01T00:00:01Z"]
    _, measured = run_process(first)
    found = {"first": {"patch": measured}}
    for hour, (name, ids) in enumerate(chosen.items(), 1):
        file = options.work / "few" / f"activities-{name}.csv"
        rows = [
            f"new-{name}-{at},P{person},{dice.choice(KINDS)},2026-01-01T0{hour - 1}:30:00Z"
            for at, person in enumerate(ids)
        ]
        header_line = "external_id,person_external_id,type,occurred_at"
        file.write_text("\n".join([header_line, *rows]) + "\n", encoding="utf-8")
        run_process([*command, "ingest", "native", file])
        as_of = f"2026-01-01T0{hour}:00:00Z"
        refresh = [*command, "segment", "refresh", "--as-of", as_of, "--output", "json"]
        said, patch = run_process(refresh)
        patched = json.loads(said)
        said, full = run_process([*refresh, "--full"])
        if any(one["entered"] or one["left"] for one in json.loads(said)):
            raise Failed(f"a full refresh changes what was patched after new rows of {name}")
        found[name] = {
            "patch": patch,
            "full": full,
            "persons_evaluated": sorted({str(one["evaluated"]) for one in patched}),
            "entered": sum(one["entered"] for one in patched),
            "left": sum(one["left"] for one in patched),
        }
    return found


def same(command: list, each: list, fused: list) -> None:
    """Whether all sides found the same persons: their number, and the sum of their ids."""
    sql = (
        "select segment, count(*) as n, sum(person_id) as p from segment_members group by segment"
    )
    said, _ = run_process([*command, "sql", sql, "--output", "json"])
    rows = json.loads(said)
    rows = rows["rows"] if isinstance(rows, dict) else rows
    ours = {row["segment"]: (int(row["n"]), int(row["p"])) for row in rows}
    for number, (one, other) in enumerate(zip(each, fused)):
        found = ours.get(f"s{number}", (0, 0))
        if not found == tuple(one) == tuple(other):
            raise Failed(f"segment s{number} gives {found} here and {one}, {other} in DuckDB")


def print_table(result: dict) -> None:
    seconds = {name: statistics.median(times) for name, times in result["seconds"].items()}
    for name, median in seconds.items():
        print(f"{name:14}{median:9.3f} s{median / seconds['rollbook']:9.2f} of rollbook's")
    first = result["patched"]["first"]["patch"]["wall_seconds"]
    print(f"first patch, with the copies in order of time: {first:.3f} s")
    for name, one in result["patched"].items():
        if name == "first":
            continue
        patch, full = one["patch"]["wall_seconds"], one["full"]["wall_seconds"]
        print(f"patch, {name:12}{patch:9.3f} s, {100 * patch / full:.0f} % of {full:.3f} s")
    bounded = result["ten_times_as_many_in_a_pool_of_1_gib"]
    peak = bounded["peak_rss_bytes"] / MEGABYTE
    print(f"ten times as many, pool of 1 GiB: {bounded['wall_seconds']:.3f} s, {peak:,.0f} MB")
    print(f"peak of rollbook: {result['rollbook_peak_rss_bytes'] / MEGABYTE:,.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
