"""The sentence at the top claims what the findings' effects say, and never more than was looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.model import Effect, Finding, Inconclusive, Severity, Status, Suppressed
from guestrepair.report.data import ImageReport, StageError
from guestrepair.report.headline import headline

BOOT = Finding("boot/kernel-missing", Severity.ERROR, "/boot/x", "no kernel", effect=Effect.STOPS_BOOT)
LOGIN = Finding("sshd/config-syntax", Severity.ERROR, "/etc/x", "A bad line", effect=Effect.STOPS_LOGIN)
MILD = Finding("fstab/order", Severity.WARNING, "/etc/fstab:1", "odd", effect=Effect.DEGRADES)
KNOWN = Suppressed("ignore", "on purpose")
KNOWN_BOOT = replace(BOOT, suppressed=KNOWN)
NOTHING = "Nothing found that stops boot or SSH login"


def image(*findings: Finding) -> ImageReport:
    return ImageReport(path="x", os=OperatingSystem("debian"), findings=list(findings), analyzed=True)


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ((), f"{NOTHING}."),
        ((MILD,), f"{NOTHING}."),
        ((BOOT,), "Does not boot: no kernel."),
        ((LOGIN, MILD), "Nobody can log in over SSH: A bad line."),
        ((BOOT, replace(BOOT, subject="/boot/y"), LOGIN),
         "Does not boot: no kernel (and 1 more); nobody can log in over SSH: A bad line."),
        ((replace(LOGIN, rule="packages/file-missing", message="no login"), LOGIN),
         "Nobody can log in over SSH: A bad line (and 1 more)."),
        ((replace(BOOT, status=Status.REPAIRED),), "Nothing left that stops boot or SSH login."),
        ((replace(BOOT, status=Status.SKIPPED),), "Does not boot: no kernel."),
        ((KNOWN_BOOT,), "Does not boot, as is known: no kernel."),
        ((KNOWN_BOOT, replace(BOOT, subject="/boot/y", message="no initrd")),
         "Does not boot: no initrd (and 1 more)."),
        ((KNOWN_BOOT, LOGIN),
         "Does not boot, as is known: no kernel; nobody can log in over SSH: A bad line."),
        ((replace(LOGIN, suppressed=KNOWN), replace(LOGIN, rule="packages/file-missing", message="no login")),
         "Nobody can log in over SSH: no login (and 1 more)."),
    ],
)  # fmt: skip
def test_the_sentence_says_what_stops_the_guest(findings: tuple[Finding, ...], sentence: str) -> None:
    assert headline(image(*findings)) == sentence


def test_it_promises_no_more_than_was_looked_at() -> None:
    part = image()
    part.partly = True
    assert headline(part) == f"{NOTHING} in the part that was looked at (--only, --skip)."
    blind = image()
    blind.inconclusive = [Inconclusive("sshd", "unreadable")]
    assert headline(blind) == f"{NOTHING}, but not everything could be examined."
    ended = image()
    ended.errors = [StageError("analyze", "stopped")]
    assert headline(ended) == f"{NOTHING}, but not everything could be examined."


def test_a_guest_without_an_ssh_server_lets_nobody_in_by_ssh() -> None:
    bare = image()
    bare.without_sshd = True
    assert headline(bare) == "Nothing found that stops boot; no OpenSSH server is installed."


def test_disks_without_a_system_are_never_called_bootable() -> None:
    assert headline(ImageReport(path="x")) == ""
    assert headline(ImageReport(path="x", findings=[BOOT])) == "Does not boot: no kernel."
