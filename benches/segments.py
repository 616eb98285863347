"""Refreshes of many segments: rollbook beside DuckDB, ClickHouse and Polars over the same files.

Segments of two to four clauses on what persons did, from a seeded generator, are defined before
anything is taken in. rollbook refreshes them as a command and as a server; each peer answers them
one query each, and all in one. The members must be the same before anything is measured. Then
activities come for one person in a hundred, neighbours first and then anywhere, an hour passes each
time, and only whom that may concern is evaluated; a full refresh right after has to find nothing to
change. At last ten times as many segments are refreshed in full, and both in a pool of 1 GiB.
The raw result goes to benches/runs/<date>-<machine>/segments.json. How to read it: benches/README.md.
"""

import argparse
import datetime
import random
import resource
import statistics
import sys

from common import MEGABYTE, Failed, header, installed, lake_files, options_of, remove, run
from criteria import AS_OF, KINDS, Segment, questions, segments
from lakes import define, filled, numbered, scratch
from sides import Command, Peer, Server

# Engines, and the forms of their queries; the README says what they are.
PEERS = [
    ("duckdb", "joined"),
    ("duckdb", "semijoined"),
    ("duckdb", "fused"),
    ("duckdb", "decoded"),
    ("chdb", "joined"),
    ("chdb", "semijoined"),
    ("chdb", "fused"),
    ("polars", "joined"),
    ("polars", "fused"),
]
# Who takes longer than this takes part in the first rounds only.
SLOW_SECONDS = 20
ROUNDS_OF_SLOW = 2
POOL_MIB = "1024"


