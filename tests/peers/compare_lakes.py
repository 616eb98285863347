"""Compares what two programs write to disk for the same commands.

python compare_lakes.py OLD NEW: runs the commands below with each of them in a fresh folder, and prints
every difference between the two lakes: which files there are, what every document says (snapshot records,
entries of the Delta logs, ledgers, settings …), and the schema and rows of every Parquet file. What differs
from run to run is masked: times of the run, random parts of names, sealed values.

A folder in place of a program is one in which the commands were run before: --folder DIR keeps them, as
DIR/old and DIR/new. --short leaves out the backup and the tenant whose persons are scored; --archive FILE
packs the folder of OLD. It ends with 1 where anything differs. It needs pyarrow.
"""

import argparse
import difflib
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator

import pyarrow.parquet as parquet

from ending import end

AS_OF = ["--as-of", "2026-01-15"]
MANUAL = ["--refresh", "manual"]
LAST_BATCH = "LAST_BATCH"
# When the commands were begun, in seconds.
BEGAN = "began"


def inputs() -> dict[str, str]:
    """Small files, the same each time: two providers who know some of the same persons."""
    persons = "external_id,email,phone,first_name,last_name,country,city,created_at\n"
    orders = "external_id,person_external_id,status,currency,total,placed_at,paid_at\n"
    activities = "external_id,person_external_id,type,channel,campaign_id,occurred_at\n"
    countries = ["DE", "AT", "US"]
    shop = persons + "".join(
        f"s{n},person{n}@example.com,+49 30 5550{n:03},First{n},Last{n},{countries[n % 3]},City{n % 5},"
        f"2025-0{n % 9 + 1}-0{n % 9 + 1}\n"
        for n in range(16)
    )
    crm = persons + "".join(
        f"h{n},PERSON{n}@example.com,,First{n},Last{n},{countries[n % 3]},,2025-06-01\n" for n in range(0, 16, 4)
    )
    # Somebody with the address of one person and the phone number of another.
    crm += "hx,person1@example.com,+49 30 5550002,First,Last,DE,,2025-06-02\n"
    bought = orders + "".join(
        f"o{n},s{n * 7 % 16},{'paid' if n % 5 else 'cancelled'},EUR,{n * 5}.50,"
        f"2025-{n % 12 + 1:02}-11,2025-{n % 12 + 1:02}-12\n"
        for n in range(16)
    )
    kinds = ["page_viewed", "email_opened", "email_clicked"]
    channels = ["ads", "email", "organic"]
    seen = activities + "".join(
        f"a{n},s{n * 11 % 16},{kinds[n % 3]},{channels[n % 3]},c{n % 4},"
        f"2025-{n % 12 + 1:02}-{n % 27 + 1:02}T10:00:00Z\n"
        for n in range(20)
    )
    later = activities + "".join(
        f"b{n},s{n},page_viewed,ads,c1,2026-01-0{n % 9 + 1}T09:00:00Z\n" for n in range(4)
    )
    mappings = {
        f"mappings/{table}.sql": f"-- table: {table}\n-- source: {table} = {table}.*\nselect * from {table}\n"
        for table in ["persons", "orders", "activities"]
    }
    return {
        **mappings,
        "1/persons.csv": shop,
        "1/orders.csv": bought,
        "1/activities.csv": seen,
        "2/persons.csv": crm,
        "3/orders.csv": orders + "w1,s1,paid,EUR,much,2025-01-01,\nw2,s2,paid,EUR,5,2025-01-01,\n",
        "4/activities.csv": later,
        "5/persons.csv": persons + "s3,moved@example.com,+49 30 5550003,First3,Last3,DE,Graz,2025-04-04\n",
        "6/orders.csv": orders + "undone,s5,paid,EUR,99.00,2025-12-01,2025-12-01\n",
        "traits/order_total.sql": "-- default: 0\nselect person_id, sum(total) from orders group by 1\n",
    }


