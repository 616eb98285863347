"""Runs statements in DuckDB, one after the other, and prints the rows of the last as JSON."""

import json
import sys

import duckdb


def main() -> None:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    found = []
    for statement in sys.argv[1:]:
        found = connection.execute(statement).fetchall()
    json.dump(found, sys.stdout, default=str)


if __name__ == "__main__":
    main()
