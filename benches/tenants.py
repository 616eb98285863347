"""Ten tenants on one server, one of them abusive: what the others notice, and whether load is shed.

Connections of nine tenants pull members, read profiles, preview, run SQL and post rows at the pace of people and
programs, first alone, then beside a tenant that asks for whatever it can without a pause. Then everybody asks without a
pause, and one looks how long it takes until the pace is kept again. Needs nothing but Python's own library.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

from common import ROOT, at_percentile, commit, describe_machine, record

KINDS = {"pull": 6, "profile": 6, "preview": 4, "ingest": 2, "sql": 2}
ABUSES = (
    "select count(*) as n from people a join people b on a.person_id % 97 = b.person_id % 89",
    "select type, count(distinct person_id) as n, avg(length(type)) as l from activities group by type",
    "select * from activities order by occurred_at desc, activity_id limit 5000",
)
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    options = arguments()
    work = options.work.resolve()
    if work.exists():
        print(f"error: {work} exists already: name a new folder", file=sys.stderr)
        return 1
    work.mkdir(parents=True)
    try:
        result = asyncio.run(measured(options, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(json.dumps(result, indent=2))
    if not options.no_record:
        record(result, "tenants")
    return 0 if result["kept"] else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=pathlib.Path, help="a new folder for the lake")
    parser.add_argument("--rollbook", type=pathlib.Path, default=ROOT / "target/release/rollbook")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--persons", type=int, default=5000, help="persons of each tenant")
    parser.add_argument("--seconds", type=int, default=60, help="seconds of each phase")
    parser.add_argument("--pause", type=float, default=90.0, help="seconds between the requests of a connection")
    parser.add_argument("--memory-mib", type=int, default=2048)
    parser.add_argument("--machine", help="a label for this machine (default: its processor)")
    parser.add_argument("--no-record", action="store_true", help="do not write to benches/runs")
    return parser.parse_args()


def command(options, work: pathlib.Path, *rest: str) -> str:
    """The output of a command on the lake."""
    line = [str(options.rollbook), "--lake", str(work / "lake"), "--output", "json", *rest]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(rest)}` failed: {done.stderr}")
    return done.stdout


def prepare(options, work: pathlib.Path) -> list[list[str]]:
    """The tenants with data and segments; the tokens of the keys of each."""
    data = work / "data"
    generate = ["generate", "--out", str(data), "--persons", str(options.persons), "--activities",
                str(options.persons * 10), "--orders", str(options.persons * 2)]
    command(options, work, *generate)
    tokens = []
    for n in range(options.tenants):
        tenant = ["--tenant", f"tenant-{n}"]
        command(options, work, *tenant, "ingest", "native", str(data))
        for key, criteria in (("buyers", "order_count >= 1"), ("recent", "did('page_viewed')")):
            command(options, work, *tenant, "segment", "put", key, "--criteria", criteria)
        command(options, work, *tenant, "segment", "refresh")
        keys = max(1, options.connections // options.tenants // 10)
        made = [command(options, work, *tenant, "api-key", "create", "--name", "bench", "--role", "admin",
                        "--tenants", f"tenant-{n}") for _ in range(keys)]
        tokens.append([json.loads(key)["token"] for key in made])
    return tokens


class Seen:
    """What the connections of one phase saw."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.errors: dict[str, int] = {}

    def answered(self, kind: str, seconds: float) -> None:
        self.seconds.setdefault(kind, []).append(seconds)

    def failed(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1

    def figures(self) -> dict:
        every = [one for some in self.seconds.values() for one in some]
        of = lambda times: {
            "answers": len(times),
            "p50_seconds": round(at_percentile(times, 50), 4) if times else None,
            "p99_seconds": round(at_percentile(times, 99), 4) if times else None,
        }
        kinds = {kind: of(times) for kind, times in sorted(self.seconds.items())}
        return {**of(every), "kinds": kinds, "errors": dict(sorted(self.errors.items()))}


class Connection:
    """One connection that asks one thing after the other."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.reader = self.writer = None

    async def ask(self, method: str, path: str, body: str = "", kind: str = "application/json") -> int:
        """The status of the answer, once it is read to its end."""
        is_kept = self.writer is not None
        try:
            return await self.try_ask(method, path, body, kind)
        except ConnectionError:
            # A server closes connections that are idle for long: then one asks again on a new one.
            if not is_kept:
                raise
            return await self.try_ask(method, path, body, kind)

    async def try_ask(self, method: str, path: str, body: str, kind: str) -> int:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = body.encode()
        head = (f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self.token}\r\n"
                f"content-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n")
        try:
            self.writer.write(head.encode() + data)
            await self.writer.drain()
            return await self.read()
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise ConnectionError(str(error)) from error

    async def read(self) -> int:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            while True:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                await self.reader.readexactly(size + 2)
                if size == 0:
                    break
        elif "content-length: " in head:
            await self.reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        if "connection: close" in head:
            self.close()
        return status

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


def request(kind: str, dice: random.Random, persons: int, number: int) -> tuple:
    """Method, path, body and content type of a request."""
    if kind == "pull":
        return "GET", "/v1/segments/buyers/members?limit=1000", "", "application/json"
    if kind == "profile":
        return "GET", f"/v1/persons/{dice.randint(1, persons)}", "", "application/json"
    if kind == "preview":
        body = {"criteria": f"order_count >= {dice.randint(1, 4)} and total_spent > {dice.randint(1, 400)}"}
        return "POST", "/v1/segments/preview", json.dumps(body), "application/json"
    if kind == "ingest":
        rows = f"external_id,country\nbench-{number}-{dice.randint(1, 10**9)},DE\n"
        return "POST", "/v1/ingest/native/persons", rows, "text/csv"
    query = "select country, count(*) as n from people group by country order by n desc limit 10"
    return "POST", "/v1/sql", json.dumps({"query": query}), "application/json"


async def pace(options, connection, number: int, until: float, seen: Seen, pause: float) -> None:
    """Asks at a pace until a time; the first request comes at a random time of the first pause."""
    dice = random.Random(number)
    kinds = [kind for kind, share in KINDS.items() for _ in range(share)]
    await asyncio.sleep(dice.random() * pause)
    while time.monotonic() < until:
        begun = time.monotonic()
        kind = dice.choice(kinds)
        try:
            status = await connection.ask(*request(kind, dice, options.persons, number))
        except ConnectionError:
            seen.failed(f"{kind}: connection")
            continue
        if 200 <= status < 300:
            seen.answered(kind, time.monotonic() - begun)
        else:
            seen.failed(f"{kind}: {status}")
        await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))


async def abuse(connection, number: int, until: float, seen: Seen) -> None:
    """Asks for whatever costs most, without a pause."""
    dice = random.Random(number)
    while time.monotonic() < until:
        begun = time.monotonic()
        try:
            if dice.random() < 0.8:
                body = json.dumps({"query": dice.choice(ABUSES)})
                status = await connection.ask("POST", "/v1/sql", body)
            else:
                status = await connection.ask("GET", "/v1/segments/recent/members?stream=true")
        except ConnectionError:
            seen.failed("connection")
            await asyncio.sleep(0.05)
            continue
        if 200 <= status < 300:
            seen.answered("abuse", time.monotonic() - begun)
        else:
            seen.failed(str(status))
            # Even whoever ignores `retry-after` needs a moment to send again.
            await asyncio.sleep(0.02)


def resident(root: int) -> tuple[int, int]:
    """Resident bytes of a process and of it with its children; the pages of the program count once."""
    parents, own, shared = {}, {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(") ", 1)[1].split()
                pages = pathlib.Path(f"/proc/{entry}/statm").read_text().split()
            except (OSError, IndexError):
                continue
            pid = int(entry)
            parents[pid] = int(stat[1])
            own[pid], shared[pid] = int(pages[1]) - int(pages[2]), int(pages[2])
    pids = [root, *(pid for pid, parent in parents.items() if parent == root)]
    every = sum(own.get(pid, 0) for pid in pids) + max(shared.get(pid, 0) for pid in pids)
    return (own.get(root, 0) + shared.get(root, 0)) * PAGE, every * PAGE


async def watch(root: int, peaks: dict[str, list[int]], now: list[str]) -> None:
    """Keeps the peaks of each phase: of the server, and of it with its workers."""
    while True:
        seen = zip(peaks.get(now[0], (0, 0)), resident(root))
        peaks[now[0]] = [max(pair) for pair in seen]
        await asyncio.sleep(0.1)


async def serve(options, work: pathlib.Path):
    """The server and its port."""
    line = [str(options.rollbook), "--lake", str(work / "lake"), "--memory-mib", str(options.memory_mib),
            "--tenant", "tenant-0", "serve", "--listen", "127.0.0.1:0"]
    server = await asyncio.create_subprocess_exec(*line, stderr=asyncio.subprocess.PIPE)
    while True:
        said = (await server.stderr.readline()).decode()
        if not said:
            raise SystemExit("the server did not start")
        if "http://" in said:
            break

    async def drop() -> None:
        while await server.stderr.readline():
            pass

    asyncio.get_running_loop().create_task(drop())
    return server, int(said.rsplit(":", 1)[1])


async def phase(tasks, until: float) -> None:
    """Runs tasks until a time; what hangs longer than the server may is given up."""
    await asyncio.wait_for(asyncio.gather(*tasks), max(1.0, until - time.monotonic() + 150))


async def measured(options, work: pathlib.Path) -> dict:
    tokens = prepare(options, work)
    server, port = await serve(options, work)
    each = options.connections // options.tenants
    modest = [Connection(port, keys[n % len(keys)]) for keys in tokens[1:] for n in range(each)]
    greedy = [Connection(port, tokens[0][n % len(tokens[0])]) for n in range(each)]
    peaks, now = {}, ["first"]
    watching = asyncio.get_running_loop().create_task(watch(server.pid, peaks, now))

    async def paced(seconds: float, pause: float, abusive: Seen | None) -> Seen:
        seen, until = Seen(), time.monotonic() + seconds
        tasks = [pace(options, one, n, until, seen, pause) for n, one in enumerate(modest)]
        if abusive is not None:
            tasks += [abuse(one, n, until, abusive) for n, one in enumerate(greedy)]
        await phase(tasks, until)
        return seen

    try:
        # Everything is loaded once.
        await paced(min(20, options.seconds), options.pause / 2, None)
        now[0] = "alone"
        alone = await paced(options.seconds, options.pause, None)
        abuses, now[0] = Seen(), "abuse"
        beside = await paced(options.seconds, options.pause, abuses)
        flood, now[0] = Seen(), "flood"
        until = time.monotonic() + options.seconds / 3
        await phase([pace(options, one, n, until, flood, 0.0) for n, one in enumerate(modest + greedy)], until)
        ended = time.monotonic()
        recovery = await recovered(options, modest[:: max(1, len(modest) // 60)], alone, ended)
    finally:
        watching.cancel()
        server.terminate()
        await server.wait()
    return result_of(options, alone, beside, abuses, flood, recovery, peaks)


async def recovered(options, probes, alone: Seen, ended: float) -> float | None:
    """Seconds after the flood until requests of all kinds are answered within twice the p99 of before; `None` if that
    takes longer than 30."""
    limit = 2 * at_percentile([one for some in alone.seconds.values() for one in some], 99)
    while time.monotonic() - ended < 30:
        seen, begun = Seen(), time.monotonic()
        await asyncio.gather(*(pace(options, one, n, begun + 0.1, seen, 0.1) for n, one in enumerate(probes[:10])))
        times = [one for some in seen.seconds.values() for one in some]
        if times and not seen.errors and max(times) <= limit:
            return round(begun - ended, 2)
    return None


def result_of(options, alone, beside, abuses, flood, recovery, peaks) -> dict:
    peak = max(every for _, every in peaks.values())
    first, second = alone.figures(), beside.figures()
    ratio = round(second["p99_seconds"] / first["p99_seconds"], 2)
    limit = (options.memory_mib + 512) << 20
    kept = {
        "others_without_errors": not first["errors"] and not second["errors"],
        "p99_within_twice": ratio <= 2,
        "recovered_within_5_seconds": recovery is not None and recovery <= 5,
        "memory_within_limit": peak <= limit,
    }
    version = subprocess.run([str(options.rollbook), "--version"], capture_output=True, text=True)
    return {
        "bench": "tenants",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(options.machine),
        "versions": {"rollbook": version.stdout.strip(), "rollbook_commit": commit()},
        "connections": options.connections,
        "tenants": options.tenants,
        "persons_of_a_tenant": options.persons,
        "seconds": options.seconds,
        "pause_seconds": options.pause,
        "others_alone": first,
        "others_beside_the_abuse": second,
        "p99_ratio": ratio,
        "abuse": abuses.figures(),
        "flood": flood.figures(),
        "recovered_after_seconds": recovery,
        "peak_resident_bytes": peak,
        "peaks_of_phases": {name: {"server": own, "with_workers": every} for name, (own, every) in peaks.items()},
        "memory_limit_bytes": limit,
        "keeps": kept,
        "kept": all(kept.values()),
    }


if __name__ == "__main__":
    sys.exit(main())
