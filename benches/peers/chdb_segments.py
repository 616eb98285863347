"""ClickHouse in a process: `python -m peers.chdb_segments`, spoken to as `answering` says."""

import json
import os

from chdb import session

from peers import sql
from peers.answering import Form, answer, paired


def open_files(files: dict[str, list[str]]) -> dict[str, Form]:
    opened = session.Session()
    for table, paths in files.items():
        opened.query(f"create view {table} as select * from file('{together(paths)}', Parquet)")

    def one(query: str) -> list:
        answered = json.loads(str(opened.query(query, "JSONCompact")))
        return [int(value) for value in answered["data"][0]]

    return {
        "joined": lambda among: [one(sql.joined(each, sql.CLICKHOUSE)) for each in among],
        "semijoined": lambda among: [one(sql.semijoined(each, sql.CLICKHOUSE)) for each in among],
        "fused": lambda among: paired(one(sql.fused(among, sql.CLICKHOUSE))),
    }


def together(paths: list[str]) -> str:
    """The files as one pattern: ClickHouse takes alternatives after a folder, not whole paths."""
    if len(paths) == 1:
        return paths[0]
    folder = os.path.commonpath(paths)
    return f"{folder}/{{{','.join(os.path.relpath(path, folder) for path in paths)}}}"


if __name__ == "__main__":
    answer(open_files)
