"""Reads every table of a tenant's folder with the deltalake package and prints what it found.

python read_lake.py LAKE/TENANT: one JSON object, table name to rows and a sum of hashes of the keys
that does not depend on the order of rows. With --follow it does so for every line of its input.
"""

import hashlib
import json
import pathlib
import sys

import pyarrow as pa
from deltalake import DeltaTable

from ending import end


def digest(row: dict) -> int:
    key = f"{row.get('provider')}\x1f{row.get('external_id')}\x1f{row.get('person_id')}\x1f{row.get('total')}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")


def read(lake: str) -> dict:
    found = {}
    for folder in sorted(pathlib.Path(lake).iterdir()):
        if (folder / "_delta_log").is_dir():
            table = pa.table(DeltaTable(str(folder)).to_pyarrow_table())
            kept = [n for n in ("provider", "external_id", "person_id", "total") if n in table.column_names]
            rows = table.select(kept).to_pylist() if kept else []
            found[folder.name] = {"rows": table.num_rows, "digest": sum(digest(row) for row in rows)}
    return found


if sys.argv[2:] == ["--follow"]:
    for _ in sys.stdin:
        print(json.dumps(read(sys.argv[1])), flush=True)
else:
    print(json.dumps(read(sys.argv[1])))
end()
