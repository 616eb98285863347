"""DuckDB's half of the load comparison: what of ingest can be said in SQL, in a process of its own.

Usage: duckdb_keyed.py copy|first|second KEYS OUT FILE.csv
`copy` writes the file as Parquet. `first` joins it with the persons' keys, orders it by person and
time and writes that. `second` does the same with rows that are new or changed, and writes them
with the standing rows that they do not replace, all of it in order.
Prints one JSON document: DuckDB's version, its threads, and the rows written.
"""

import json
import sys

import duckdb


def main() -> None:
    step, keys, out, file = sys.argv[1:]
    connection = duckdb.connect()
    # Everything at its default: types are sniffed, all cores are used, files are not fsynced.
    read = f"read_csv({quoted(file)})"
    joined = (
        f"select k.person_id, a.* from {read} a"
        f" left join {quoted(keys)} k on a.person_external_id = k.external_id"
    )
    query = {
        "copy": f"select * from {read}",
        "first": f"{joined} order by person_id, occurred_at",
        "second": f"select * from {quoted(out)} s where not exists"
        f" (select 1 from {read} n where n.external_id = s.external_id)"
        f" union all by name {joined} order by person_id, occurred_at",
    }[step]
    target = out if step != "second" else out.replace(".parquet", "-2.parquet")
    written = connection.execute(f"copy ({query}) to {quoted(target)} (format parquet)").fetchone()
    threads = connection.execute("select current_setting('threads')").fetchone()[0]
    told = {"version": duckdb.__version__, "threads": threads, "rows": written[0]}
    json.dump(told, sys.stdout)


def quoted(path: str) -> str:
    """The path as an SQL string."""
    return "'" + path.replace("'", "''") + "'"


if __name__ == "__main__":
    main()
