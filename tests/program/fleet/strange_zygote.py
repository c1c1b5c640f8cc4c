"""A zygote whose command does what a hostile image would have a scan do, by the first of its words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from guestrepair.fleet.zygote import Zygote

REPORT = '{"schema": "guestrepair.report/1", "images": [{"path": "x", "headline": "Fine."}]}\n'
_STAY = "import os, sys, time; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"


def strange(words: list[str]) -> int:
    """Do it; the exit status."""
    what, *rest = words
    if what == "sleep":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif what == "eat":
        kept = [bytearray(os.urandom(1 << 20)) for _ in range(int(rest[0]))]
        time.sleep(3)
        sys.stdout.write(REPORT if kept else "")
        sys.stdout.flush()
    elif what == "leave":  # a grandchild in a session of its own, whose parent is gone
        program = [sys.executable, "-c", _STAY, rest[0]]
        subprocess.run(
            [sys.executable, "-c", f"import subprocess; subprocess.Popen({program!r})"], check=True
        )
        while not Path(rest[0]).is_file() or not Path(rest[0]).read_text():
            time.sleep(0.01)
        if len(rest) > 1:
            time.sleep(600)
    elif what == "die":
        os.kill(os.getpid(), int(rest[0]))
    elif what == "say":
        sys.stderr.write(rest[0])
        sys.stderr.flush()
        return int(rest[1])
    elif what == "report":
        sys.stdout.write(REPORT)
        sys.stdout.flush()
        return 1
    elif what == "raise":
        raise RuntimeError(rest[0])
    return 0


if __name__ == "__main__":
    Zygote(strange).serve()
