"""Resolving records into persons, beside DuckDB on the same ready tokens.

Two million made-up records, three in ten of them further ones of somebody, by the same exact rules
(e-mail, phone, address): ours, in the way of a review and with bridges merged, and connected components by
SQL joins in a loop. Both sides have the tokens in memory before the clock starts; the partitions
are compared before the times. The raw result goes to benches/runs/<date>-<machine>/resolve.json.
"""

import argparse
import json
import sys
import time

from common import ROOT, header, options_of, run, run_process


def main() -> int:
    parser = options_of(__doc__, "a folder to work in", 3)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    return run(parser.parse_args(), compare, print_table, "resolve")


def compare(options: argparse.Namespace) -> dict:
    import duckdb

    result = header("resolve", options.machine, options.rollbook, duckdb=duckdb.__version__)
    result["parameters"] = {"records": options.records, "seed": options.seed}
    options.work.mkdir(parents=True, exist_ok=True)
    tokens = options.work / "tokens.csv"
    ours_of = ["cargo", "bench", "--quiet", "--manifest-path", ROOT / "benches" / "Cargo.toml"]
    ours_of += ["--bench", "resolve", "--"]
    run_process([*ours_of, "make", tokens, options.records, options.seed])
    result["rounds"] = []
    for _ in range(options.rounds):
        said, _ = run_process([*ours_of, "run", tokens])
        ours = json.loads(said)
        theirs = json.loads(run_process([sys.executable, __file__, "--duckdb", tokens])[0])
        if ours["partition"] != theirs["partition"]:
            raise SystemExit(f"the partitions differ: {ours} {theirs}")
        result["rounds"].append({"rollbook": ours, "duckdb": theirs})
    return result


def of_duckdb(tokens: str) -> dict:
    """Connected components: the smallest label of a value goes to all that have it, and labels
    follow their labels, until nothing changes."""
    import duckdb

    db = duckdb.connect()
    db.execute(f"create table records as select * from read_csv('{tokens}')")
    begun = time.perf_counter()
    db.execute("""
        create table carried as
        select id, name, 'e' || email as value from records where email is not null union all
        select id, name, 'p' || phone from records where phone is not null union all
        select id, name, 'a' || address from records where address is not null
    """)
    db.execute("""
        create table edges as
        select id, dense_rank() over (order by value) as value from carried
        where value not in (
            select value from carried group by value having count(distinct name) > 20)
        qualify count(*) over (partition by value) > 1
    """)
    db.execute("create table labels as select id, id as label from records")
    rounds = 0
    while True:
        rounds += 1
        db.execute("""
            create or replace table next as
            with of_value as (
                select edges.value, min(labels.label) as label
                from edges join labels using (id) group by edges.value),
            of_record as (
                select edges.id, min(of_value.label) as label
                from edges join of_value using (value) group by edges.id),
            lowered as (
                select labels.id, least(labels.label, coalesce(of_record.label, labels.label)) as label
                from labels left join of_record using (id))
            select lowered.id, least(lowered.label, far.label) as label
            from lowered join labels far on far.id = lowered.label
        """)
        changed = db.execute(
            "select count(*) from next join labels using (id) where next.label <> labels.label"
        ).fetchone()[0]
        db.execute("drop table labels")
        db.execute("alter table next rename to labels")
        if changed == 0:
            break
    took = time.perf_counter() - begun
    partition = db.execute(
        "select sum((id % 1009 + 1)::hugeint * label) % 1000000007 from labels"
    ).fetchone()[0]
    return {"seconds": took, "loops": rounds, "partition": int(partition)}


def print_table(result: dict) -> None:
    rounds = result["rounds"]
    middle = lambda values: sorted(values)[len(values) // 2]
    merged = middle([one["rollbook"]["merged_seconds"] for one in rounds])
    review = middle([one["rollbook"]["review_seconds"] for one in rounds])
    theirs = middle([one["duckdb"]["seconds"] for one in rounds])
    last = rounds[-1]["rollbook"]
    print(f"{last['records']} records, {last['persons']} persons, {last['waiting']} wait")
    print(f"rollbook, bridges merged   {merged:8.2f} s")
    print(f"rollbook, bridges wait     {review:8.2f} s")
    print(f"duckdb, a loop of joins    {theirs:8.2f} s   {theirs / merged:.1f} times as long")
    print(f"memory                     {last['bytes_per_record_resolved']:8d} bytes a record")
    print(f"values to tokens           {last['tokens_per_second']:8d} a second, one core")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--duckdb"]:
        print(json.dumps(of_duckdb(sys.argv[2])))
        sys.exit(0)
    sys.exit(main())