def main() -> int:
    parser = options_of(__doc__, "the folder of an earlier run of load.py", 5)
    parser.add_argument("--segments", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the segments (default 1)")
    parser.add_argument("--name", default="segments", help="the record's name (default segments)")
    options = parser.parse_args()
    return run(options, compare, print_table, options.name)


def compare(options: argparse.Namespace) -> dict:
    dice, lake = random.Random(options.seed), options.work / "segmented"
    few = segments(dice, options.segments)
    many = few + segments(dice, 9 * options.segments)
    command = filled(options, lake, numbered(few))
    bounded = Command(options.rollbook, lake, "--memory-mib", POOL_MIB)

    full = beside_peers(options, command, few)
    pool = {"few": [refresh_in_full(bounded)]}
    patched = {"command": patches(options, command, command, 0)}
    with Server(options.rollbook, lake) as server:
        server.warm_up(at(2))
        patched["server"] = patches(options, command, server, 2)
        at_once = server.refreshes_all_at_once
    print("ten times as many segments", file=sys.stderr)
    define(options, command, numbered(many))
    refresh_in_full(command)
    ten_times = ours(options, command, 2)
    pool["many"] = [refresh_in_full(bounded)]
    remove(lake)
    return {
        **header("segments", options.machine, options.rollbook, installed("duckdb")),
        "parameters": {
            "segments": len(few),
            "seed": options.seed,
            "rounds": options.rounds,
            "slow": f"more than {SLOW_SECONDS} s: {ROUNDS_OF_SLOW} rounds",
            "questions": len(questions(few)),
            "server_refreshes": "in one request" if at_once else "in a request for each segment",
            "criteria": [one.rollbook() for one in few],
        },
        # No peak of a command can be seen that is less than this.
        "starting_process_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "full": {name: summed(rounds) for name, rounds in full.items()},
        "ten_times_as_many": {name: summed(rounds) for name, rounds in ten_times.items()},
        "in_a_pool_of_1_gib": {name: summed(rounds) for name, rounds in pool.items()},
        "patched": patched,
    }


def beside_peers(options: argparse.Namespace, command: Command, few: list[Segment]) -> dict:
    """A full refresh by every side, in turns, once all of them agree. What each took, by side."""
    refresh_in_full(command)
    expected = memberships(command, len(few))
    files = lake_files(command.lake, "persons", "orders", "activities")
    peers = {f"{name}_{form}": (Peer(name, files), form) for name, form in PEERS}
    found: dict[str, list] = {}
    try:
        for name, (peer, form) in peers.items():
            print(f"comparing {name}", file=sys.stderr)
            _, members = peer.ask(form, few)
            if form != "decoded":
                same(expected, members, name)
        for number in range(options.rounds):
            print(f"round {number + 1}", file=sys.stderr)
            for name, rounds in ours(options, command, 1).items():
                found.setdefault(name, []).extend(rounds)
            for name, (peer, form) in list(peers.items()):
                seconds, _ = peer.ask(form, few)
                measured = {"wall_seconds": round(seconds, 4), "peak_rss_bytes": peer.peak()}
                found.setdefault(name, []).append(measured)
                if seconds > SLOW_SECONDS and number + 1 == ROUNDS_OF_SLOW:
                    peers.pop(name)[0].stop()
    finally:
        for peer, _ in peers.values():
            peer.stop()
    return found


def ours(options: argparse.Namespace, command: Command, rounds: int) -> dict:
    """Full refreshes by command, by a server that was just started, and by the same one again."""
    found = {"command": [refresh_in_full(command) for _ in range(rounds)]}
    with Server(options.rollbook, command.lake) as server:
        found["server_cold"] = [refresh_in_full(server)]
        server.warm_up(at(0))
        found["server_warm"] = [refresh_in_full(server) for _ in range(2)]
    return found


def refresh_in_full(side: Command | Server) -> dict:
    outcomes, measured = side.refresh(at(0), full=True)
    checked(outcomes)
    return measured


def patches(
    options: argparse.Namespace, command: Command, side: Command | Server, hours: int
) -> dict:
    """Refreshes after activities of one person in a hundred, each with the full one after it."""
    persons = command.rows("select count(*) as n from persons")[0]["n"]
    dice, some = random.Random(options.seed + hours), persons // 100
    chosen = {
        "neighbours": range(persons // 3, persons // 3 + some),
        "anywhere": dice.sample(range(1, persons), some),
    }
    # The copies in order of time are made when they are first asked for.
    _, first = side.refresh(at(hours, seconds=1), full=False)
    found = {"first": {"patch": first}}
    for hour, (name, ids) in enumerate(chosen.items(), hours):
        file = scratch(options) / "activities.csv"
        rows = [
            f"new-{hour}-{number},P{person},{dice.choice(KINDS)},{at(hour, minutes=30)}"
            for number, person in enumerate(ids)
        ]
        columns = "external_id,person_external_id,type,occurred_at"
        file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
        side.ingest(file)
        outcomes, patch = side.refresh(at(hour + 1), full=False)
        checked(outcomes)
        again, full = side.refresh(at(hour + 1), full=True)
        if any(one["entered"] or one["left"] for one in checked(again)):
            raise Failed(f"a full refresh changes what was patched after new rows of {name}")
        found[name] = {
            "patch": patch,
            "full": full,
            "persons_evaluated": sorted({str(one.get("evaluated")) for one in outcomes}),
            "entered": sum(one["entered"] for one in outcomes),
            "left": sum(one["left"] for one in outcomes),
        }
    return found


def at(hours: int, **more: int) -> str:
    """So long after the moment that segments are first computed for."""
    return f"{AS_OF + datetime.timedelta(hours=hours, **more):%Y-%m-%dT%H:%M:%SZ}"


def checked(outcomes: list[dict]) -> list[dict]:
    """What became of the segments, unless one of them failed."""
    for one in outcomes:
        if one.get("status") == "failed":
            raise Failed(f"segment {one['segment']}: {one.get('error')}")
    return outcomes


def memberships(command: Command, number: int) -> list[tuple[int, int]]:
    """The number of members and the sum of their ids for each segment."""
    found = command.rows(
        "select segment, count(*) as n, sum(person_id) as p from segment_members group by segment"
    )
    of = {row["segment"]: (int(row["n"]), int(row["p"])) for row in found}
    return [of.get(f"s{number}", (0, 0)) for number in range(number)]


def same(expected: list, members: list, side: str) -> None:
    for number, (ours, theirs) in enumerate(zip(expected, members, strict=True)):
        if ours != tuple(theirs):
            raise Failed(f"segment s{number} gives {ours} here and {theirs} by {side}")


def summed(rounds: list[dict]) -> dict:
    """The rounds of a side: all times, the middle one, and the largest peak."""
    seconds = [one["wall_seconds"] for one in rounds]
    return {
        "median_seconds": statistics.median(seconds),
        "peak_rss_bytes": max(one["peak_rss_bytes"] for one in rounds),
        "seconds": seconds,
    }


def print_table(result: dict) -> None:
    full = result["full"]
    by_command, by_server = (full[name]["median_seconds"] for name in ("command", "server_warm"))
    print(f"{'':28}{'s':>9}{'peak MB':>9}{'× command':>11}{'× server':>10}")
    rows = dict(full)
    rows |= {f"{name}, ten times": one for name, one in result["ten_times_as_many"].items()}
    rows |= {f"1 GiB, {name}": one for name, one in result["in_a_pool_of_1_gib"].items()}
    for name, one in rows.items():
        seconds, peak = one["median_seconds"], one["peak_rss_bytes"] / MEGABYTE
        ratios = f"{seconds / by_command:11.2f}{seconds / by_server:10.2f}"
        print(f"{name:28}{seconds:9.3f}{peak:9,.0f}{ratios}")
    for side, patched in result["patched"].items():
        for name, one in patched.items():
            patch = one["patch"]
            seconds, peak = patch["wall_seconds"], patch["peak_rss_bytes"] / MEGABYTE
            line = f"{f'patch by {side}, {name}':28}{seconds:9.3f}{peak:9,.0f}"
            if "full" in one:
                whole = one["full"]["wall_seconds"]
                line += f"   {100 * seconds / whole:.0f} % of the full one, {whole:.3f}"
            print(line)
    least = result["starting_process_kib"] * 1024 / MEGABYTE
    print(f"No peak of a command is seen below {least:.0f} MB, that of this script.")
    print(f"The server refreshes {result['parameters']['server_refreshes']}.")


if __name__ == "__main__":
    sys.exit(main())
