"""Many clients, each with a pull of its own, while rows come and segments are refreshed."""

import http.client
import json
import threading
import time
import urllib.parse

from common import Failed, at_percentile, timed
from criteria import KINDS
from sides import Command, Server, ask

PAGE = 5_000
SEGMENTS = 20
ROWS = 50


class Seen:
    """What the clients saw."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.wrong: list[str] = []


def crowd(server: Server, command: Command, clients: int, seconds: int) -> dict:
    """Everybody pulls for so long; an error, a torn list or pages of two memberships fail it."""
    seen, stop = Seen(), threading.Event()
    deadline = time.perf_counter() + seconds
    server.forget_peak()
    others = [
        threading.Thread(target=post_rows, args=(server, stop, seen)),
        threading.Thread(target=refresh, args=(command, stop, seen)),
    ]
    pulling = [
        threading.Thread(target=pull_until, args=(server, f"s{n % SEGMENTS}", deadline, seen))
        for n in range(clients)
    ]
    for thread in others + pulling:
        thread.start()
    for thread in pulling:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    if seen.wrong:
        raise Failed(f"{len(seen.wrong)} errors, the first: {seen.wrong[0]}")
    return {
        "clients": clients,
        "pages": len(seen.seconds),
        "p50_seconds": at_percentile(seen.seconds, 50),
        "p99_seconds": at_percentile(seen.seconds, 99),
        "peak_rss_bytes": server.peak(),
    }


def pull_until(server: Server, segment: str, deadline: float, seen: Seen) -> None:
    """Pulls the segment again and again."""
    connection = server.connect()
    try:
        while time.perf_counter() < deadline:
            pull(connection, segment, deadline, seen)
    except (Failed, OSError, http.client.HTTPException) as error:
        seen.wrong.append(str(error))


def pull(connection, segment: str, deadline: float, seen: Seen) -> None:
    """Pulls the segment once, unless the time is over before."""
    path = f"/v1/segments/{segment}/members?format=json&limit={PAGE}"
    members, token, pinned = [], None, set()
    while True:
        extra = "" if token is None else f"&page_token={urllib.parse.quote(token)}"
        seconds, (_, content) = timed(lambda: ask(connection, "GET", path + extra))
        page = json.loads(content)
        seen.seconds.append(seconds)
        members += page["members"]
        token = page["next_page_token"]
        pinned.add((page["snapshot"], page["revision"], page["computed_at"]))
        if token is None or time.perf_counter() > deadline:
            break
    if token is None and (members != sorted(set(members)) or len(members) != page["count"]):
        seen.wrong.append(f"a torn list: {len(members)} of {page['count']}")
    if len(pinned) > 1:
        seen.wrong.append(f"pages of several memberships: {pinned}")


def post_rows(server: Server, stop: threading.Event, seen: Seen) -> None:
    connection, number = server.connect(), 0
    while not stop.is_set():
        rows = "".join(
            f"crowd-{number}-{at},P{number * ROWS + at + 1},{KINDS[at % len(KINDS)]},2026-11-01\n"
            for at in range(ROWS)
        )
        body = f"external_id,person_external_id,type,occurred_at\n{rows}"
        try:
            kind = {"content-type": "text/csv"}
            ask(connection, "POST", "/v1/ingest/native/activities", body, kind)
        except (Failed, OSError, http.client.HTTPException) as error:
            seen.wrong.append(str(error))
            return
        number += 1
        time.sleep(0.5)


def refresh(command: Command, stop: threading.Event, seen: Seen) -> None:
    while not stop.is_set():
        try:
            command.run("segment", "refresh")
        except Failed as error:
            seen.wrong.append(str(error))
            return
        time.sleep(1)
