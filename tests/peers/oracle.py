"""Answers queries over a tenant's Delta tables with DuckDB, which shares no code with rollbook.

python oracle.py LAKE/TENANT ZONE: each line of its input is a JSON list of queries, each line of its output
the JSON list of their answers, rows as lists. Times without a zone are in ZONE. Beside the tables as they lie there
are the views that queries are written on: facts with the person that their record belongs to now, and `persons`
as one row for each person, made of its records by the rules of docs/IDENTITY.md.
"""

import json
import pathlib
import sys

import duckdb

# How far providers are trusted, the most trusted first; one that is not named stands between.
AUTHORITY = {"qbo": 0, "shopify": 1, "amazon": 2, "shipstation": 3, "hubspot": 5, "klaviyo": 6, "manual": 7}


def live_files(table: pathlib.Path) -> list[str]:
    """The data files of a Delta table's newest version, from its log alone."""
    files = {}
    for entry in sorted((table / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files[action["add"]["path"]] = None
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    return [str(table / path) for path in files]


def golden(columns: list[tuple[str, str]]) -> str:
    """The columns of a person, each from the records that have a value."""
    trust = " ".join(f"when '{name}' then {place}" for name, place in AUTHORITY.items())
    order = f"case provider {trust} else 4 end, updated_at desc nulls last, identity_id"
    chosen = []
    for name, kind in columns:
        if name == "person_id":
            continue
        if name == "created_at":
            value = f"min({name})"
        elif name in ("updated_at", "last_seen_at"):
            value = f"max({name})"
        elif kind == "BOOLEAN" and name.startswith("is_"):
            value = f"bool_or({name})"
        else:
            value = f"first({name} order by {order}) filter (where {name} is not null)"
        chosen.append(f"{value} as {name}")
    return ", ".join(chosen)


class Lake:
    def __init__(self, folder: str, zone: str):
        self.folder = pathlib.Path(folder)
        self.known = {}
        self.duckdb = duckdb.connect()
        self.duckdb.execute(f"set timezone = '{zone}'")
        self.duckdb.execute("set threads = 1")

    def refresh(self) -> None:
        """Looks at the newest versions."""
        changed = False
        for table in sorted(self.folder.iterdir()):
            if not (table / "_delta_log").is_dir():
                continue
            files = live_files(table)
            if self.known.get(table.name) == files:
                continue
            self.known[table.name] = files
            changed = True
            name = f"raw_{table.name}"
            if files:
                self.duckdb.execute(
                    f"create or replace table {name} as select * from read_parquet({files!r}, union_by_name = true)"
                )
            else:
                self.duckdb.execute(f"delete from {name}")
        if changed:
            self.views()

    def views(self) -> None:
        for name in self.known:
            raw = f"raw_{name}"
            columns = self.duckdb.execute(f"select column_name, column_type from (describe {raw})").fetchall()
            names = [column for column, _ in columns]
            if name == "identities" or not {"identity_id", "person_id"} <= set(names):
                body = f"select * from {raw}"
            else:
                body = (
                    f"select r.* replace (coalesce(i.person_id, 0) as person_id) from {raw} r "
                    "left join raw_identities i on i.identity_id = r.identity_id"
                )
            if name == "persons":
                body = f"select person_id, {golden(columns)} from ({body}) where person_id <> 0 group by person_id"
            self.duckdb.execute(f"create or replace view {name} as {body}")

    def answer(self, query: str) -> list:
        return [list(row) for row in self.duckdb.execute(query).fetchall()]


def main() -> None:
    lake = Lake(*sys.argv[1:3])
    for line in sys.stdin:
        try:
            lake.refresh()
            told = {"answers": [lake.answer(query) for query in json.loads(line)]}
        except duckdb.Error as error:
            told = {"error": str(error)}
        print(json.dumps(told, default=str), flush=True)


main()
