"""Pairs of guests made by one known change each: exactly that is told, and nothing else."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Iterator

import pytest

from guestrepair.compare.compare import Side, compare
from guestrepair.compare.files import pairs
from guestrepair.compare.model import CompareOptions, NotCompared
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.memory import MemoryGuest, Node
from guestrepair.model import GuestPath
from guestrepair.report import differences
from guestrepair.report.data import DiffReport
from guestrepair.system.guest_system import System
from tests.unit.compare.pair import FINGERPRINT, HASH, KEY, Change, compared, guest, lines, side
from tests.unit.packages.deb_guest import FILES, md5

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n"
OTHER_HASH = "$6$other$otherotherother"


def node(of: MemoryGuest, path: str) -> Node:
    return of.nodes[GuestPath(path)]


def chmod(of: MemoryGuest) -> None:
    node(of, "/usr/local/bin/own").mode = stat.S_IFREG | 0o4755


def chown(of: MemoryGuest) -> None:
    node(of, "/etc/hosts").uid = 1000


def setcap(of: MemoryGuest) -> None:
    node(of, "/usr/local/bin/own").xattrs["security.capability"] = CAPABILITY


def relabel(of: MemoryGuest) -> None:
    of.file("/etc/selinux/config", "SELINUX=enforcing\n")
    node(of, "/etc/hosts").xattrs["security.selinux"] = b"system_u:object_r:tmp_t:s0\0"


def passwd(of: MemoryGuest, line: str) -> None:
    of.file("/etc/passwd", PASSWD + line)


def shadow(of: MemoryGuest, hashed: str) -> None:
    of.file("/etc/shadow", f"root:*:19700:0:99999:7:::\nalice:{hashed}:19801:0:99999:7:::\n", mode=0o640)


CASES: tuple[tuple[str, Change, list[tuple[str, ...]]], ...] = (
    ("chmod", chmod, [("attributes", "changed", "/usr/local/bin/own", "0755", "4755", "mode")]),
    ("chown", chown, [("attributes", "changed", "/etc/hosts", "0:0", "1000:0", "owner")]),
    (
        "setcap",
        setcap,
        [("attributes", "changed", "/usr/local/bin/own", "none", "cap_net_raw=ep", "capabilities")],
    ),
    (
        "label",
        relabel,
        [
            ("configuration", "added", "/etc/selinux"),
            ("configuration", "added", "/etc/selinux/config"),
            ("attributes", "changed", "/etc/hosts", "none", "system_u:object_r:tmp_t:s0", "label"),
        ],
    ),
    (
        "user added",
        lambda g: passwd(g, "eve:x:0:0::/:/bin/sh\n"),
        [
            (
                "accounts", "added", "eve", "",
                "uid 0, gid 0, home /, shell /bin/sh, password in shadow, which has no such line", "",
            )
        ],
    ),
    (
        "line that glibc skips",
        lambda g: passwd(g, "mallory:x:zero:0::/:/bin/sh\n"),
        [("accounts", "added", "line that is no entry: mallory")],
    ),
    (
        "password",
        lambda g: shadow(g, OTHER_HASH),
        [("accounts", "changed", "alice", "password set", "password set, changed", "")],
    ),
    (
        "password locked",
        lambda g: shadow(g, f"!{HASH}"),
        [("accounts", "changed", "alice", "password set", "password locked", "")],
    ),
    (
        "group",
        lambda g: g.file("/etc/group", "root:x:0:\nsudo:x:27:alice,eve\nalice:x:1000:\n"),
        [("accounts", "changed", "group sudo", "members alice", "members alice eve", "")],
    ),
    (
        "unit masked",
        lambda g: g.link("/etc/systemd/system/ssh.service", "/dev/null"),
        [("units", "changed", "ssh.service", "-", "state masked", "")],
    ),
    (
        "unit disabled",
        lambda g: g.remove("/etc/systemd/system/multi-user.target.wants/ssh.service"),
        [("units", "removed", "ssh.service", "wanted by multi-user.target", "", "")],
    ),
    (
        "fstab",
        lambda g: g.file("/etc/fstab", "UUID=1 / ext4 noatime 0 1\n"),
        [
            ("fstab", "changed", "/", "options defaults", "options noatime", ""),
            ("configuration", "changed", "/etc/fstab"),
        ],
    ),
    (
        "configuration of the same size",
        lambda g: g.file("/etc/hosts", "127.0.0.1 localh0st\n"),
        [("configuration", "changed", "/etc/hosts")],
    ),
    (
        "hostname",
        lambda g: setattr(g, "os", dataclasses.replace(g.os, hostname="other")),
        [("system", "changed", "hostname", "is guest", "is other", "")],
    ),
    (
        "packaged file, same package",
        lambda g: g.file("/usr/bin/tool", b"progr@m", mode=0o755),
        [("files", "changed", "/usr/bin/tool")],
    ),
    (
        "link",
        lambda g: g.link("/usr/lib/libx.so.1", "/srv/evil.so"),
        [
            (
                "files", "changed", "/usr/lib/libx.so.1", "-> libx.so.1.2", "-> /srv/evil.so",
                "of tool:amd64, which is the same in both",
            )
        ],
    ),
    (
        "file became a link",
        lambda g: g.link("/usr/local/bin/own", "/bin/sh"),
        [("files", "changed", "/usr/local/bin/own", "file 0755 0:0, 19 bytes", "link -> /bin/sh", "")],
    ),
    (
        "tree",
        lambda g: [g.file(f"/opt/new/{name}", "x") for name in ("a", "b/c")],
        [("files", "added", "/opt", "", "directory 0755 0:0", "with 4 names below it")],
    ),
)  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_exactly_the_change_is_told(change: Change, expected: list[tuple[str, ...]]) -> None:
    found = compared(change)
    assert not found.not_compared
    told = lines(found)
    assert [line[: len(e)] for line, e in zip(told, expected, strict=True)] == expected


def test_nothing_is_told_of_two_that_are_the_same() -> None:
    found = compared()
    assert (lines(found, noise=True), found.not_compared, found.notes) == ([], [], [])
    assert DiffReport("a", "b", found).exit_status == 0


def test_a_key_is_told_by_its_fingerprint() -> None:
    found = compared(
        lambda g: g.file("/home/alice/.ssh/authorized_keys", f'command="x" {KEY}', mode=0o600),
        before=lambda g: g.directory("/home/alice/.ssh", mode=0o700),
    )
    (line,) = lines(found)
    assert line[:3] == ("keys", "added", f"alice {FINGERPRINT}")
    assert 'options command="x"' in line[4]


def upgraded(of: MemoryGuest) -> None:
    """``tool`` in a new version, as dpkg leaves it."""
    sums = {**FILES, "/bin/tool": b"new program"}
    of.file("/usr/bin/tool", b"new program", mode=0o755)
    of.file(
        "/var/lib/dpkg/info/tool.md5sums",
        "".join(f"{md5(data)}  {path[1:]}\n" for path, data in sums.items()),
    )
    status = of.read(GuestPath("/var/lib/dpkg/status")).decode()
    of.file("/var/lib/dpkg/status", status.replace("1.0-1", "1.1-1"))


def test_the_files_of_an_upgrade_are_folded() -> None:
    found = compared(upgraded)
    assert lines(found) == [
        ("packages", "changed", "tool:amd64", "version 1.0-1", "version 1.1-1", "1 file"),
    ]
    assert next(found.shown(noise=False)).folded == ("/usr/bin/tool",)


def test_what_was_changed_beside_an_upgrade_is_not() -> None:
    """A file that is not what the new version brought hides behind no package."""
    found = compared(upgraded, lambda g: g.file("/usr/bin/tool", b"evil program", mode=0o755))
    told = lines(found)
    assert [line[:3] for line in told] == [
        ("packages", "changed", "tool:amd64"),
        ("files", "changed", "/usr/bin/tool"),
    ]
    assert told[1][5] == "not what tool:amd64 has there"


def test_a_packaged_file_that_is_gone_is_told_in_an_upgrade_too() -> None:
    found = compared(upgraded, lambda g: g.remove("/usr/share/tool/data"))
    assert ("files", "removed", "/usr/share/tool/data") in [line[:3] for line in lines(found)]


def test_noise_is_counted_and_shown_when_asked_for() -> None:
    found = compared(
        lambda g: g.file("/var/log/syslog", "one line\ntwo\n"),
        lambda g: g.file("/etc/machine-id", "f" * 32 + "\n"),
        lambda g: setattr(node(g, "/etc/hosts"), "mtime", 5),
    )
    assert lines(found) == []
    assert found.noise() == {"logs": 1, "machine ids": 1, "times alone": 1}
    assert [line[2] for line in lines(found, noise=True)] == [
        "/etc/machine-id",
        "/var/log/syslog",
        "/etc/hosts",
    ]
    assert DiffReport("a", "b", found).exit_status == 0
    assert DiffReport("a", "b", found, noise=True).exit_status == 1


@pytest.mark.parametrize("path", ["/var/log/x", "/run/x", "/var/cache/x"])
def test_no_noise_hides_a_program_that_runs_as_root(path: str) -> None:
    told = lines(compared(lambda g: g.file(path, "x", mode=0o4755)))
    assert path in [line[2] for line in told]


def test_in_a_new_tree_a_program_that_runs_as_root_stands_by_itself() -> None:
    told = lines(compared(lambda g: [g.file("/opt/a/b", "x", mode=0o4755), g.file("/opt/a/c", "x")]))
    assert [line[2] for line in told] == ["/opt", "/opt/a/b"]


def test_documentation_that_is_left_out_is_a_line() -> None:
    def documented(of: MemoryGuest) -> None:
        for number in range(6):
            of.file(f"/usr/share/doc/own/{number}", "text")

    told = lines(compared(lambda g: g.remove("/usr/share/doc/own"), before=documented))
    assert told == [("files", "removed", "documentation of no package", "7 names", "", "")]
    few = lines(compared(lambda g: g.remove("/usr/share/doc/own/3"), before=documented))
    assert [line[2] for line in few] == ["/usr/share/doc/own/3"]


def test_a_program_among_documentation_is_told_by_itself() -> None:
    def programs(of: MemoryGuest) -> None:
        for number in range(8):
            of.file(f"/usr/share/doc/tool/{number}", "x", mode=0o755)

    assert len(lines(compared(programs))) == 8


def test_device_nodes_are_noise_in_dev_alone() -> None:
    found = compared(
        lambda g: g.special("/dev/null", stat.S_IFCHR, mode=0o666),
        lambda g: g.special("/run/sda", stat.S_IFBLK),
    )
    assert [line[2] for line in lines(found)] == ["/run/sda"]


# --- secrets ----------------------------------------------------------------------------


def rendered(*changes: Change) -> str:
    report = DiffReport("a", "b", compared(*changes), noise=True)
    return differences.render(report) + differences.render_json(report)


def test_no_password_hash_and_no_key_is_shown() -> None:
    text = rendered(
        lambda g: g.file("/etc/shadow", f"root:*:1::::::\n# comment\nalice:{OTHER_HASH}:1::::::\n"),
        lambda g: g.file("/etc/app.conf", "user=x\ndb_password=hunter2\n"),
        lambda g: g.file("/etc/ssl/own", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n"),
    )
    for secret in (HASH, OTHER_HASH, "hunter2", "MIIEvQIBADAN"):
        assert secret not in text
    assert "/etc/app.conf" in text
    assert "/etc/ssl/own" in text


def test_a_comment_in_shadow_is_told_without_its_text() -> None:
    found = compared(
        lambda g: g.file("/etc/shadow", g.read(GuestPath("/etc/shadow")) + b"# secret\n", mode=0o640)
    )
    assert [line[:3] for line in lines(found)] == [("configuration", "changed", "/etc/shadow")]
    assert next(found.shown(noise=False)).text is None


# --- hostile and unreadable guests ----------------------------------------------------------


def test_hostile_names_are_written_out() -> None:
    name = "/etc/\x1b[2J\udcff\n+ fake"
    text = rendered(
        lambda g: g.file(name, b"\x1b]0;x\x07\n"), lambda g: passwd(g, "\x1b[1m:x:0:0::/:/bin/sh\n")
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\n+ fake" not in text
    assert "\\x1b[2J\\xff" in text


def test_a_diff_of_texts_has_their_lines() -> None:
    text = rendered(lambda g: g.file("/etc/hosts", "127.0.0.1 localhost\n10.0.0.1 evil\n"))
    assert "      +10.0.0.1 evil\n" in text


def test_what_is_unreadable_is_said_and_costs_its_section() -> None:
    found = compared(
        lambda g: setattr(node(g, "/etc/shadow"), "unreadable", "Input/output error"),
        lambda g: g.file("/etc/fstab", "UUID=1 / ext4 noatime 0 1\n"),
    )
    assert {lost.what for lost in found.not_compared} == {"accounts", "files"}
    assert all("Input/output error" in lost.reason for lost in found.not_compared)
    assert [line[0] for line in lines(found)] == ["fstab"]
    assert DiffReport("a", "b", found).exit_status == 1


def test_packages_that_cannot_be_read_are_not_called_gone() -> None:
    one, other = guest(), guest()
    unread = Side("B", other, System(other), "/var/lib/dpkg/status: Input/output error")
    found = compare(side("A", one), unread, CompareOptions())
    assert lines(found) == []
    assert found.not_compared == [NotCompared("B", "packages", "/var/lib/dpkg/status: Input/output error")]


def test_nothing_found_and_not_all_looked_at_is_not_the_same() -> None:
    found = compared(lambda g: setattr(node(g, "/etc/shadow"), "unreadable", "Input/output error"))
    report = DiffReport("a", "b", found)
    assert report.exit_status == 3
    assert "no difference was found" in differences.render(report)
    assert "Input/output error" in differences.render(report)


def test_what_lies_below_a_place_that_is_not_mounted_is_not_called_gone() -> None:
    def unmounted(of: MemoryGuest) -> None:
        of.remove("/home/alice")
        of.unmounted = (("/home", "no such filesystem"),)

    def home(of: MemoryGuest) -> None:
        of.file("/home/alice/letter", "text")

    found = compared(unmounted, before=home)
    assert lines(found) == []
    assert NotCompared("B", "/home", "it is not mounted here (no such filesystem)") in found.not_compared


def test_deep_reads_everything() -> None:
    """Size and times may all be what they were: only reading tells."""

    def forged(of: MemoryGuest) -> None:
        of.file("/usr/share/tool/data", b"d4ta")

    assert [line[2] for line in lines(compared(forged, options=CompareOptions(deep=True)))] == [
        "/usr/share/tool/data"
    ]


class _Recorded(MemoryGuest):
    records: tuple[FileRecord, ...] = ()

    def file_records(self) -> Iterator[FileRecord]:
        return iter(self.records)


def test_what_was_deleted_is_no_name_of_a_guest() -> None:
    """Nor is the directory in which only lists of deleted files have it: one of the two may be read so."""
    there, without = _Recorded(), _Recorded()
    there.records = (
        FileRecord(path="/$OrphanFiles", inode=9, mode=0),
        FileRecord(path="/etc/gone", inode=8, mode=stat.S_IFREG, deleted=True),
        FileRecord(path="/etc/here", inode=7, mode=stat.S_IFREG),
    )
    for guests in ((there, without), (without, there)):
        assert [pair.path for pair in pairs(*guests, lambda _: False)] == ["/etc/here"]
