"""The loop of a peer: questions in, a line each; what was found and how long it took out.

A peer is a process of its own, so that its memory is its own, and it keeps the time itself, so that
starting it is not counted. The first line of its input names the files of each table.
"""

import json
import sys
import time
from collections.abc import Callable

from criteria import Segment, of_data

# From segments to the number of members and the sum of their ids, for each.
Form = Callable[[list[Segment]], list]


def answer(open_files: Callable[[dict[str, list[str]]], dict[str, Form]]) -> None:
    """Opens the files, then answers in the form that each request asks for, until the input ends."""
    forms = open_files(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        request = json.loads(line)
        segments = of_data(request["segments"])
        begun = time.perf_counter()
        found = forms[request["form"]](segments)
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "found": found}), flush=True)


def paired(row) -> list:
    """The columns of a fused query, two for each segment."""
    whole = [int(value) for value in row]
    return list(zip(whole[::2], whole[1::2]))
