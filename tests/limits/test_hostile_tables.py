"""Tables of thousands of lines, made so that each has to do with all others: judged in time.

The code before took minutes to hours for most of these: no limit here is one of speed.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.fstab import ANALYZER as FSTAB
from guestrepair.analyzers.sshd.accounts import matters_to_everyone, only_admin
from guestrepair.analyzers.system import ANALYZER as SYSTEM
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile
from guestrepair.system.guest_system import System
from tests.unit.analyzers import fstab_guest as fstab
from tests.unit.analyzers.sshd_guest import debian

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
SECONDS = 20.0 if THOROUGH else 8.0
LINES = 2_000 if THOROUGH else 700


def uid(number: int) -> uuid.UUID:
    return uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)


def big_guest(text: str) -> MemoryGuest:
    """A guest with filesystems that any line may mean, and an older copy of its table."""
    more = [
        fstab.part(5, "ext4", fstab.HOME, ext=fstab.ext("/home")),
        fstab.part(6, "ext4", fstab.VAR),
        fstab.part(7, "xfs", fstab.DATA),
        fstab.part(8, "btrfs", str(uid(1)), subvolumes=("@", "@home"), subvolume_ids=(256, 257)),
    ]
    guest = fstab.guest(text, [*fstab.usual(), *more])
    guest.file("/etc/fstab.bak", text[:200_000])
    return guest


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(lambda n: f"UUID={uid(n)} /data{n} ext4 defaults 0 2", id="lost sources"),
        pytest.param(lambda n: f"UUID={uid(n)} /data ext4 defaults 0 2", id="one mount point"),
        pytest.param(lambda n: f"UUID={uid(n)} /d{n} ext4 defualts,noatiem{n} 0 2", id="slips in options"),
        pytest.param(lambda n: f"UUID={fstab.ROOT} /data{n} ext4 defaults 0 2", id="one source"),
        pytest.param(lambda n: f"UUID={uid(n)} /d{n} btrfs subvol=@home 0 0", id="subvolumes"),
        pytest.param(lambda n: f"UUID={uid(n)} /d{n} ext4 defaults, noatime 0 0", id="malformed"),
        pytest.param(lambda n: f"/dev/sda3 /d{n} ext4 defaults 0 0 # a comment", id="comments"),
        pytest.param(lambda n: f"UUID={uid(n)} /a{n % 40 * '/a'} ext4 nofail 0 0", id="children first"),
        pytest.param(lambda n: f"UUID={uid(n)}\u00a0/d{n} ext4 defaults 0 2", id="wide blanks"),
        pytest.param(lambda n: f"/dev/mapper/vg{n}-lv /m{n} ext4 defaults 0 2", id="volumes"),
        pytest.param(lambda n: f"/srv/x{n} /srv/y{n} none bind 0 0", id="bind mounts"),
    ],
)  # fmt: skip
def test_an_fstab_of_many_lines(line: Callable[[int], str]) -> None:
    text = fstab.HEALTHY + "".join(f"{line(n)}\n" for n in range(LINES)) + "/dev/sdb1 /a ext4 nofail 0 0\n"
    started = time.process_time()
    findings, inconclusive = run_analyzer(FSTAB, Context(big_guest(text)))
    assert time.process_time() - started < SECONDS
    assert len(findings) > 400
    assert not inconclusive


@pytest.mark.parametrize(
    "line",
    [
        f"UUID={fstab.ROOT} /d ext4 {','.join(f'defualt{n}' for n in range(9_000))} 0 0",
        f"UUID={fstab.ROOT} /d ext4 {'ro, ' * 40_000}0 0",
        f"UUID={fstab.ROOT} {'/a' * 60_000} ext4 defaults 0 0",
        f"/dev/sda1: {'UUID=a ' * 40_000}/d",
    ],
    ids=["options", "words", "directories", "tags"],
)
def test_an_fstab_with_a_long_line(line: str) -> None:
    started = time.process_time()
    _, inconclusive = run_analyzer(FSTAB, Context(big_guest(f"{fstab.HEALTHY}{line}\n")))
    assert time.process_time() - started < SECONDS
    assert not inconclusive


@pytest.mark.parametrize(
    "line",
    [
        f"/dev/sda{'1' * 5_000} /d ext4 defaults 0 0",
        f"/dev/nvme0n1p{'1' * 5_000} /d ext4 defaults 0 0",
        f"/dev/disk/by-id/x-part{'1' * 5_000} /d ext4 defaults 0 0",
        f"UUID={uid(1)} /d btrfs subvolid={'1' * 5_000} 0 0",
        f"UUID={uid(1)} /d btrfs subvolid=\u00b2 0 0",
        f"UUID={uid(1)} /d ext4 defaults {'1' * 5_000} 0",
        '/dev/sda1: ID="x" UUID="y" /d ext4',
        '/dev/sda1: ID="x" /d',
        "/dev/sda\u00b2 /d ext4 defaults \u00b2 \u0663",
    ],
)  # fmt: skip
def test_numbers_that_are_none(line: str) -> None:
    guest = big_guest(f"{fstab.HEALTHY}{line}\n")
    guest.file(
        "/etc/passwd", f"root:x:0:0::/root:/bin/sh\na:x:\u00b2:0::/home/a:\nb:x:{'1' * 5_000}:0::/home/b:\n"
    )
    _, inconclusive = run_analyzer(FSTAB, Context(guest))
    assert not inconclusive


# --- accounts -------------------------------------------------------------------------------------


def test_many_accounts_in_many_groups() -> None:
    guest = debian()
    accounts = "".join(f"a{n}:x:{n + 2000}:{n + 2000}::/home/a{n}:/bin/bash\n" for n in range(20_000))
    groups = "".join(f"g{n}:x:{n + 2000}:a{n},a{n + 1}\n" for n in range(20_000))
    guest.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n" + accounts)
    guest.file("/etc/group", "root:x:0:\n" + groups + "sudo:x:27:a19999\n")
    accounts_of_guest = System(guest).accounts
    started = time.process_time()
    found = accounts_of_guest.login
    only = only_admin(found)
    assert time.process_time() - started < SECONDS
    assert found[3].groups == {"g1", "g2"}
    assert [a.name for a in found if matters_to_everyone(a, only)] == ["root", "a19999"]
    assert accounts_of_guest.membership.numbers(found[3].entry) == {2001, 2002}


def test_many_malformed_lines_with_a_backup() -> None:
    guest = MemoryGuest()
    sound = "".join(f"a{n}:x:{n + 2000}:{n + 2000}::/home/a{n}:/bin/sh\n" for n in range(60_000))
    broken = "".join(f"a{n}:x\n" for n in range(60_000))
    guest.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n" + broken)
    guest.file("/etc/passwd-", "root:x:0:0:root:/root:/bin/sh\n" + sound)
    guest.file("/bin/sh", b"x", mode=0o755)
    started = time.process_time()
    findings, _ = run_analyzer(SYSTEM, Context(guest))
    assert time.process_time() - started < SECONDS
    found = next(f for f in findings if f.subject == "/etc/passwd:2")
    assert found.repair is not None
    assert isinstance(found.repair.changes[0], EditFile)
    assert len(found.repair.changes[0].edits) == 60_000


# --- sudoers ----------------------------------------------------------------------------------------


def sudo_guest() -> MemoryGuest:
    guest = MemoryGuest()
    guest.file("/usr/bin/sudo", b"x", mode=0o4755)
    guest.file("/etc/sudoers", "root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n", mode=0o440)
    return guest


def test_many_broken_lines_are_some_findings_and_one_for_the_rest() -> None:
    guest = sudo_guest()
    guest.file("/etc/sudoers.d/a", "x\n" * 5_000, mode=0o440)
    findings, inconclusive = run_analyzer(SYSTEM, Context(guest))
    broken = [f for f in findings if f.rule == "system/sudoers"]
    assert len(broken) == 21
    last = max(broken, key=lambda f: len(f.folded))
    assert len(last.folded) == 5_000 - 21
    assert last.repair is not None
    assert isinstance(last.repair.changes[0], EditFile)
    assert len(last.repair.changes[0].edits) == 5_000 - 20
    assert not [i for i in inconclusive if "sudoers" in i.reason]


@pytest.mark.parametrize("files", [70, 400])
def test_more_included_files_than_are_read_are_not_passed_over_in_silence(files: int) -> None:
    guest = sudo_guest()
    for number in range(files):
        guest.file(f"/etc/sudoers.d/f{number}", "a ALL=ALL\n", mode=0o440)
    _, inconclusive = run_analyzer(SYSTEM, Context(guest))
    assert [i.reason for i in inconclusive if "not all of them were looked at" in i.reason]


def test_a_sudoers_file_that_includes_itself_is_read_once() -> None:
    guest = sudo_guest()
    guest.file("/etc/sudoers.d/a", "#include /etc/sudoers\n" * 5_000, mode=0o440)
    findings, inconclusive = run_analyzer(SYSTEM, Context(guest))
    assert not [f for f in findings if f.rule == "system/sudoers"]
    assert not [i for i in inconclusive if "sudoers" in i.reason]
