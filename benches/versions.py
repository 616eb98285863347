"""Two programs over the same input, in turns: has a change made anything slower?

Each program takes the same files into a lake of its own, with the same segments. Once the members
are the same, both refresh the segments in full (as a command, as a server that was just started, and
as one that answers from memory), preview criteria that nobody asked before, read columns in SQL, and
refresh after activities of one person in a hundred. Who goes first alternates. The raw result goes to
benches/runs/<date>-<machine>/versions.json. How to read it: benches/README.md.
"""

import argparse
import contextlib
import itertools
import pathlib
import random
import statistics
import sys

from common import Failed, check_programs, header, input_options, installed, options_of, remove, run
from common import run_process, timed
from criteria import KINDS, segments
from lakes import define, numbered
from scan import QUERIES
from segments import at, checked, memberships
from sides import Command, Server, post

TABLES = ("persons", "orders", "activities")
# The first questions to a server that was just warmed up are not counted.
UNCOUNTED = 2


def main() -> int:
    parser = options_of(__doc__, "a folder for input and lakes, about 6 GB", 5)
    input_options(parser, 8_000_000)
    parser.set_defaults(persons=400_000, orders=1_200_000)
    parser.add_argument("--before", type=pathlib.Path, required=True, help="the program to compare with")
    parser.add_argument("--segments", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--previews", type=int, default=40, help="in each round (default 40)")
    return run(parser.parse_args(), compare, print_table, "versions")


def compare(options: argparse.Namespace) -> dict:
    options.before = check_programs(options.before)
    options.work.mkdir(parents=True, exist_ok=True)
    files = input_files(options)
    few = segments(random.Random(1), options.segments)
    programs = {"before": options.before, "after": options.rollbook}
    commands = {side: filled(options, side, program, files, few) for side, program in programs.items()}
    for command in commands.values():
        checked(command.refresh(at(0), full=True)[0])
    before, after = (memberships(command, len(few)) for command in commands.values())
    if before != after:
        raise Failed("the two programs find different members")
    times = Times()
    for number in range(options.rounds):
        print(f"round {number + 1}", file=sys.stderr)
        for side in in_turn(commands, number):
            alone(times, side, commands[side], programs[side])
        with contextlib.ExitStack() as stack:
            servers = {
                side: stack.enter_context(Server(programs[side], command.lake))
                for side, command in commands.items()
            }
            ask(options, times, servers, number)
        patch(options, times, commands, programs, number)
    for command in commands.values():
        remove(command.lake)
    return {
        **header("versions", options.machine, options.rollbook, installed("duckdb")),
        "before": run_process([options.before, "--version"])[0].strip(),
        "parameters": {
            name: vars(options)[name]
            for name in ("persons", "orders", "activities", "segments", "previews", "rounds")
        },
        "members": sum(number for number, _ in after),
        "seconds": times.of,
    }


class Times:
    """Seconds by what was done and by side."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, list[float]]] = {}

    def note(self, what: str, side: str, seconds: float) -> None:
        self.of.setdefault(what, {}).setdefault(side, []).append(round(seconds, 5))


def in_turn(sides, number: int) -> list[str]:
    """Who went first goes last in the next round."""
    return list(sides) if number % 2 == 0 else list(sides)[::-1]


def input_files(options: argparse.Namespace) -> list[pathlib.Path]:
    """The generated input, made where the folder has none or another is wanted."""
    source = options.work / "input"
    files = [source / f"{table}.csv" for table in TABLES]
    if not (options.reuse_input and all(file.is_file() for file in files)):
        remove(source)
        sizes = {"persons": options.persons, "orders": options.orders}
        sizes |= {"activities": options.activities, "seed": options.seed, "deals": 0}
        flags = itertools.chain.from_iterable((f"--{name}", size) for name, size in sizes.items())
        run_process([options.before, "generate", "--out", source, *flags])
    return files


def filled(
    options: argparse.Namespace, side: str, program: pathlib.Path, files: list[pathlib.Path], few: list
) -> Command:
    """A lake of this program, its segments defined while there are few persons to try them on."""
    lake = options.work / f"lake_{side}"
    remove(lake)
    command = Command(program, lake)
    folder = options.work / "few"
    folder.mkdir(exist_ok=True)
    with files[0].open(encoding="utf-8") as whole:
        (folder / "persons.csv").write_text("".join(itertools.islice(whole, 10)), encoding="utf-8")
    command.ingest(folder / "persons.csv")
    define(options, command, numbered(few))
    command.ingest(*files)
    return command


def alone(times: Times, side: str, command: Command, program: pathlib.Path) -> None:
    """Full refreshes by a command, and by a server that was just started."""
    # The first one finds files and program out of memory, as the other side left them: it is not counted.
    command.refresh(at(0), full=True)
    for _ in range(3):
        seconds = command.refresh(at(0), full=True)[1]["wall_seconds"]
        times.note("full refresh by command", side, seconds)
    with Server(program, command.lake) as server:
        cold = server.refresh(at(0), full=True)[1]["wall_seconds"]
        times.note("full refresh by a fresh server", side, cold)


def ask(options: argparse.Namespace, times: Times, servers: dict[str, Server], number: int) -> None:
    """What two servers answer from memory, one question after the other in turns: what disturbs the machine
    disturbs both."""
    for server in servers.values():
        server.warm_up(at(0))
        server.refresh(at(0), full=True)
    for turn in range(6):
        for side in in_turn(servers, turn):
            warm = servers[side].refresh(at(0), full=True)[1]["wall_seconds"]
            times.note("full refresh from memory", side, warm)
    asked = segments(random.Random(2 + number), options.previews + UNCOUNTED)
    for place, segment in enumerate(asked):
        body = {"criteria": segment.rollbook(), "as_of": at(0)}
        for side in in_turn(servers, place):
            seconds, _ = timed(lambda: post(servers[side].connection, "/v1/segments/preview", body))
            if place >= UNCOUNTED:
                times.note("preview", side, seconds)
    for name, query in QUERIES.items():
        for place in range(5):
            for side in in_turn(servers, place):
                seconds, _ = timed(lambda: post(servers[side].connection, "/v1/sql", {"query": query}))
                if place > 0:
                    times.note(f"SQL, {name}", side, seconds)


def patch(options: argparse.Namespace, times: Times, commands: dict, programs: dict, number: int) -> None:
    """The same new activities on both sides, and what a server takes to refresh after them."""
    persons = int(commands["before"].rows("select count(*) as n from persons")[0]["n"])
    some = persons // 100
    for order, kind in enumerate(("neighbours", "anywhere")):
        hour = 1 + 2 * number + order
        dice, first = random.Random(hour), persons // 3 + number * some
        near = range(first, first + some)
        ids = near if kind == "neighbours" else dice.sample(range(1, persons), some)
        rows = [
            f"new-{hour}-{place},P{person},{dice.choice(KINDS)},{at(hour, minutes=30)}"
            for place, person in enumerate(ids)
        ]
        file = options.work / "few" / "activities.csv"
        columns = "external_id,person_external_id,type,occurred_at"
        file.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
        for side in in_turn(commands, number):
            with Server(programs[side], commands[side].lake) as server:
                server.warm_up(at(hour))
                server.refresh(at(hour, seconds=1), full=False)
                times.note(f"post, {kind}", side, timed(lambda: server.ingest(file))[0])
                outcomes, measured = server.refresh(at(hour + 1), full=False)
                checked(outcomes)
                times.note(f"patch, {kind}", side, measured["wall_seconds"])
                again, measured = server.refresh(at(hour + 1), full=True)
                if any(one["entered"] or one["left"] for one in checked(again)):
                    raise Failed(f"a full refresh changes what `{side}` patched ({kind})")


def print_table(result: dict) -> None:
    print(f"{'median seconds':34}{'before':>10}{'after':>10}{'ratio':>8}{'least':>8}")
    for name, sides in result["seconds"].items():
        before, after = (statistics.median(sides[side]) for side in ("before", "after"))
        least = min(sides["after"]) / min(sides["before"])
        print(f"{name:34}{before:10.4f}{after:10.4f}{after / before:8.2f}{least:8.2f}")


if __name__ == "__main__":
    sys.exit(main())
