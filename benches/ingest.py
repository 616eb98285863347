"""Ingest of generated CSV files: rollbook into a fresh lake beside DuckDB's COPY to Parquet.

One run on one machine: generate the files, run both sides once and compare their rows, then measure
both in turn for several rounds, each time as a process of its own. The raw result goes to
benches/runs/<date>-<machine>/ingest.json; a table with medians goes to standard output.
How to run it, and what it does not measure: benches/README.md.
"""

import argparse
import json
import pathlib
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
    parser = options_of(__doc__, "a folder for input and output, about 6 GB", 5)
    input_options(parser, 5_000_000)
    parser.add_argument(
        "--tables",
        default="persons,orders,activities",
        help="files to take in, comma-separated, or `all` (default persons,orders,activities)",
    )
    return run(parser.parse_args(), compare, print_table, "ingest")


def compare(options: argparse.Namespace) -> dict:
    """Everything from input to result."""
    options.work.mkdir(parents=True, exist_ok=True)
    source = options.work / "input"
    generate(options, source)
    files = chosen_files(source, options.tables)
    sides = {"rollbook": RollbookSide(options, files), "duckdb": DuckdbSide(options, files)}

    print("comparing rows", file=sys.stderr)
    check = {name: side.run() for name, side in sides.items()}
    rows = compare_rows(files, sides, check)

    rounds = []
    for number in range(1, options.rounds + 1):
        # Who goes first alternates: a side should not always meet the other's warm disk.
        order = list(sides) if number % 2 else list(reversed(sides))
        for name in order:
            measured = sides[name].run()
            if measured.pop("rows") != rows:
                raise Failed(f"{name} took in other rows in round {number} than in the first run")
            rounds.append({"round": number, "side": name, **measured})
            print(
                f"round {number} {name}: {measured['wall_seconds']:.2f} s, "
                f"{measured['peak_rss_bytes'] / MEGABYTE:,.0f} MB",
                file=sys.stderr,
            )
    for side in sides.values():
        side.clean()

    return {
        **header("ingest", options.machine, options.rollbook, sides["duckdb"].version),
        "parameters": {
            "persons": options.persons,
            "orders": options.orders,
            "activities": options.activities,
            "seed": options.seed,
            "rounds": options.rounds,
            "duckdb_threads": sides["duckdb"].threads,
            "commands": {
                "generate": f"rollbook generate --persons {options.persons} --orders"
                f" {options.orders} --activities {options.activities} --seed {options.seed}"
                " --out INPUT",
                "rollbook": "rollbook --lake LAKE --output json ingest native FILES",
                "duckdb": "python duckdb_copy.py OUT FILES",
            },
        },
        "input": {
            file.stem: {"rows": rows[file.stem], "bytes": file.stat().st_size} for file in files
        },
        "rounds": rounds,
        "medians": {name: medians(rounds, name) for name in sides},
    }


def generate(options: argparse.Namespace, source: pathlib.Path) -> None:
    if options.reuse_input:
        if not source.is_dir():
            raise Failed(f"there is no input in `{source}` to reuse; leave `--reuse-input` out")
        return
    empty_folder(source)
    print("generating the input", file=sys.stderr)
    command = [options.rollbook, "generate", "--out", source]
    for name in ("persons", "orders", "activities", "seed"):
        command += [f"--{name}", str(getattr(options, name))]
    run_process(command)


def chosen_files(source: pathlib.Path, tables: str) -> list[pathlib.Path]:
    if tables == "all":
        return sorted(source.glob("*.csv"))
    files = [source / f"{table.strip()}.csv" for table in tables.split(",")]
    for file in files:
        if not file.is_file():
            raise Failed(f"`--tables` names `{file.stem}`, of which there is no generated file")
    return files


class RollbookSide:
    """Takes the files into a lake that was not there before."""

    def __init__(self, options: argparse.Namespace, files: list[pathlib.Path]) -> None:
        self.program, self.files = options.rollbook, files
        self.lake = options.work / "lake"

    def run(self) -> dict:
        self.clean()
        settle(self.files)
        command = [self.program, "--lake", self.lake, "--output", "json", "ingest", "native"]
        said, measured = run_process([*command, *self.files])
        rows = {}
        for counts in json.loads(said)["tables"]:
            if counts["accepted"] != counts["read"]:
                raise Failed(f"rollbook did not accept all rows of a table: {counts}")
            rows[counts["table"]] = counts["accepted"]
        rows = {file.stem: rows.get(file.stem, 0) for file in self.files}
        return {**measured, **flush(), "output_bytes": size(self.lake), "rows": rows}

    def rows_of(self, table: str) -> str:
        return lake_rows(self.lake, table)

    def clean(self) -> None:
        remove(self.lake)


