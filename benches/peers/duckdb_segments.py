"""DuckDB asked for segments: `python -m peers.duckdb_segments`, spoken to as `answering` says."""

import duckdb

from peers import sql
from peers.answering import Form, answer, paired

DECODE = {
    "activities": "select count(person_id), sum(person_id), epoch_us(max(occurred_at)), max(type)",
    "orders": "select count(person_id), sum(person_id), epoch_us(max(placed_at))",
}


def open_files(files: dict[str, list[str]]) -> dict[str, Form]:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table, paths in files.items():
        connection.execute(f"create view {table} as select * from read_parquet({paths})")

    def one(query: str) -> list:
        return [int(value) for value in connection.execute(query).fetchone()]

    def decode(_) -> list:
        for table, columns in DECODE.items():
            connection.execute(f"{columns} from {table}").fetchall()
        return []

    return {
        "joined": lambda among: [one(sql.joined(each, sql.DUCKDB)) for each in among],
        "semijoined": lambda among: [one(sql.semijoined(each, sql.DUCKDB)) for each in among],
        "fused": lambda among: paired(one(sql.fused(among, sql.DUCKDB))),
        "decoded": decode,
    }


if __name__ == "__main__":
    answer(open_files)
