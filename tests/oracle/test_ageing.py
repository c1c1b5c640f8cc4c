"""When an account is over: our reading of shadow's days against the host's own pam_unix.

It reads /etc/passwd and /etc/shadow, so these are others for it, in a mount namespace of its own.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guestrepair.formats.pam_control import RETURNS
from guestrepair.formats.passwd import parse_shadow
from guestrepair.system.accounts import Ageing
from tests.oracle.test_pam_flow import library

ASK = """
import ctypes, ctypes.util, json, sys
from tests.oracle.test_pam_flow import Conversation
pam = ctypes.CDLL(ctypes.util.find_library("pam"))
said = []
for name in sys.argv[2:]:
    handle = ctypes.c_void_p()
    conversation = Conversation(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 19), None)
    begun = pam.pam_start_confdir(
        b"asked", name.encode(), ctypes.byref(conversation), sys.argv[1].encode(), ctypes.byref(handle)
    )
    said.append(-1 if begun else pam.pam_acct_mgmt(handle, 0))
    pam.pam_end(handle, 0)
print(json.dumps(said))
"""
MOUNTED = """set -e
for file in passwd shadow nsswitch.conf; do mount --bind "$1/$file" "/etc/$file"; done
shift; exec "$@"
"""
TODAY = dt.datetime.now(dt.UTC).date()
DAYS = (TODAY - dt.date(1970, 1, 1)).days
NEAR = (-2, -1, 0, 1, 2)


def lines() -> list[str]:
    """Days of shadow lines around today, and odd ones."""
    found = [f"{DAYS - 90}:0:99999:7::{DAYS + near}" for near in NEAR]
    found += [f"{DAYS - 90 + near}:0:90:7::" for near in NEAR]
    found += [f"{DAYS - 104 + near}:0:90:7:14:" for near in NEAR]
    found += [f"{DAYS - 90 + near}:0:90:7:0:" for near in NEAR]
    found += [f"{change}:0:90:7:{idle}:{end}" for change, idle, end in itertools.product(
        ("0", str(DAYS + 5), str(DAYS - 500)), ("", "14", "1000"), ("", "0", str(DAYS - 1), str(DAYS + 9))
    )]  # fmt: skip
    return [*found, "0:::::", f"{DAYS}:::::", f"{DAYS - 9}:0:0:7::", ":::::"]


def pam_says(fields: list[str], folder: Path) -> list[int]:
    names = [f"user{number}" for number in range(len(fields))]
    (folder / "passwd").write_text(
        "root:x:0:0::/:/bin/sh\n"
        + "".join(f"{n}:x:{5000 + i}:5000::/:/bin/sh\n" for i, n in enumerate(names))
    )
    (folder / "shadow").write_text(
        "root:*:1::::::\n" + "".join(f"{n}:$y$x:{f}:\n" for n, f in zip(names, fields, strict=True))
    )
    (folder / "nsswitch.conf").write_text("passwd: files\nshadow: files\n")
    (folder / "asked").write_text("account required pam_unix.so\n")
    command = ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", str(folder), sys.executable, "-c", ASK]
    done = subprocess.run([*command, str(folder), *names], check=True, capture_output=True, timeout=120)
    said: list[int] = json.loads(done.stdout)
    return said


def test_every_day_around_the_end_is_judged_as_pam_unix_judges(tmp_path: Path) -> None:
    library()
    if os.geteuid() != 0:
        pytest.skip("needs root: pam_unix reads /etc/shadow")
    fields = lines()
    disagreed, milder = [], 0
    for line, number in zip(fields, pam_says(fields, tmp_path), strict=True):
        theirs = RETURNS[number]
        (entry,) = parse_shadow(f"ann:$y$x:{line}:\n".encode()).entries
        ageing = Ageing.of(entry)
        ours = ageing.pam_answer(TODAY)
        if theirs in {ours, "authtok_err"}:  # changed too lately for a new one: no matter here
            continue
        last_days = {ageing.password_expires, ageing.locked_from}
        if TODAY in last_days:
            milder += 1
        else:
            disagreed.append((line, theirs, ours))
    assert not disagreed
    print(f"{len(fields)} lines as pam_unix judges them, {milder} of them on a day that releases dispute")
