"""Previews and pulls of a running server, beside peers and a static file server.

Previews of criteria that nobody asked before, one at a time, against the answers of DuckDB,
ClickHouse and Polars to the same question over the same files; the counts must be the same. Then
all persons are pulled page by page and in one answer: ids, e-mails and hashed e-mails, against a
server of static files that sends the same bytes. At last many clients pull pages at once while rows arrive and
segments are refreshed; every list must be whole. The raw result goes to
benches/runs/<date>-<machine>/asking.json. How to read it: benches/README.md.
"""

import argparse
import http.client
import json
import pathlib
import random
import statistics
import sys

from common import (
    MEGABYTE,
    Failed,
    at_percentile,
    empty_folder,
    header,
    installed,
    lake_files,
    options_of,
    remove,
    run,
    timed,
)
from criteria import AS_OF, segments
from crowd import crowd
from lakes import filled, numbered
from sides import Peer, Server, StaticFiles, ask, post

PAGE = 100_000
MOMENT = f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}"
PEERS = [
    ("duckdb", "joined"),
    ("duckdb", "semijoined"),
    ("chdb", "joined"),
    ("polars", "joined"),
]
EVERYBODY = "/v1/segments/everybody/members"
PULLS = {
    "ids_ndjson": f"{EVERYBODY}?format=ndjson",
    "ids_arrow": f"{EVERYBODY}?format=arrow",
    "emails_ndjson": f"{EVERYBODY}?format=ndjson&fields=email",
    "hashed_emails_ndjson": f"{EVERYBODY}?format=ndjson&fields=email&hash=sha256",
}


def main() -> int:
    parser = options_of(__doc__, "the folder of an earlier run of load.py", 3)
    parser.add_argument("--previews", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--clients", type=int, default=200, help="at once (default 200)")
    parser.add_argument("--seconds", type=int, default=60, help="of the crowd (default 60)")
    parser.add_argument("--seed", type=int, default=2, help="of the criteria (default 2)")
    return run(parser.parse_args(), compare, print_table, "asking")


def compare(options: argparse.Namespace) -> dict:
    lake = options.work / "asked"
    criteria = numbered(segments(random.Random(1), 20)) | {"everybody": "true"}
    command = filled(options, lake, criteria)
    command.refresh(MOMENT, full=False)
    files = lake_files(lake, "persons", "orders", "activities")
    with Server(options.rollbook, lake) as server:
        found = {
            "previews": previews(options, server, files),
            "pulls": pulls(options, server),
            "crowd": crowd(server, command, options.clients, options.seconds),
        }
    remove(lake)
    return {
        **header("asking", options.machine, options.rollbook, installed("duckdb")),
        "parameters": {"previews": options.previews, "seed": options.seed, "page": PAGE},
        **found,
    }


def previews(options: argparse.Namespace, server: Server, files: dict) -> dict:
    """One criteria after the other, on all sides in turns; the first two are not counted."""
    asked = segments(random.Random(options.seed), options.previews + 2)
    peers = {f"{name}_{form}": (Peer(name, files), form) for name, form in PEERS}
    seconds: dict[str, list[float]] = {name: [] for name in ("rollbook", *peers)}
    server.forget_peak()
    try:
        for segment in asked:
            body = {"criteria": segment.rollbook(), "as_of": MOMENT}
            path = "/v1/segments/preview"
            took, (_, content) = timed(lambda: post(server.connection, path, body))
            count = json.loads(content)["count"]
            seconds["rollbook"].append(took)
            for name, (peer, form) in peers.items():
                took, [(theirs, _)] = peer.ask(form, [segment])
                seconds[name].append(took)
                if theirs != count:
                    raise Failed(f"{segment.rollbook()} gives {count} here, {theirs} by {name}")
        peaks = {"rollbook": server.peak()} | {name: of.peak() for name, (of, _) in peers.items()}
    finally:
        for peer, _ in peers.values():
            peer.stop()
    return {
        name: {
            "p50_seconds": at_percentile(times[2:], 50),
            "p95_seconds": at_percentile(times[2:], 95),
            "peak_rss_bytes": peaks[name],
            "seconds": times[2:],
        }
        for name, times in seconds.items()
    }


def pulls(options: argparse.Namespace, server: Server) -> dict:
    """Everybody in each form, in turns with files of the same bytes."""
    folder, found = options.work / "pages", {}
    ways = {name: (pull, path) for name, path in PULLS.items()}
    ways |= {f"{name}_at_once": (pull_at_once, path) for name, path in PULLS.items()}
    for name, (pulled, path) in ways.items():
        server.forget_peak()
        pages = pulled(server.connection, path)
        write(pages, folder)
        sizes = [len(page) for page in pages]
        del pages
        with StaticFiles(folder) as static:
            files = http.client.HTTPConnection(static.address)
            ours, theirs = [], []
            for _ in range(options.rounds):
                ours.append(timed(lambda: pulled(server.connection, path))[0])
                theirs.append(timed(lambda: fetch(files, len(sizes)))[0])
            found[name] = {
                "rollbook": {"seconds": ours, "peak_rss_bytes": server.peak()},
                "static_files": {"seconds": theirs, "peak_rss_bytes": static.peak()},
                "bytes": sum(sizes),
            }
    remove(folder)
    return found


def pull(connection: http.client.HTTPConnection, path: str) -> list[bytes]:
    """All pages, in a form whose token is in a header."""
    pages, token = [], None
    while True:
        extra = "" if token is None else f"&page_token={token}"
        headers, content = ask(connection, "GET", f"{path}&limit={PAGE}{extra}")
        pages.append(content)
        token = headers.get("x-next-page-token")
        if token is None:
            return pages


def pull_at_once(connection: http.client.HTTPConnection, path: str) -> list[bytes]:
    """All in one answer, which is written while it is read."""
    return [ask(connection, "GET", f"{path}&stream=true")[1]]


def fetch(connection: http.client.HTTPConnection, number: int) -> list[bytes]:
    return [ask(connection, "GET", f"/{page}")[1] for page in range(number)]


def write(pages: list[bytes], folder: pathlib.Path) -> None:
    empty_folder(folder)
    for number, page in enumerate(pages):
        (folder / str(number)).write_bytes(page)


def print_table(result: dict) -> None:
    print(f"{'previews':22}{'p50 s':>9}{'p95 s':>9}{'peak MB':>9}")
    for name, one in result["previews"].items():
        p50, p95, peak = one["p50_seconds"], one["p95_seconds"], one["peak_rss_bytes"] / MEGABYTE
        print(f"{name:22}{p50:9.3f}{p95:9.3f}{peak:9,.0f}")
    print(f"\n{'pulls':30}{'s':>9}{'× files':>9}{'peak MB':>9}{'files MB':>9}{'sent MB':>9}")
    for name, one in result["pulls"].items():
        ours, theirs = one["rollbook"], one["static_files"]
        seconds, files = (statistics.median(side["seconds"]) for side in (ours, theirs))
        peaks = (side["peak_rss_bytes"] / MEGABYTE for side in (ours, theirs))
        shown = "".join(f"{peak:9,.0f}" for peak in peaks)
        print(f"{name:30}{seconds:9.3f}{seconds / files:9.1f}{shown}{one['bytes'] / MEGABYTE:9.1f}")
    crowded = result["crowd"]
    print(
        f"\n{crowded['clients']} clients: {crowded['pages']} pages, p50 {crowded['p50_seconds']:.3f} s,"
        f" p99 {crowded['p99_seconds']:.3f} s, peak {crowded['peak_rss_bytes'] / MEGABYTE:,.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
