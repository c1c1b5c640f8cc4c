"""boot/init-missing: what is started as pid 1."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, MakeLink, PackagedKind, Safety
from guestrepair.packages.base import Package, PackagedFile
from tests.unit.analyzers.boot_guest import (
    CHECKED,
    ERROR,
    WARNING,
    Packages,
    brief,
    found,
    mended,
    with_entries,
    with_menu,
)

RULE = "init-missing"
SYSTEMD = Package("systemd", "252.1-1", "amd64")


def without_init() -> MemoryGuest:
    guest = with_menu()
    guest.remove("/sbin/init")
    return guest


@pytest.mark.parametrize("wrong", [None, "/lib/systemd/gone", "../x/y/z", "init"])
def test_the_link_is_made_again(wrong: str | None) -> None:
    guest = without_init()
    if wrong is not None:
        guest.link("/sbin/init", wrong)
    (finding,) = found(guest)
    assert (finding.rule, finding.severity, finding.subject) == (f"boot/{RULE}", ERROR, "/sbin/init")
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    (change,) = finding.repair.changes
    assert change == MakeLink(path=GuestPath("/sbin/init"), target="../usr/lib/systemd/systemd", before=wrong)
    mended(guest, finding)
    assert found(guest) == []


def test_in_a_merged_usr_the_link_lies_where_its_folder_is() -> None:
    guest = without_init()
    guest.remove("/sbin")
    guest.link("/sbin", "usr/sbin")
    guest.directory("/usr/sbin")
    (finding,) = found(guest)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert change == MakeLink(path=GuestPath("/usr/sbin/init"), target="../lib/systemd/systemd", before=None)


def test_what_else_may_be_init() -> None:
    guest = without_init()
    guest.remove("/usr/lib/systemd")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL
    assert "/bin/sh is started" in finding.message
    guest.file("/bin/busybox", b"x", mode=0o755)
    guest.file("/etc/inittab", "::sysinit:/sbin/openrc sysinit\n")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    guest.file("/sbin/openrc-init", b"x", mode=0o755)
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("/bin/busybox", ("/bin/busybox",)),
        ("/sbin/openrc-init", ("/sbin/openrc-init",)),
        ("runit-init", ("/sbin/runit-init",)),
        ("", ("/sbin/init",)),
        ("/lib/systemd/systemd", ("/lib/systemd/systemd",)),
    ],
)
def test_healthy_inits(target: str, files: tuple[str, ...]) -> None:
    guest = without_init()
    guest.remove("/usr/lib/systemd")
    for path in files:
        guest.file(path, b"x", mode=0o755)
    if target:
        guest.link("/sbin/init", target)
    assert found(guest) == []


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_program_that_cannot_be_executed(mode: int) -> None:
    guest = with_menu()
    guest.file("/usr/lib/systemd/systemd", b"x", mode=mode)
    (finding,) = found(guest)
    assert finding.severity is ERROR
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    mended(guest, finding)
    assert found(guest) == []


def test_an_empty_file_and_a_directory_are_left_to_a_person() -> None:
    for make in ("file", "directory"):
        guest = without_init()
        getattr(guest, make)("/sbin/init", mode=0o755)
        (finding,) = found(guest)
        assert finding.repair is not None
        assert finding.repair.safety is Safety.MANUAL


def test_what_packages_say_is_not_said_twice() -> None:
    owned = PackagedFile("/sbin/init", PackagedKind.OTHER, Package("systemd-sysv", "252", "amd64"))
    guest = without_init()
    assert found(guest, Packages(SYSTEMD, files=(owned,))) == []
    assert brief(guest, Packages(SYSTEMD)) == [(RULE, ERROR)]
    target = PackagedFile("/usr/lib/systemd/systemd", PackagedKind.FILE, SYSTEMD)
    guest = with_menu()
    guest.remove("/usr/lib/systemd/systemd")
    assert found(guest, Packages(SYSTEMD, files=(target,))) == []
    assert brief(guest, Packages(SYSTEMD)) == [(RULE, ERROR)]


def test_dracut_starts_systemd_all_the_same() -> None:
    guest = without_init()
    guest.file("/usr/bin/dracut", b"x")
    assert brief(guest) == [(RULE, WARNING)]
    guest.remove("/usr/lib/systemd")
    assert brief(guest) == [(RULE, ERROR)]


@pytest.mark.parametrize("version", ["255.4-1ubuntu8", "256", "1:257~rc1-1"])
def test_systemd_needs_its_executor(version: str) -> None:
    guest = with_menu()
    package = Package("systemd", version, "amd64")
    (finding,) = found(guest, Packages(package))
    assert finding.subject == "/usr/lib/systemd/systemd-executor"
    assert finding.severity is ERROR
    owned = PackagedFile("/usr/lib/systemd/systemd-executor", PackagedKind.FILE, package)
    assert found(guest, Packages(package, files=(owned,))) == []
    guest.file("/usr/lib/systemd/systemd-executor", b"x", mode=0o755)
    assert found(guest, Packages(package)) == []


def test_older_systemd_and_a_version_by_its_library() -> None:
    guest = with_menu()
    assert found(guest, Packages(SYSTEMD)) == []
    guest.file("/usr/lib/systemd/libsystemd-shared-252.so", b"x")
    assert found(guest) == []
    guest.file("/usr/lib/systemd/libsystemd-core-255.4-1.so", b"x")
    assert brief(guest) == [(RULE, ERROR)]


@pytest.mark.parametrize("words", ["ro boot=live", "ro rd.live.image", "ro ostree=/x", "ro rdinit=/init"])
def test_where_another_root_is_started_nothing_is_missing_here(words: str) -> None:
    guest = with_menu(words=words)
    guest.remove("/sbin/init")
    assert found(guest) == []


def test_an_init_that_the_command_line_names() -> None:
    guest = with_menu(words="ro init=/nix/store/x/init")
    guest.remove("/sbin/init")
    guest.file("/nix/store/x/init", b"#!/bin/sh", mode=0o755)
    assert found(guest) == []


def test_containers_and_hidden_usr_are_not_judged() -> None:
    guest = without_init()
    guest.remove("/boot")
    assert RULE not in [rule for rule, _ in brief(guest)]
    guest = without_init()
    guest.unmounted = (("/usr", "it is on none of the disks"),)
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert "what is started as init is not known" in inconclusive[0].reason
    guest = with_entries()
    guest.nodes[GuestPath("/usr/lib/systemd/systemd")].unreadable = "Input/output error"
    findings, inconclusive = run_analyzer(CHECKED, Context(guest))
    assert findings == []
    assert inconclusive
