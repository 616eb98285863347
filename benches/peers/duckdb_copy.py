"""DuckDB's half of the ingest comparison: each CSV file to one Parquet file, in a process of its own.

Usage: duckdb_copy.py OUT_FOLDER FILE.csv...
Prints one JSON document: DuckDB's version, its threads, and the rows of each table.
"""

import json
import pathlib
import sys

import duckdb


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    connection = duckdb.connect()
    rows = {}
    for file in map(pathlib.Path, sys.argv[2:]):
        target = out / f"{file.stem}.parquet"
        # Everything at its default: types are sniffed, all cores are used, files are not fsynced.
        copied = connection.execute(
            f"copy (select * from read_csv({quoted(file)})) to {quoted(target)} (format parquet)"
        ).fetchone()
        rows[file.stem] = copied[0]
    threads = connection.execute("select current_setting('threads')").fetchone()[0]
    json.dump({"version": duckdb.__version__, "threads": threads, "rows": rows}, sys.stdout)


def quoted(path: pathlib.Path) -> str:
    """The path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


if __name__ == "__main__":
    main()
