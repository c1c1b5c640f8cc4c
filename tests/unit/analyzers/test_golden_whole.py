"""The image as a whole: support of its release, its clock, its console, and what lies in its free space."""

from __future__ import annotations

import datetime as dt

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.golden import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, GuestPath, Severity
from guestrepair.platforms.parameters import Console
from tests.unit.analyzers.golden_guest import (
    MANUAL,
    NOTE,
    REVIEW,
    TIMESYNCD,
    WARNING,
    examine,
    only,
    repair_of,
    sealed,
)
from tests.unit.analyzers.platform_guest import platform, requirement
from tests.unit.system.test_free_space import guest as disk_of

MIB = 1 << 20
GRUB, DEFAULT_GRUB = "/boot/grub/grub.cfg", "/etc/default/grub"

# --- support ------------------------------------------------------------------------


def release(distro: str, version: str, support_end: str = "") -> MemoryGuest:
    guest = sealed()
    guest.file("/usr/lib/os-release", "x")
    guest.link("/etc/os-release", "../usr/lib/os-release")
    guest.os = OperatingSystem(
        distro, version, f"{distro} {version}", "x86_64", "deb", support_end=support_end
    )
    return guest


def test_a_release_whose_support_is_over() -> None:
    found = only(release("ubuntu", "20.04"), "end-of-life")
    assert (found.severity, found.subject, repair_of(found).safety) == (WARNING, "/etc/os-release", MANUAL)
    assert "since 2025-05-29" in found.message
    assert "as read on 2026-11-30" in found.evidence[0].observed


@pytest.mark.parametrize(
    ("support_end", "over"), [("2026-11-29", True), ("2026-11-30", False), ("2031-01-01", False)]
)
def test_the_last_day_is_one_of_support(support_end: str, *, over: bool) -> None:
    found, inconclusive = examine(release("acme", "1", support_end))
    assert ([f.rule for f in found], inconclusive) == (["golden/end-of-life"] * over, [])


def test_a_release_that_nobody_knows_is_a_note_and_one_without_end_is_none() -> None:
    found = only(release("acme", "1"), "end-of-life")
    assert (found.severity, found.repair) == (NOTE, None)
    assert "not known here" in found.message
    assert examine(release("debian", "")) == ([], [])


def test_a_release_file_that_cannot_be_read_is_inconclusive() -> None:
    guest = sealed()
    guest.os = OperatingSystem("debian", "4", unread=("/etc/os-release: an I/O error",))
    findings, inconclusive = examine(guest)
    assert findings == []
    assert ["I/O error" in i.reason for i in inconclusive] == [True]


def test_the_time_is_that_of_the_examination() -> None:
    later = dt.datetime(2031, 1, 1, tzinfo=dt.UTC).timestamp()
    options = AnalysisOptions(profile="golden", now=later)
    found = run_analyzer(ANALYZER, Context(release("debian", "12"), options=options)).findings
    assert [f.rule for f in found] == ["golden/end-of-life"]


# --- the clock ----------------------------------------------------------------------


def without_clock(*, systemd: bool = True) -> MemoryGuest:
    guest = sealed()
    guest.remove(TIMESYNCD)
    if not systemd:
        guest.remove("/usr/lib/systemd")
    return guest


def test_nothing_keeps_the_clock() -> None:
    found = only(without_clock(), "no-time-sync")
    assert (found.severity, repair_of(found).safety) == (WARNING, MANUAL)


def test_one_that_is_there_and_not_started_keeps_none() -> None:
    guest = without_clock()
    guest.file(TIMESYNCD, "[Service]\nExecStart=/usr/lib/systemd/systemd-timesyncd\n")
    guest.remove("/etc/systemd/system/sysinit.target.wants")
    assert [f.rule for f in examine(guest)[0]] == ["golden/no-time-sync"]


