"""Previews and pulls of a running server, beside DuckDB and a static file server.

Previews of criteria that nobody asked before, one at a time, against DuckDB's answer to the same
question over the same files; the counts must be the same. Then all persons are pulled page by page
as ids, and with hashed e-mails, against a server of static files that sends the same bytes. At last
many clients pull pages at once while rows arrive and segments are refreshed; every list must be
whole. The raw result goes to benches/runs/<date>-<machine>/asking.json.
"""

import argparse
import http.client
import http.server
import json
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

from common import MEGABYTE, Failed, header, lake_rows, options_of, remove, run, run_process
from segments import AS_OF, KINDS, Segment, query

PAGE = 100_000


def main() -> int:
    parser = options_of(__doc__, "the folder of an earlier run of load.py", 3)
    parser.add_argument("--previews", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--clients", type=int, default=200, help="at once (default 200)")
    parser.add_argument("--seed", type=int, default=2, help="of the criteria (default 2)")
    return run(parser.parse_args(), compare, print_table, "asking")


class Server:
    """A server of rollbook's on a lake."""

    def __init__(self, options: argparse.Namespace, lake: pathlib.Path):
        command = [options.rollbook, "--lake", lake, "serve", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "http://" in line:
                self.address = line.split("http://")[1].strip()
                break
        drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        drain.start()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=300)

    def peak(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def ask(connection, method: str, path: str, body=None) -> tuple[dict, bytes]:
    headers = {"content-type": "application/json"} if body is not None else {}
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise Failed(f"{method} {path}: {answer.status} {content[:300]!r}")
    return dict(answer.getheaders()), content


def pull(connection, path: str) -> list[bytes]:
    """All pages, in a form whose token is in a header."""
    pages, token = [], None
    while True:
        extra = "" if token is None else f"&page_token={token}"
        headers, content = ask(connection, "GET", f"{path}&limit={PAGE}{extra}")
        pages.append(content)
        token = headers.get("x-next-page-token")
        if token is None:
            return pages


def timed(work) -> tuple[float, object]:
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def previews(options, server: Server, duckdb_connection) -> dict:
    dice = random.Random(options.seed)
    segments = [Segment(dice) for _ in range(options.previews)]
    connection = server.connect()
    ours, theirs = [], []
    for segment in segments:
        body = {"criteria": segment.rollbook, "as_of": AS_OF}
        seconds, (_, content) = timed(lambda: ask(connection, "POST", "/v1/segments/preview", body))
        ours.append(seconds)
        seconds, row = timed(lambda: duckdb_connection.execute(query([segment])).fetchone())
        theirs.append(seconds)
        count = json.loads(content)["count"]
        if count != row[0]:
            raise Failed(f"{segment.rollbook} gives {count} here and {row[0]} in DuckDB")
    return {"rollbook": ours, "duckdb": theirs}


def static(pages: list[bytes]) -> tuple[http.server.ThreadingHTTPServer, str]:
    class Pages(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            page = pages[int(self.path[1:])]
            self.send_response(200)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    return serving, f"127.0.0.1:{serving.server_address[1]}"


def pulls(options, server: Server) -> dict:
    found = {}
    for name, path in {
        "ids_ndjson": "/v1/segments/everybody/members?format=ndjson",
        "ids_arrow": "/v1/segments/everybody/members?format=arrow",
        "hashed_emails_ndjson": "/v1/segments/everybody/members?format=ndjson"
        "&fields=email&hash=sha256",
    }.items():
        connection = server.connect()
        pages = pull(connection, path)
        serving, address = static(pages)
        files = http.client.HTTPConnection(address)

        def all_files():
            for number in range(len(pages)):
                ask(files, "GET", f"/{number}")

        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(timed(lambda: pull(connection, path))[0])
            theirs.append(timed(all_files)[0])
        serving.shutdown()
        found[name] = {
            "rollbook": ours,
            "static_files": theirs,
            "bytes": sum(len(page) for page in pages),
            "peak_rss_bytes": server.peak(),
        }
    return found


def crowd(options, server: Server, lake: pathlib.Path) -> dict:
    """Many clients, each with a pull of its own, while rows come and segments are refreshed."""
    times, wrong, stop = [], [], threading.Event()
    lock = threading.Lock()
    deadline = time.perf_counter() + 60

    def client(number: int) -> None:
        connection = server.connect()
        path = f"/v1/segments/s{number % 20}/members?format=json&limit=5000"
        while time.perf_counter() < deadline:
            members, token, count, pinned = [], None, None, set()
            while True:
                extra = "" if token is None else f"&page_token={urllib.parse.quote(token)}"
                try:
                    seconds, (_, content) = timed(lambda: ask(connection, "GET", path + extra))
                except (Failed, OSError, http.client.HTTPException) as error:
                    with lock:
                        wrong.append(str(error))
                    return
                page = json.loads(content)
                with lock:
                    times.append(seconds)
                members += page["members"]
                count, token = page["count"], page["next_page_token"]
                pinned.add((page["snapshot"], page["revision"], page["computed_at"]))
                if token is None or time.perf_counter() > deadline:
                    break
            if token is None and (members != sorted(set(members)) or len(members) != count):
                with lock:
                    wrong.append(f"a torn list: {len(members)} of {count}")
            if len(pinned) > 1:
                with lock:
                    wrong.append(f"pages of several memberships: {pinned}")

    def writer() -> None:
        connection, number = server.connect(), 0
        while not stop.is_set():
            rows = "external_id,person_external_id,type,occurred_at\n" + "".join(
                f"crowd-{number}-{at},P{number * 50 + at + 1},{KINDS[at % len(KINDS)]},2026-11-01\n"
                for at in range(50)
            )
            connection.request(
                "POST", "/v1/ingest/native/activities", rows, {"content-type": "text/csv"}
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                wrong.append(f"a post is answered with {answer.status}")
            number += 1
            time.sleep(0.5)

    def refresher() -> None:
        command = [options.rollbook, "--lake", lake, "segment", "refresh"]
        while not stop.is_set():
            run_process(command)
            time.sleep(1)

    others = [threading.Thread(target=writer), threading.Thread(target=refresher)]
    clients = [threading.Thread(target=client, args=(n,)) for n in range(options.clients)]
    for thread in others + clients:
        thread.start()
    for thread in clients:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    if wrong:
        raise Failed(f"{len(wrong)} errors, the first: {wrong[0]}")
    times.sort()
    return {
        "clients": options.clients,
        "pages": len(times),
        "p50_seconds": times[len(times) // 2],
        "p99_seconds": times[len(times) * 99 // 100],
        "peak_rss_bytes": server.peak(),
    }


def compare(options: argparse.Namespace) -> dict:
    import duckdb

    source, lake = options.work / "input", options.work / "asked"
    files = [source / "persons.csv", source / "orders.csv", source / "first" / "activities.csv"]
    if not all(file.is_file() for file in files):
        raise Failed(f"there is no input in `{source}`: run load.py with that folder before")
    remove(lake)
    command = [options.rollbook, "--lake", lake]
    print("taking everything in", file=sys.stderr)
    run_process([*command, "ingest", "native", *files])
    dice = random.Random(1)
    folder = options.work / "asked-definitions"
    folder.mkdir(exist_ok=True)
    for number in range(20):
        text = f"-- refresh: manual\n{Segment(dice).rollbook}\n"
        (folder / f"s{number}.sql").write_text(text, encoding="utf-8")
    (folder / "everybody.sql").write_text("-- refresh: manual\ntrue\n", encoding="utf-8")
    run_process([*command, "segment", "apply", folder])
    run_process([*command, "segment", "refresh", "--as-of", AS_OF])
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for table in ("persons", "orders", "activities"):
        connection.execute(f"create view {table} as select * from {lake_rows(lake, table)}")
    server = Server(options, lake)
    try:
        previews(argparse.Namespace(seed=99, previews=2), server, connection)
        found = {
            "previews": previews(options, server, connection),
            "pulls": pulls(options, server),
            "crowd": crowd(options, server, lake),
        }
    finally:
        server.stop()
    remove(lake)
    remove(folder)
    return {
        **header("asking", options.machine, options.rollbook, duckdb.__version__),
        "parameters": {"previews": options.previews, "seed": options.seed, "page": PAGE},
        **found,
    }


def print_table(result: dict) -> None:
    for name, times in result["previews"].items():
        times = sorted(times)
        p95 = times[len(times) * 95 // 100]
        print(f"preview, {name:10} p50 {statistics.median(times):7.3f} s, p95 {p95:7.3f} s")
    for name, one in result["pulls"].items():
        ours, theirs = statistics.median(one["rollbook"]), statistics.median(one["static_files"])
        size = one["bytes"] / MEGABYTE
        print(f"{name:22}{ours:7.3f} s, {ours / theirs:5.1f} of static files, {size:.0f} MB")
    crowded = result["crowd"]
    print(
        f"{crowded['clients']} clients: {crowded['pages']} pages, p50 {crowded['p50_seconds']:.3f} s, "
        f"p99 {crowded['p99_seconds']:.3f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
