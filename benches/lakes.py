"""A lake with the input of load.py and generated segments, which are computed when asked for."""

import argparse
import itertools
import pathlib
import sys

from common import Failed, empty_folder, remove
from criteria import Segment
from load import prepare
from sides import Command


def input_files(options: argparse.Namespace) -> list[pathlib.Path]:
    """What load.py left in the folder; with `--small` it is made where there is none."""
    source = options.work / "input"
    files = [source / "persons.csv", source / "orders.csv", source / "first" / "activities.csv"]
    if not all(file.is_file() for file in files):
        if not options.small:
            raise Failed(f"there is no input in `{source}`: run load.py with that folder before")
        options.work.mkdir(parents=True, exist_ok=True)
        wanted = {**vars(options), "seed": 1, "reuse_input": False}
        prepare(argparse.Namespace(**wanted), source)
    return files


def filled(options: argparse.Namespace, lake: pathlib.Path, criteria: dict[str, str]) -> Command:
    """A lake with these segments, defined while there are few persons to try them on."""
    files = input_files(options)
    remove(lake)
    command = Command(options.rollbook, lake)
    print("defining segments, taking everything in", file=sys.stderr)
    few = scratch(options) / "persons.csv"
    with files[0].open(encoding="utf-8") as whole:
        few.write_text("".join(itertools.islice(whole, 10)), encoding="utf-8")
    command.ingest(few)
    define(options, command, criteria)
    command.ingest(*files)
    return command


def define(options: argparse.Namespace, command: Command, criteria: dict[str, str]) -> None:
    """Makes the lake have these segments and no others."""
    folder = options.work / "definitions"
    empty_folder(folder)
    for key, text in criteria.items():
        (folder / f"{key}.sql").write_text(f"-- refresh: manual\n{text}\n", encoding="utf-8")
    command.run("segment", "apply", folder)
    remove(folder)


def numbered(segments: list[Segment]) -> dict[str, str]:
    """Criteria by key: s0, s1 and on."""
    return {f"s{number}": segment.rollbook() for number, segment in enumerate(segments)}


def scratch(options: argparse.Namespace) -> pathlib.Path:
    """A folder for files that are taken in."""
    folder = options.work / "few"
    folder.mkdir(exist_ok=True)
    return folder
