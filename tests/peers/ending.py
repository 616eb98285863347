"""How a script that read with Arrow ends."""

import os
import sys


def end(status: int = 0) -> None:
    """Ends at once, after what was printed is out. Arrow's threads may still be at work when Python takes
    itself down, and abort a process that has answered (apache/arrow, issue 34314)."""
    sys.stdout.flush()
    os._exit(status)
