"""The sides that comparisons take turns with: rollbook as a command and as a server, and peers.

Each is a process of its own, whose peak of memory is its own. That of a command begins with what
the process that starts it has (`wait4`), so nothing large may be imported here; those of servers
and peers are read from the system (Linux).
"""

import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from common import BENCHES, Failed, run_process
from criteria import Segment, as_data

# Refreshes all segments in one request.
REFRESH_ALL = "/v1/segments/refresh"
# Attempts to see a server answer from memory.
WARMING = 20


class Command:
    """rollbook as a command: every call opens the lake anew."""

    def __init__(self, program: pathlib.Path, lake: pathlib.Path, *flags: str):
        self.lake, self.words = lake, [program, "--lake", lake, *flags]

    def run(self, *words) -> tuple[str, dict]:
        return run_process([*self.words, *words])

    def rows(self, query: str) -> list[dict]:
        said, _ = self.run("sql", query, "--output", "json")
        found = json.loads(said)
        return found["rows"] if isinstance(found, dict) else found

    def ingest(self, *files: pathlib.Path) -> None:
        self.run("ingest", "native", *files)

    def refresh(self, as_of: str, full: bool) -> tuple[list[dict], dict]:
        """All segments: what became of each, and what that took."""
        flags = ["--full"] if full else []
        said, measured = self.run("segment", "refresh", "--as-of", as_of, "--output", "json", *flags)
        return json.loads(said), measured


class Process:
    """A program that goes on running and is spoken to."""

    def __init__(self, command: list, **streams):
        self.complaints = tempfile.TemporaryFile("w+")
        words = [str(part) for part in command]
        streams = {"stdin": subprocess.DEVNULL, "stderr": self.complaints, **streams}
        self.process = subprocess.Popen(words, cwd=BENCHES, text=True, **streams)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def peak(self) -> int:
        """The most memory that it had resident since `forget_peak`, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        """Lets the peak begin with what is resident now."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="utf-8")

    def failed(self, doing: str) -> Failed:
        self.complaints.seek(0)
        return Failed(f"{doing}: the process ended:\n{self.complaints.read()[-2000:]}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Peer(Process):
    """An engine with the files of a lake open, in one of `benches/peers/*_segments.py`."""

    def __init__(self, name: str, files: dict[str, list[str]]):
        self.name = name
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        super().__init__([sys.executable, "-m", f"peers.{name}_segments"], **pipes)
        self.say(files)

    def say(self, what) -> None:
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failed(self.name) from None

    def ask(self, form: str, segments: list[Segment]) -> tuple[float, list]:
        """Seconds by its own clock, and the number of members and sum of their ids for each."""
        self.say({"form": form, "segments": as_data(segments)})
        line = self.process.stdout.readline()
        if not line:
            raise self.failed(f"{self.name}, {form}")
        answered = json.loads(line)
        return answered["seconds"], answered["found"]

    def stop(self) -> None:
        """Its input ends, and so does it; a query that still runs is not waited for."""
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            super().stop()


class Server(Process):
    """rollbook as a server on a lake."""

    def __init__(self, program: pathlib.Path, lake: pathlib.Path):
        command = [program, "--lake", lake, "serve", "--listen", "127.0.0.1:0"]
        super().__init__(command, stderr=subprocess.PIPE)
        self.address = None
        for line in self.process.stderr:
            self.complaints.write(line)
            if "http://" in line:
                self.address = line.split("http://")[1].strip()
                break
        if self.address is None:
            raise self.failed("serve")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.connection = self.connect()
        _, document = ask(self.connection, "GET", "/openapi.json")
        self.refreshes_all_at_once = REFRESH_ALL in json.loads(document)["paths"]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=600)

    def kept_answers(self) -> int:
        """How many questions were answered from what it keeps in memory."""
        _, metrics = ask(self.connection, "GET", "/metrics")
        lines = metrics.decode().splitlines()
        counts = [line.split()[1] for line in lines if line.startswith("rollbook_kept_answers ")]
        return int(counts[0]) if counts else 0

    def warm_up(self, as_of: str) -> None:
        """Refreshes until that is answered from memory."""
        before = self.kept_answers()
        for _ in range(WARMING):
            self.refresh(as_of, full=True)
            if self.kept_answers() > before:
                return
            time.sleep(1)
        print("the server keeps nothing in memory", file=sys.stderr)

    def ingest(self, file: pathlib.Path) -> None:
        path, kind = f"/v1/ingest/native/{file.stem}", {"content-type": "text/csv"}
        ask(self.connection, "POST", path, file.read_bytes(), kind)

    def refresh(self, as_of: str, full: bool) -> tuple[list[dict], dict]:
        """As a command does it; the peak is that of this refresh, with what was resident before."""
        paths = [REFRESH_ALL]
        if not self.refreshes_all_at_once:
            _, listed = ask(self.connection, "GET", "/v1/segments")
            paths = [f"/v1/segments/{one['key']}/refresh" for one in json.loads(listed)]
        body = {"as_of": as_of, "full": full}
        self.forget_peak()
        begun = time.perf_counter()
        answers = [post(self.connection, path, body)[1] for path in paths]
        wall = time.perf_counter() - begun
        measured = {"wall_seconds": round(wall, 4), "peak_rss_bytes": self.peak()}
        outcomes = [json.loads(one) for one in answers]
        return outcomes[0] if self.refreshes_all_at_once else outcomes, measured


class StaticFiles(Process):
    """A server of the files in a folder."""

    def __init__(self, folder: pathlib.Path):
        script = BENCHES / "peers" / "static_files.py"
        super().__init__([sys.executable, script, folder.resolve()], stdout=subprocess.PIPE)
        port = self.process.stdout.readline().strip()
        if not port:
            raise self.failed("static files")
        self.address = f"127.0.0.1:{port}"


def ask(connection, method: str, path: str, body=None, headers=None) -> tuple[dict, bytes]:
    """One request: the headers of the answer, and its content."""
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise Failed(f"{method} {path}: {answer.status} {content[:300]!r}")
    return dict(answer.getheaders()), content


def post(connection, path: str, body: dict) -> tuple[dict, bytes]:
    return ask(connection, "POST", path, json.dumps(body), {"content-type": "application/json"})