def commands(short: bool) -> Iterator[list[str]]:
    """What is run on the lake, one after the other. `LAST_BATCH` and `{query}` stand for what the lake gives."""

    def ingest(provider: str, *names: str) -> list[str]:
        return ["ingest", provider, *(f"in/{name}" for name in names), "--mappings", "in/mappings"]

    def put(key: str, criteria: str, *more: str) -> list[str]:
        return ["segment", "put", key, "--criteria", criteria, *more]

    refresh = ["segment", "refresh", *AS_OF]
    yield ["settings", "currency", "EUR"]
    yield ["settings", "timezone", "Europe/Berlin"]
    yield ingest("shop", "1/persons.csv", "1/orders.csv", "1/activities.csv")
    yield ingest("crm", "2/persons.csv")
    yield ingest("shop", "3/orders.csv")
    yield put("germans", "country = 'DE'")
    # Refreshed only when asked, for a moment that is given: so the day of the run does not matter.
    yield put("buyers", "total_spent > 60", *MANUAL)
    yield put("viewers", "did('page_viewed', within => interval '90 days')", *MANUAL)
    yield put("named", "in_segment('buyers') and not in_segment('germans')", *MANUAL)
    yield ["traits", "apply", "in/traits", *AS_OF]
    yield put("by_trait", "order_total > 50", *MANUAL)
    yield refresh
    # Patches.
    yield ingest("shop", "4/activities.csv")
    yield refresh
    yield ingest("shop", "5/persons.csv")
    yield ingest("shop", "6/orders.csv")
    yield refresh
    yield ["ingest", "undo", LAST_BATCH]
    yield ["identity", "merge", "10", "11"]
    yield ["identity", "review", "decide", "{select identity_id from identities where external_id = 'hx'}", "--same", "2"]
    yield ["identity", "different", "12", "13"]
    yield ["identity", "blocked", "add", "person13@example.com"]
    yield ["suppression", "add", "person12@example.com", "15"]
    yield ["snapshot", "keep", "3", "first"]
    yield refresh
    yield ["person", "erase", "6"]
    yield ["attribution", "run", "--from", "2025-01-01", "--to", "2026-01-01", *AS_OF]
    yield ["segment", "delete", "named"]
    yield ["segment", "refresh", "--full", *AS_OF]
    yield ["compact", "--all"]
    yield ["vacuum"]
    yield ["check"]
    if short:
        return
    yield ["backup", "backup"]
    # Scores need more persons than the others do: in a tenant of its own.
    scored = ["--tenant", "scored"]
    yield ["generate", "--persons", "400", "--seed", "5", "--out", "made"]
    yield [*scored, "ingest", "native", "made"]
    for kind in ["lead", "churn"]:
        yield [*scored, "score", "train", kind, "--as-of", "2025-07-01"]
        yield [*scored, "score", "run", kind, "--as-of", "2025-07-01"]


