"""system/accounts-not-looked-up: lines of nsswitch.conf without files, and those that are fine."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, Safety, Severity

PLACE = "/etc/nsswitch.conf"


def findings(nsswitch: str, *, distro: str = "") -> list[Finding]:
    made = MemoryGuest()
    made.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    made.file("/etc/group", "root:x:0:\n")
    made.file("/etc/shadow", "root:*:1::::::\n", mode=0o640)
    made.file(PLACE, nsswitch)
    if distro:
        made.os = type(made.os)(distro, "3", "x", "x86_64", "apk", "guest")
    found, inconclusive = run_analyzer(ANALYZER, Context(made))
    assert inconclusive == []
    return [each for each in found if each.rule == "system/accounts-not-looked-up"]


@pytest.mark.parametrize(
    ("line", "after", "severity"),
    [
        ("passwd:\tsss systemd  # by hand", "passwd: files\tsss systemd  # by hand", Severity.ERROR),
        ("shadow: sss [NOTFOUND=return]", "shadow: files sss [NOTFOUND=return]", Severity.ERROR),
        ("group:ldap", "group: files ldap", Severity.WARNING),
    ],
)
def test_a_line_without_files(line: str, after: str, severity: Severity) -> None:
    (found,) = findings(f"# names\n{line}\nhosts: files dns\n")
    assert (found.subject, found.severity) == (f"{PLACE}:2", severity)
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == f"# names\n{after}\nhosts: files dns\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "passwd: files systemd\nshadow: files\ngroup: files [SUCCESS=merge] systemd\n",
        "passwd: sss files\nshadow: compat\ngroup: files altfiles\n",
        "passwd: sss\npasswd: files\n",
        "passwd:\n#passwd: sss\n",
        "initgroups: sss\nnetgroup: nis\n",
    ],
)
def test_lines_that_are_fine(text: str) -> None:
    assert findings(text) == []


def test_musl_reads_no_such_file() -> None:
    assert findings("passwd: sss\n", distro="alpine") == []
