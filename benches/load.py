"""Activities of known persons: a first load, and a second one of some new and some changed rows.

The persons and their orders are taken in before. Then rollbook takes the activities in beside
DuckDB, which joins them with the persons' keys, orders them by person and time and writes Parquet;
DuckDB's plain COPY is shown too. The second load has 1 % new and 1 % changed rows, spread at random.
The raw result goes to benches/runs/<date>-<machine>/load.json. How to read it: benches/README.md.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import sys

from common import (
    BENCHES,
    MEGABYTE,
    Failed,
    ask_duckdb,
    empty_folder,
    flush,
    header,
    input_options,
    lake_rows,
    options_of,
    quoted,
    remove,
    run,
    run_process,
    settle,
    size,
)


def main() -> int:
    parser = options_of(__doc__, "a folder for input and output, about 16 GB", 3)
    input_options(parser, 20_000_000)
    parser.add_argument("--name", default="load", help="the record's name (default load)")
    options = parser.parse_args()
    return run(options, compare, print_table, options.name)


def compare(options: argparse.Namespace) -> dict:
    """Everything from input to result."""
    options.work.mkdir(parents=True, exist_ok=True)
    source = options.work / "input"
    prepare(options, source)
    first, second = source / "first" / "activities.csv", source / "second" / "activities.csv"
    sides = Sides(options, source)
    rounds = []
    for number in range(1, options.rounds + 1):
        # Who goes first alternates: a side should not always meet the other's warm disk.
        order = ["rollbook", "duckdb"] if number % 2 else ["duckdb", "rollbook"]
        for load, file in (("first", first), ("second", second)):
            for side in [*order, *(["copy"] if load == "first" else [])]:
                measured = sides.run(side, load, file)
                rounds.append({"round": number, "load": load, "side": side, **measured})
                print(
                    f"round {number} {load} {side}: {measured['wall_seconds']:.2f} s,"
                    f" {measured['peak_rss_bytes'] / MEGABYTE:,.0f} MB",
                    file=sys.stderr,
                )
            rows = sides.compare_rows(load)
    sides.clean()
    kinds = sorted({(one["load"], one["side"]) for one in rounds})
    return {
        **header("load", options.machine, options.rollbook, sides.version),
        "parameters": {
            "persons": options.persons,
            "orders": options.orders,
            "activities": options.activities,
            "seed": options.seed,
            "rounds": options.rounds,
            "duckdb_threads": sides.threads,
        },
        "input": {
            "first_bytes": first.stat().st_size,
            "second_bytes": second.stat().st_size,
            "rows_after": rows,
        },
        "rounds": rounds,
        "medians": {f"{load} {side}": medians(rounds, load, side) for load, side in kinds},
    }


def prepare(options: argparse.Namespace, source: pathlib.Path) -> None:
    """The generated files, the activities in the order of time, and a second load of them."""
    if options.reuse_input:
        if not (source / "second" / "activities.csv").is_file():
            raise Failed(f"there is no input in `{source}` to reuse; leave `--reuse-input` out")
        return
    empty_folder(source)
    print("generating the input", file=sys.stderr)
    command = [options.rollbook, "generate", "--out", source]
    for name in ("persons", "orders", "activities", "seed"):
        command += [f"--{name}", str(getattr(options, name))]
    run_process(command)
    generated = source / "activities.csv"
    for folder in ("first", "second"):
        (source / folder).mkdir()
    read = f"read_csv({quoted(generated)}, all_varchar = true)"
    # Of every hundred rows one is changed, and one more of the same person and day is new.
    chosen = f"select * from {read} where hash(external_id) % 100 = 7"
    ask_duckdb(
        f"set temp_directory = {quoted(source / 'temporary')}",
        f"copy (select * from {read} order by occurred_at) to"
        f" {quoted(source / 'first' / 'activities.csv')} (format csv, header)",
        f"copy ((select * replace (channel || '-2' as channel) from ({chosen})) union all"
        f" (select * replace ('N' || external_id as external_id) from ({chosen})))"
        f" to {quoted(source / 'second' / 'activities.csv')} (format csv, header)",
    )
    generated.unlink()
    for file in source.glob("*.csv"):
        if file.stem not in ("persons", "orders"):
            file.unlink()


class Sides:
    """The lake with the known persons, DuckDB's table of their keys, and what is made of both."""

    def __init__(self, options: argparse.Namespace, source: pathlib.Path) -> None:
        self.program, self.work = options.rollbook, options.work
        self.version, self.threads = None, None
        self.known, self.lake = options.work / "known", options.work / "lake"
        self.out, self.keys = options.work / "duckdb", options.work / "keys.parquet"
        remove(self.known)
        print("taking the persons and orders in", file=sys.stderr)
        files = [source / "persons.csv", source / "orders.csv"]
        run_process([self.program, "--lake", self.known, "ingest", "native", *files])
        ask_duckdb(
            "copy (select external_id, row_number() over (order by external_id) as person_id"
            f" from read_csv({quoted(files[0])})) to {quoted(self.keys)} (format parquet)"
        )

    def run(self, side: str, load: str, file: pathlib.Path) -> dict:
        if side == "rollbook":
            if load == "first":
                remove(self.lake)
                shutil.copytree(self.known, self.lake)
            settle([file])
            command = [self.program, "--lake", self.lake, "--output", "json"]
            said, measured = run_process([*command, "ingest", "native", file])
            counts = [one for one in json.loads(said)["tables"] if one["table"] == "activities"]
            if counts[0]["accepted"] != counts[0]["read"]:
                raise Failed(f"rollbook did not accept all rows: {counts}")
            return {**measured, **flush(), "output_bytes": size(self.lake)}
        step = "copy" if side == "copy" else load
        if load == "first":
            empty_folder(self.out / step)
        out = self.out / ("copy" if side == "copy" else "first") / "activities.parquet"
        settle([file])
        script = BENCHES / "peers" / "duckdb_keyed.py"
        said, measured = run_process([sys.executable, script, step, self.keys, out, file])
        told = json.loads(said)
        self.version, self.threads = told["version"], told["threads"]
        return {**measured, **flush(), "output_bytes": size(self.out / out.parent.name)}

    def compare_rows(self, load: str) -> int:
        """The rows of both sides, once they agree on ids, times, channels and who is whose."""
        standing = {"first": "activities.parquet", "second": "activities-2.parquet"}[load]
        of_duckdb = f"read_parquet({quoted(self.out / 'first' / standing)})"
        found = [
            ask_duckdb(
                "select count(*), sum(hash(external_id, coalesce(channel, '')))::varchar,"
                " sum(epoch_us(cast(occurred_at as timestamptz)))::varchar,"
                f" count(distinct person_id) from {rows} where person_id > 0"
            )[0]
            for rows in (lake_rows(self.lake, "activities"), of_duckdb)
        ]
        if found[0] != found[1]:
            raise Failed(f"the two sides do not hold the same rows after the {load} load: {found}")
        return found[0][0]

    def clean(self) -> None:
        for made in (self.known, self.lake, self.out):
            remove(made)
        self.keys.unlink()


def medians(rounds: list[dict], load: str, side: str) -> dict:
    own = [one for one in rounds if (one["load"], one["side"]) == (load, side)]
    names = ("wall_seconds", "cpu_seconds", "sync_seconds", "peak_rss_bytes", "output_bytes")
    return {name: statistics.median(one[name] for one in own) for name in names}


def print_table(result: dict) -> None:
    rows = result["parameters"]["activities"]
    machine = result["machine"]
    print(
        f"{rows:,} activities of {result['parameters']['persons']:,} known persons"
        f" ({result['input']['first_bytes'] / MEGABYTE:,.0f} MB of CSV)\n"
        f"{machine['processor']}, {machine['cores']} cores; medians of"
        f" {result['parameters']['rounds']} rounds\n"
    )
    print(f"{'':18}{'wall s':>9}{'cpu s':>9}{'sync s':>9}{'peak MB':>9}{'disk MB':>9}")
    for kind, one in result["medians"].items():
        print(
            f"{kind:18}{one['wall_seconds']:9.2f}{one['cpu_seconds']:9.2f}"
            f"{one['sync_seconds']:9.2f}{one['peak_rss_bytes'] / MEGABYTE:9,.0f}"
            f"{one['output_bytes'] / MEGABYTE:9,.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