def run(program: str, folder: pathlib.Path, short: bool) -> None:
    """Runs the commands with a program; its lake comes to lie in `folder/lake`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / BEGAN).write_text(f"{time.time()}\n")
    for name, text in inputs().items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")}
    environment["ROLLBOOK_MASTER_KEY_FILE"] = "master.key"

    def ask(arguments: list[str]) -> str:
        command = [program, "--lake", "lake", "--output", "json", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
        if ended.returncode != 0:
            sys.exit(f"{program} {arguments} failed:\n{ended.stderr}")
        return ended.stdout

    def meant(argument: str) -> str:
        if argument == LAST_BATCH:
            return [one["batch"] for one in json.loads(ask(["snapshots"])) if one["kind"] == "ingest"][-1]
        if argument.startswith("{"):
            [row] = json.loads(ask(["sql", argument.strip("{}")]))
            [value] = row.values()
            return str(value)
        return argument

    for command in commands(short):
        ask([meant(argument) for argument in command])


RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HEX = re.compile(r"(?<![0-9a-z])(?=[0-9a-f]*[a-f])[0-9a-f]{12,}(?![0-9a-z])|(?<![0-9a-z])000[0-9a-f]{13}(?![0-9a-z])")
BATCH = re.compile(r"20\d{6}-[0-9a-f]{6}(?![0-9a-f])")
TIME = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
# Tables whose rows hold something random, and files that hold sealed values: as large as chance makes them.
CHANCE = {"identities", "identity_log", "quarantine", "_vault"}


class Mask:
    """Takes out of texts and numbers what differs from run to run."""

    def __init__(self, since: float):
        self.since = since

    def text(self, text: str) -> str:
        text = BATCH.sub("<batch>", RANDOM.sub("<random>", text))
        return HEX.sub("<hex>", TIME.sub(self.time, text))

    def time(self, found: re.Match) -> str:
        seconds = time.mktime(time.strptime(found[0][:19].replace("T", " "), "%Y-%m-%d %H:%M:%S")) - time.timezone
        return "<time>" if seconds >= self.since - 60 else found[0]

    def number(self, number: float) -> object:
        is_of_run = any(self.since - 60 <= number / unit <= self.since + 86_400 for unit in (1e3, 1e6))
        return "<time>" if is_of_run else number

    def value(self, value: object, chance: bool = False) -> object:
        if isinstance(value, dict):
            masked = {}
            for key, one in value.items():
                inner = chance or key in CHANCE or "_vault/" in key
                masked[self.text(key)] = "<size>" if inner and key == "size" else self.value(one, inner)
            return masked
        if isinstance(value, list):
            return [self.value(one, chance) for one in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            return self.number(value)
        if value.startswith("{"):
            # JSON in JSON, and the lines of a log.
            try:
                return [self.value(json.loads(line), chance) for line in value.splitlines()]
            except ValueError:
                pass
        return self.text(value)


def document(mask: Mask, text: str, chance: bool) -> list[str]:
    """The lines of a JSON document, or of one that has a document in each line."""
    try:
        values = [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in text.splitlines()]
    masked = [mask.value(value, chance) for value in values]
    return [line for value in masked for line in json.dumps(value, indent=1, sort_keys=True).splitlines()]


def rows(mask: Mask, path: pathlib.Path) -> list[str]:
    """Schema, order and rows of a Parquet file; of a sealed value its length."""
    file = parquet.ParquetFile(path)
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    lines = [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in file.schema_arrow]
    lines += [f"row group of {group.num_rows} rows, sorted by {group.sorting_columns}" for group in groups]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    lines += [f"compressed by {codec}" for codec in sorted({column.compression for column in columns})]

    def shown(value: object) -> object:
        if isinstance(value, bytes):
            return f"<{len(value)} bytes>"
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            return mask.number(value)
        if isinstance(value, list):
            return [shown(one) for one in value]
        return mask.text(str(value))

    found = [json.dumps([shown(value) for value in row.values()]) for row in file.read().to_pylist()]
    # Of rows with random ids the order is one of chance.
    return lines + (sorted(found) if CHANCE & set(path.parts) else found)


def contents(mask: Mask, path: pathlib.Path) -> list[str]:
    chance = bool(CHANCE & set(path.parts))
    content = path.read_bytes()
    if path.suffix == ".json" and content.lstrip()[:1] == b"{":
        return document(mask, content.decode(), chance)
    if content[:4] == b"PAR1":
        return rows(mask, path)
    what = hashlib.sha256(content).hexdigest() if path.suffix == ".roaring" else "bytes"
    # Of what is sealed only the length can be compared.
    return [f"{'some' if chance and path.suffix != '.page' else len(content)} {what}"]


def described(folder: pathlib.Path) -> list[str]:
    """What lies below a folder, masked: a line with the name of each file, then what it holds."""
    mask = Mask(float((folder / BEGAN).read_text()))
    files = []
    for path in folder.rglob("*"):
        below = path.relative_to(folder)
        if path.is_file() and below.parts[0] in ("lake", "backup") and "_leases" not in below.parts:
            files.append((mask.text(str(below)), contents(mask, path)))
    assert files, f"nothing lies in {folder}"
    files.sort()
    return [line for name, lines in files for line in [f"== {name}", *(f"  {line}" for line in lines)]]


def pack(folder: pathlib.Path, archive: pathlib.Path) -> None:
    """Packs a lake, its key, and when it was begun."""
    files = [path for path in folder.rglob("*") if path.is_file() and "_leases" not in path.parts]
    files = [path for path in files if path.relative_to(folder).parts[0] in (BEGAN, "master.key", "lake")]
    with tarfile.open(archive, "w:gz", compresslevel=9, format=tarfile.GNU_FORMAT) as packed:
        # Files of one kind beside each other pack well.
        for path in sorted(files, key=lambda path: (path.suffix, path)):
            about = packed.gettarinfo(path, path.relative_to(folder))
            about.uid = about.gid = about.mtime = 0
            about.uname = about.gname = ""
            with path.open("rb") as content:
                packed.addfile(about, content)


def compare(old: list[str], new: list[str], names: list[str]) -> int:
    """Prints what differs, and in which files; how many lines that is."""
    count = 0
    for line in difflib.unified_diff(old, new, *names, n=2, lineterm=""):
        if line.startswith("@@"):
            at = int(line.split()[1].split(",")[0].lstrip("-"))
            line = next((name for name in reversed(old[:at]) if name.startswith("== ")), "==")
        print(line)
        count += line.startswith(("+ ", "- ", "+=", "-="))
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, help="a program, or a folder")
    parser.add_argument("new", type=pathlib.Path, help="another one")
    parser.add_argument("--folder", type=pathlib.Path, help="where the lakes stay")
    parser.add_argument("--short", action="store_true", help="without backup and scores")
    parser.add_argument("--archive", type=pathlib.Path, help="where to pack the folder of OLD")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        descriptions = []
        for name, given in [("old", asked.old), ("new", asked.new)]:
            folder = given
            if not given.is_dir():
                folder = (asked.folder or pathlib.Path(scratch)) / name
                run(str(given.resolve()), folder, asked.short)
            descriptions.append(described(folder))
            if asked.archive and name == "old":
                pack(folder, asked.archive)
    count = compare(*descriptions, [str(asked.old), str(asked.new)])
    print(f"{count} lines differ of {len(descriptions[0])}")
    return 1 if count else 0


end(main())