class DuckdbSide:
    """Copies each file to a Parquet file."""

    def __init__(self, options: argparse.Namespace, files: list[pathlib.Path]) -> None:
        self.files, self.out = files, options.work / "duckdb"
        self.version, self.threads = None, None

    def run(self) -> dict:
        empty_folder(self.out)
        settle(self.files)
        script = BENCHES / "peers" / "duckdb_copy.py"
        said, measured = run_process([sys.executable, script, self.out, *self.files])
        told = json.loads(said)
        self.version, self.threads = told["version"], told["threads"]
        return {**measured, **flush(), "output_bytes": size(self.out), "rows": told["rows"]}

    def rows_of(self, table: str) -> str:
        return f"read_parquet({quoted(self.out / f'{table}.parquet')})"

    def clean(self) -> None:
        remove(self.out)


# What both sides must agree on beside their ids, where a table has it.
SUMS = {
    "orders": "sum(cast(total as decimal(19, 4)))",
    "order_lines": "sum(cast(total as decimal(19, 4)))",
    "refunds": "sum(cast(amount as decimal(19, 4)))",
    "activities": "sum(epoch_us(cast(occurred_at as timestamptz)))",
}


def compare_rows(files: list[pathlib.Path], sides: dict, check: dict) -> dict:
    """The rows of each table, once both sides and a count of ours agree on them."""
    rows = {}
    for file in files:
        table = file.stem
        found = {}
        for name, side in sides.items():
            more = SUMS.get(table, "0")
            found[name] = ask_duckdb(
                "select count(*), sum(hash(cast(external_id as varchar)))::varchar, "
                f"{more}::varchar from {side.rows_of(table)}"
            )[0]
            if found[name][0] != check[name]["rows"][table]:
                raise Failed(
                    f"{name} says it wrote {check[name]['rows'][table]} rows of {table},"
                    f" its files hold {found[name][0]}"
                )
        if found["rollbook"] != found["duckdb"]:
            raise Failed(f"the two sides do not hold the same rows of {table}: {found}")
        rows[table] = found["duckdb"][0]
    return rows


def medians(rounds: list[dict], side: str) -> dict:
    own = [one for one in rounds if one["side"] == side]
    names = ("wall_seconds", "cpu_seconds", "sync_seconds", "peak_rss_bytes", "output_bytes")
    return {name: statistics.median(one[name] for one in own) for name in names}


def print_table(result: dict) -> None:
    rows = sum(table["rows"] for table in result["input"].values())
    sizes = sum(table["bytes"] for table in result["input"].values())
    tables = ", ".join(f"{table['rows']:,} {name}" for name, table in result["input"].items())
    machine = result["machine"]
    print(
        f"ingest of {tables} ({sizes / MEGABYTE:,.0f} MB of CSV)\n"
        f"{machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory_bytes'] / 1e9:.0f} GB; medians of"
        f" {result['parameters']['rounds']} rounds\n"
    )
    ours, theirs = result["medians"]["rollbook"], result["medians"]["duckdb"]
    lines = [("", f"rollbook {result['versions']['rollbook']}", f"DuckDB {result['versions']['duckdb']}", "ratio")]
    for title, name, scale in [
        ("wall time, s", "wall_seconds", 1),
        ("CPU time, s", "cpu_seconds", 1),
        ("sync after, s", "sync_seconds", 1),
        ("peak memory, MB", "peak_rss_bytes", MEGABYTE),
        ("written, MB", "output_bytes", MEGABYTE),
    ]:
        ratio = f"{ours[name] / theirs[name]:.2f}" if theirs[name] else "–"
        lines.append((title, f"{ours[name] / scale:,.2f}", f"{theirs[name] / scale:,.2f}", ratio))
    speeds = [rows / one["wall_seconds"] for one in (ours, theirs)]
    lines.append(("rows a second", *(f"{speed:,.0f}" for speed in speeds), f"{speeds[0] / speeds[1]:.2f}"))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
