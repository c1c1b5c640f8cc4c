"""On a guest with SELinux nothing is made whose label cannot be known; what is changed keeps its own."""

from __future__ import annotations

import stat

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.selinux import Labels, unreadable_policy
from guestrepair.model import (
    Change,
    Finding,
    GenerateHostKey,
    GuestPath,
    MakeDirectory,
    MakeLink,
    Repair,
    RestoreFile,
    Safety,
    SetMode,
    Severity,
    WriteFile,
)
from guestrepair.operations.labels import with_labels

CONFIG = "/etc/selinux/config"
CONTEXTS = "/etc/selinux/targeted/contexts/files/file_contexts"
SSHD = "system_u:object_r:sshd_exec_t:s0"
PATH = GuestPath("/usr/sbin/sshd")


def guest(config: str = "SELINUX=enforcing\nSELINUXTYPE=targeted\n") -> MemoryGuest:
    made = MemoryGuest()
    made.file(CONFIG, config)
    made.file(CONTEXTS, f"/usr/sbin/sshd\t--\t{SSHD}\n")
    made.file(f"{CONTEXTS}.local", "")
    return made


def finding(change: Change) -> Finding:
    return Finding("a/b", Severity.ERROR, "", "", repair=Repair("", Safety.SAFE, (change,)))


MAKING: list[Change] = [
    RestoreFile(path=PATH, package="p", version="1", architecture="x"),
    WriteFile(path=PATH, before=None, after=b""),
    MakeDirectory(path=PATH, mode=0o755),
    MakeLink(path=PATH, target="x"),
    GenerateHostKey(path=PATH, key_type="rsa"),
]
CHANGING: list[Change] = [
    SetMode(path=PATH, before=0, after=1),
    WriteFile(path=PATH, before=b"x", after=b"y"),
]


@pytest.mark.parametrize("config", ["SELINUX=enforcing\nSELINUXTYPE=targeted\n", "SELINUX=enforcing\n"])
def test_the_policy_tells_the_label(config: str) -> None:
    assert Labels(guest(config)).of(PATH, stat.S_IFREG) == SSHD
    assert Labels(MemoryGuest()).of(PATH, stat.S_IFREG) == ""


@pytest.mark.parametrize("path", [CONFIG, CONTEXTS, f"{CONTEXTS}.local"])
def test_a_policy_that_cannot_be_read_gives_no_label_in_silence(path: str) -> None:
    made = guest()
    findings = [finding(change) for change in (*MAKING, *CHANGING)]
    assert with_labels(findings, made) == (findings, ())
    made.nodes[GuestPath(path)].unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match=path):
        Labels(made)
    assert path in unreadable_policy(made)
    kept, left = with_labels(findings, made)
    assert kept == findings[len(MAKING) :]
    assert [each.finding for each in left] == findings[: len(MAKING)]
    assert all("label" in each.reason and path in each.reason for each in left)


def test_a_guest_without_selinux_needs_no_label() -> None:
    findings = [finding(change) for change in MAKING]
    assert with_labels(findings, MemoryGuest()) == (findings, ())
    for config in ("SELINUXTYPE=../../etc\n", "SELINUX=disabled\nSELINUXTYPE=targeted\n"):
        made = guest(config)
        made.nodes[GuestPath(CONTEXTS)].unreadable = "Input/output error"
        assert with_labels(findings, made) == (findings, ())
