"""How long row groups and files should be: the same rows in files of several shapes.

Takes the activities of a lake, in its order, writes them with row groups of several lengths, and
measures what each costs: bytes, reading the columns that segments need, reading all rows of one
person, and writing a file anew, which is what a changed row costs. Reading is DuckDB's: it knows
nothing of how rollbook lays files out. The raw result goes to benches/runs/<date>-<machine>/sizes.json.
"""

import argparse
import pathlib
import statistics
import sys
import time

from common import MEGABYTE, header, lake_rows, options_of, quoted, run

GROUPS = [16, 32, 64, 128, 256, 512, 1024]


def main() -> int:
    parser = options_of(__doc__, "a folder for the files, about 3 GB", 7)
    parser.add_argument("lake", type=pathlib.Path, help="a lake with many activities")
    parser.add_argument("--rows", type=int, default=4 << 20, help="rows that are taken of it")
    return run(parser.parse_args(), measure, print_table, "sizes")


def print_table(result: dict) -> None:
    print(f"{'rows a group':>12}{'MB':>8}{'scan ms':>9}{'person ms':>11}{'rewrite ms of 4 groups':>24}")
    for one in result["shapes"]:
        print(
            f"{one['group_rows']:12,}{one['bytes'] / MEGABYTE:8.1f}{one['scan_ms']:9.1f}"
            f"{one['person_ms']:11.2f}{one['rewrite_ms']:24.1f}"
        )


def measure(options: argparse.Namespace) -> dict:
    import duckdb
    import pyarrow.parquet as pq

    options.work.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    rows = connection.execute(
        f"select * from {lake_rows(options.lake, 'activities')}"
        f" order by person_id, occurred_at limit {options.rows}"
    ).to_arrow_table()
    persons = rows["person_id"].to_pylist()[:: max(1, rows.num_rows // 50)]
    shapes = []
    for group in GROUPS:
        group_rows = group << 10
        path = options.work / f"{group}.parquet"
        write = {"compression": "zstd", "compression_level": 1, "row_group_size": group_rows}
        pq.write_table(rows, path, **write)
        part = rows.slice(0, 4 * group_rows)
        columns = "sum(person_id), max(occurred_at), max(type)"
        query = f"select {columns} from {quoted(path)}"
        scan = median(options.rounds, lambda query=query: connection.execute(query).fetchone())
        one = f"select count(*), max(occurred_at) from {quoted(path)} where person_id = $1"
        person = median(
            options.rounds,
            lambda one=one: [connection.execute(one, [p]).fetchone() for p in persons],
        )
        rewritten = options.work / "part.parquet"
        rewrite = median(
            options.rounds, lambda part=part, write=write: pq.write_table(part, rewritten, **write)
        )
        shapes.append(
            {
                "group_rows": group_rows,
                "bytes": path.stat().st_size,
                "scan_ms": scan * 1000,
                "person_ms": person * 1000 / len(persons),
                "rewrite_ms": rewrite * 1000,
            }
        )
        path.unlink()
    return {
        **header("sizes", options.machine, options.rollbook, duckdb.__version__),
        "parameters": {"rows": rows.num_rows, "rounds": options.rounds},
        "shapes": shapes,
    }


def median(rounds: int, work) -> float:
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