@pytest.mark.parametrize(
    ("unit", "command"),
    [
        ("chrony.service", "/usr/lib/systemd/scripts/chronyd-starter.sh $DAEMON_OPTS"),
        ("ntpsec.service", "/usr/libexec/ntpsec/ntp-systemd-wrapper"),
        ("ptp4l@eth0.service", "/usr/sbin/ptp4l -i eth0"),
        ("our-clock.service", "-/opt/bin/chronyd -n"),
    ],
)
def test_a_service_by_its_name_or_its_program(unit: str, command: str) -> None:
    guest = without_clock()
    guest.file(f"/etc/systemd/system/{unit}", f"[Service]\nExecStart={command}\n")
    guest.link(f"/etc/systemd/system/multi-user.target.wants/{unit}", f"/etc/systemd/system/{unit}")
    assert examine(guest) == ([], [])


def test_a_service_that_only_has_such_a_word_in_its_arguments_keeps_no_clock() -> None:
    guest = without_clock()
    guest.file("/etc/systemd/system/x.service", "[Service]\nExecStart=/bin/echo /usr/sbin/chronyd\n")
    guest.link("/etc/systemd/system/multi-user.target.wants/x.service", "/etc/systemd/system/x.service")
    only(guest, "no-time-sync")


@pytest.mark.parametrize("path", ["/etc/runlevels/default/ntpd", "/etc/rc3.d/S02chrony"])
def test_runlevels(path: str) -> None:
    guest = without_clock(systemd=False)
    guest.link(path, "/etc/init.d/x")
    assert examine(guest) == ([], [])
    guest.remove(path)
    guest.link(path.replace("ntpd", "sshd").replace("chrony", "sshd"), "/etc/init.d/x")
    assert [f.rule for f in examine(guest)[0]] == ["golden/no-time-sync"]


def test_another_init_is_inconclusive() -> None:
    findings, inconclusive = examine(without_clock(systemd=False))
    assert findings == []
    assert [i.reason.startswith("whether a service keeps the clock") for i in inconclusive] == [True]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ntp:\n  enabled: true\n", False),
        ("ntp:\n", False),
        ("ntp:\n  enabled: false\n", True),
        ("users: []\n", True),
    ],
)
def test_cloud_init_that_is_told_to_set_one_up(text: str, *, found: bool) -> None:
    guest = without_clock()
    guest.file("/etc/cloud/cloud.cfg.d/10-time.cfg", text)
    assert [f.rule for f in examine(guest)[0]] == ["golden/no-time-sync"] * found


# --- the console --------------------------------------------------------------------


def booting(cmdline: str, *, arch: str = "x86_64", default_grub: str = "") -> MemoryGuest:
    guest = sealed()
    guest.os = OperatingSystem("debian", "12", "Debian GNU/Linux 12", arch, "deb")
    guest.file("/boot/vmlinuz", "x")
    guest.file(GRUB, f"menuentry 'Debian' {{\n\tlinux /boot/vmlinuz root=UUID=1 {cmdline}\n}}\n")
    if default_grub:
        guest.file(DEFAULT_GRUB, default_grub)
    return guest


@pytest.mark.parametrize(
    ("cmdline", "arch", "seen"),
    [
        ("ro console=tty0 console=ttyS0,115200n8", "x86_64", True),
        ("ro console=hvc0", "x86_64", True),
        ("ro quiet", "x86_64", False),
        ("ro console=tty0", "x86_64", False),
        ("ro console=tty1 console=null", "x86_64", False),
        ("ro console=", "x86_64", False),
        ("ro quiet", "", False),
        ("ro quiet", "aarch64", True),  # its firmware names one
        ("ro console=tty0", "aarch64", False),
        ("ro console=ttyAMA0", "aarch64", True),
    ],
)
def test_a_serial_console(cmdline: str, arch: str, *, seen: bool) -> None:
    findings, inconclusive = examine(booting(cmdline, arch=arch))
    assert ([f.rule for f in findings], inconclusive) == (["golden/no-serial-console"] * (not seen), [])


