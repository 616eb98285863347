"""What the comparisons share: running a program and measuring it, the machine, the record."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

BENCHES = pathlib.Path(__file__).resolve().parent
ROOT = BENCHES.parent
MEGABYTE = 1_000_000
# What `--small` makes of the options: enough to try everything in a minute or two.
SMALL = {
    "persons": 20_000,
    "orders": 60_000,
    "activities": 400_000,
    "rounds": 1,
    "segments": 10,
    "previews": 8,
    "clients": 20,
    "seconds": 5,
}


def run(options: argparse.Namespace, compare, print_table, name: str) -> int:
    """A whole comparison: measured, shown, and kept unless that is not wanted."""
    try:
        options.rollbook = check_programs(options.rollbook)
        options.work = options.work.resolve()
        result = compare(options)
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    print_table(result)
    if options.no_record:
        print("\nnot recorded, as asked for")
    else:
        record(result, name)
    return 0


def options_of(description: str, work: str, rounds: int) -> argparse.ArgumentParser:
    """The options that all comparisons have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("work", type=pathlib.Path, help=work)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"measured rounds (default {rounds})"
    )
    parser.add_argument(
        "--rollbook",
        type=pathlib.Path,
        default=ROOT / "target" / "release" / "rollbook",
        help="the program (default target/release/rollbook)",
    )
    parser.add_argument("--machine", help="a label for this machine (default: its processor)")
    parser.add_argument("--no-record", action="store_true", help="do not write to benches/runs")
    parser.add_argument(
        "--small", nargs=0, default=False, action=Small, help="little input and one round, to try it"
    )
    return parser


class Small(argparse.Action):
    """An option that sets others; what is said after it counts."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        vars(namespace).update(SMALL, small=True)


def input_options(parser: argparse.ArgumentParser, activities: int) -> None:
    """The options of those that generate their input."""
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, default=3_000_000)
    parser.add_argument("--activities", type=int, default=activities)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--reuse-input", action="store_true", help="take the input of an earlier run from WORK"
    )


class Failed(Exception):
    """A run that cannot give a result, with what to do about it."""


def check_programs(program: pathlib.Path) -> pathlib.Path:
    """The program's whole path, once everything that a comparison needs is there."""
    if not program.is_file():
        raise Failed(f"`{program}` is not there; build it with `cargo build --release`")
    for module in ("duckdb", "deltalake"):
        if installed(module) is None:
            raise Failed(
                f"Python has no `{module}`; run `pip install -r benches/peers/requirements.txt`"
                " in a virtual environment and start this script with its python"
            )
    return program.resolve()


def installed(module: str) -> str | None:
    """The version of a Python package."""
    from importlib import metadata

    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return None


def run_process(command: list) -> tuple[str, dict]:
    """Runs a program to its end: what it said, and what it took."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=said, stderr=complaints
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.kill()
            raise
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complaints.seek(0)
        if process.returncode != 0:
            shown = " ".join(str(part) for part in command)
            raise Failed(f"`{shown}` ended with {process.returncode}:\n{complaints.read()[-2000:]}")
        # Linux counts the peak in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        measured = {
            "wall_seconds": round(wall, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_rss_bytes": usage.ru_maxrss * unit,
        }
        return said.read(), measured


def ask_duckdb(*statements: str) -> list:
    """The rows of the last statement. In a process of its own: what a measured one takes in memory
    begins with what the process that starts it has."""
    script = BENCHES / "peers" / "duckdb_ask.py"
    said, _ = run_process([sys.executable, script, *statements])
    return json.loads(said)


def timed(work) -> tuple[float, object]:
    """The seconds that something took, and what it gave."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def at_percentile(seconds: list[float], percent: int) -> float:
    """The least of the times that so many percent of them do not go above."""
    return sorted(seconds)[max(0, -(-len(seconds) * percent // 100) - 1)]


def settle(files: list[pathlib.Path]) -> None:
    """Before a run: nothing waits to be written, and the input is in memory for either side."""
    os.sync()
    for file in files:
        with file.open("rb") as opened:
            while opened.read(8 << 20):
                pass


def flush() -> dict:
    """After a run: how long the disk takes for what the process left unwritten."""
    begun = time.perf_counter()
    os.sync()
    return {"sync_seconds": round(time.perf_counter() - begun, 3)}


def size(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def empty_folder(folder: pathlib.Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)


def remove(folder: pathlib.Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def commit() -> str | None:
    """The commit that the working tree stands on; `+` where it was changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def describe_machine(label: str | None) -> dict:
    model = processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    label = label or f"{model}-{cores}-cores"
    return {
        "label": re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-"),
        "processor": model,
        "cores": cores,
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor() -> str:
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1]
                return re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*", "", name).strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def lake_files(lake: pathlib.Path, *tables: str) -> dict[str, list[str]]:
    """The files of tables as the Delta log names them. Read in a process of its own, as
    everything that would make this one larger."""
    script = BENCHES / "peers" / "lake_files.py"
    said, _ = run_process([sys.executable, script, lake.resolve(), *tables])
    return json.loads(said)


def lake_rows(lake: pathlib.Path, table: str) -> str:
    """The rows of a table as DuckDB reads them, over the files that the Delta log names."""
    files = lake_files(lake, table)[table]
    return f"read_parquet([{', '.join(quoted(name) for name in files)}])"


def quoted(path) -> str:
    """The path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def header(bench: str, machine: str | None, program: pathlib.Path, duckdb: str) -> dict:
    """What every record begins with."""
    said, _ = run_process([program, "--version"])
    return {
        "bench": bench,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": describe_machine(machine),
        "versions": {
            "rollbook": said.split()[-1],
            "rollbook_commit": commit(),
            "duckdb": duckdb,
            "deltalake": installed("deltalake"),
            "chdb": installed("chdb"),
            "polars": installed("polars"),
            "python": platform.python_version(),
        },
    }


def record(result: dict, name: str) -> None:
    """Keeps a result under its date and machine."""
    folder = BENCHES / "runs" / f"{result['date']}-{result['machine']['label']}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nrecorded in {path.relative_to(ROOT)}")
