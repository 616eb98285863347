"""How well `rollbook identity link` finds the records of one person, where the truth is known.

FEBRL 1 to 3 (made-up persons of Australia with typos) by exact rules, with bridges in review and
merged, and with the pairs that the score suggests at 0.9 and above; fake_1000 beside them, by e-mail. Precision and recall are those of
pairs of records. The raw result goes to benches/runs/<date>-<machine>/linking.json.
"""

import argparse
import collections
import csv
import itertools
import pathlib
import sys
import tempfile

from common import BENCHES, MEGABYTE, header, options_of, run, run_process

MAP = BENCHES / "febrl.toml"
FAKE_MAP = BENCHES / "fake_1000.toml"
SUGGEST_AT = 0.9


def main() -> int:
    parser = options_of(__doc__, "the folder with dataset1.csv to dataset3.csv", 1)
    parser.add_argument("--fake", type=pathlib.Path, help="fake_1000.csv, where it is wanted too")
    return run(parser.parse_args(), compare, print_table, "linking")


def compare(options: argparse.Namespace) -> dict:
    result = header("linking", options.machine, options.rollbook, duckdb="not used")
    result["parameters"] = {"rules": 3, "suggested_at": SUGGEST_AT}
    result["sets"] = [
        one_set(options, f"FEBRL {number}", options.work / f"dataset{number}.csv", MAP, of_febrl)
        for number in (1, 2, 3)
    ]
    if options.fake:
        result["sets"].append(one_set(options, "fake_1000", options.fake, FAKE_MAP, of_fake))
    return result


def of_febrl(file: pathlib.Path, ids: list) -> set:
    """The number in a record's id is its person's."""
    return grouped((record, record.split("-")[1]) for record in ids)


def of_fake(file: pathlib.Path, ids: list) -> set:
    """The column `cluster` is the person's."""
    with file.open(encoding="utf-8", newline="") as opened:
        return grouped((row["unique_id"], row["cluster"]) for row in csv.DictReader(opened))


def one_set(options: argparse.Namespace, name: str, file, columns, truth_of) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        pairs = pathlib.Path(folder, "pairs.csv")
        link = [options.rollbook, "identity", "link", file, "--columns", columns, "--output", "csv"]
        review, _ = run_process(link)
        merged, took = run_process([*link, "--bridges", "merge"])
        _, suggesting = run_process([*link, "--suggest", SUGGEST_AT, "--pairs", pairs])
        suggested = {
            ordered(row["id_a"], row["id_b"]) for row in csv.DictReader(pairs.open(encoding="utf-8"))
        }
    rows = list(csv.DictReader(merged.splitlines()))
    truth = truth_of(file, [row["id"] for row in rows])
    exact = linked(merged)
    return {
        "set": name,
        "records": len(rows),
        "pairs": len(truth),
        "review": measures(linked(review), truth),
        "merged": measures(exact, truth),
        "merged_and_suggested": measures(exact | suggested, truth),
        "exact": took,
        "suggesting": suggesting,
    }


def linked(said: str) -> set:
    rows = csv.DictReader(said.splitlines())
    return grouped((row["id"], row["person_id"]) for row in rows if row["person_id"])


def grouped(rows) -> set:
    groups = collections.defaultdict(list)
    for record, person in rows:
        groups[person].append(record)
    pairs = (itertools.combinations(group, 2) for group in groups.values())
    return {ordered(*pair) for pair in itertools.chain.from_iterable(pairs)}


def ordered(a: str, b: str) -> tuple:
    return (a, b) if a < b else (b, a)


def measures(found: set, truth: set) -> dict:
    right = len(found & truth)
    precision, recall = right / max(len(found), 1), right / len(truth)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": round(precision, 5), "recall": round(recall, 5), "f1": round(f1, 5)}


def print_table(result: dict) -> None:
    print("set       rules                   precision   recall       F1")
    for one in result["sets"]:
        for name in ("review", "merged", "merged_and_suggested"):
            found = one[name]
            figures = f"{found['precision']:9.5f} {found['recall']:8.5f} {found['f1']:8.5f}"
            print(f"{one['set']:9} {name:22} {figures}")
        for name in ("exact", "suggesting"):
            took = one[name]
            peak = took["peak_rss_bytes"] / MEGABYTE
            print(f"{one['set']:9} {name}: {took['wall_seconds']:.2f} s, {peak:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