@pytest.mark.parametrize(
    ("cmdline", "after"),
    [
        ("ro quiet", "ro quiet console=tty0 console=ttyS0"),
        ("ro console=tty0", "ro console=tty0 console=ttyS0"),
    ],
)
def test_its_repair_adds_one_and_keeps_the_screen(cmdline: str, after: str) -> None:
    guest = booting(cmdline, default_grub='GRUB_CMDLINE_LINUX=""\n')
    found = only(guest, "no-serial-console")
    assert (found.severity, found.subject) == (WARNING, f"{GRUB}:1")
    assert repair_of(found).safety is REVIEW
    edits = {str(c.path): c.after.decode() for c in repair_of(found).changes if isinstance(c, EditFile)}
    assert set(edits) == {GRUB, DEFAULT_GRUB}
    assert f"{after}\n" in edits[GRUB]
    for path, text in edits.items():
        guest.nodes[GuestPath(path)].content = text.encode()
    assert examine(guest) == ([], [])


def test_another_machines_serial_line_is_for_a_person() -> None:
    assert repair_of(only(booting("console=tty0", arch="aarch64"), "no-serial-console")).safety is MANUAL


def test_what_a_platform_says_of_its_console_is_not_said_twice() -> None:
    asking = platform(requirement("platform/console", Console(any=("ttyS0",))))
    silent = platform()
    for machine, rules in ((asking, []), (silent, ["golden/no-serial-console"])):
        options = AnalysisOptions(profile="golden", machine=machine)
        found = run_analyzer(ANALYZER, Context(booting("ro quiet"), options=options))
        assert [f.rule for f in found.findings] == rules


def test_a_kernel_that_is_given_from_outside_brings_its_words_along() -> None:
    assert examine(sealed()) == ([], [])
    guest = sealed()
    guest.file("/boot/vmlinuz-6.1", "x")  # and no menu
    findings, inconclusive = examine(guest)
    assert findings == []
    assert ["serial console" in i.reason for i in inconclusive] == [True]


# --- free space ---------------------------------------------------------------------


def keeping(*, stored: int, free: int) -> MemoryGuest:
    guest, disk = sealed(), disk_of(stored=stored, free=free)
    guest.block, guest.mounts, guest.usages, guest.stored = disk.block, disk.mounts, disk.usages, disk.stored
    return guest


@pytest.mark.parametrize(
    ("stored", "free", "found"),
    [
        (300, 700, False),
        (363, 700, False),  # less than 64 MiB
        (364, 700, True),
        (960, 100, False),  # 60 MiB
        (985, 100, False),  # less than a tenth of the 900 MiB in use
        (990, 100, True),
        (1000, 700, True),
    ],
)
def test_what_the_image_keeps_of_free_space(stored: int, free: int, *, found: bool) -> None:
    findings, inconclusive = examine(keeping(stored=stored, free=free))
    assert ([f.rule for f in findings], inconclusive) == (["golden/unzeroed-space"] * found, [])


def test_how_much_it_is_and_where() -> None:
    found = only(keeping(stored=450, free=700), "unzeroed-space")
    assert (found.severity, found.subject, repair_of(found).safety) == (WARNING, "/dev/sda1", MANUAL)
    assert "at least 150.0 MiB of the free space of /" in found.message


def test_an_image_that_cannot_be_asked_is_inconclusive() -> None:
    guest = keeping(stored=450, free=700)
    guest.stored.clear()
    findings, inconclusive = examine(guest)
    assert findings == []
    assert ["free space" in i.reason for i in inconclusive] == [True]


def test_their_severities_are_those_of_a_warning() -> None:
    whole = {"end-of-life", "no-time-sync", "no-serial-console", "unzeroed-space"}
    declared = {r.name: r.severities[0] for r in ANALYZER.rules}
    assert {declared[f"golden/{name}"] for name in whole} == {Severity.WARNING}
