"""What findings name is taken as it is, within bounds, and what is not there is said to be so."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from guestrepair.formats.posix_acl import ACL_ACCESS
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Evidence, Finding, Severity
from guestrepair.operations.named_files import Bounds, take
from guestrepair.report.evidence import Named, files_text

ACL = bytes.fromhex(
    "02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000000ffffffff"
)


def finding(subject: str, *sources: str, folded: tuple[str, ...] = (), rule: str = "a/b") -> Finding:
    evidence = tuple(Evidence(source, "x") for source in sources)
    return Finding(rule, Severity.ERROR, subject, "", evidence, folded=folded)


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/etc/fstab", b"fstab\n", mode=0o600, uid=5, gid=6)
    made.file("/etc/odd:7", b"a colon\n")
    made.file("/etc/with blank", b"blank\n")
    made.file("/usr/sbin/sshd", b"\x7fELF")
    made.link("/sbin", "usr/sbin")
    made.link("/etc/resolv.conf", "../run/real.conf")
    made.file("/run/real.conf", b"nameserver\n")
    made.link("/etc/loop", "loop")
    made.directory("/var/log", mode=0o1777)
    made.special("/run/fifo", stat.S_IFIFO)
    return made


def taken(
    guest: MemoryGuest, *findings: Finding, place: Path, bounds: Bounds | None = None
) -> dict[str, Named]:
    return {each.path: each for each in take(guest, findings, place, bounds)}


def test_subjects_folded_and_sources_are_taken(guest: MemoryGuest, tmp_path: Path) -> None:
    found = taken(
        guest,
        finding("/etc/fstab:3", "/etc/odd:7", folded=("/etc/with blank", "/var/log")),
        finding("/etc/fstab", "dynamic section of /usr/sbin/sshd", rule="c/d"),
        place=tmp_path,
    )
    assert {*found} == {"/etc/fstab", "/etc/odd:7", "/etc/with blank", "/var/log", "/usr/sbin/sshd"}
    assert found["/etc/fstab"].rules == {"a/b", "c/d"}
    content = found["/etc/fstab"].content
    assert content is not None
    assert content.read_bytes() == b"fstab\n"
    assert found["/etc/fstab"].sha256 == hashlib.sha256(b"fstab\n").hexdigest()
    assert found["/var/log"].content is None


def test_a_path_below_a_link_is_taken_once_by_its_real_name(guest: MemoryGuest, tmp_path: Path) -> None:
    found = taken(guest, finding("/sbin/sshd"), finding("/usr/sbin/sshd"), place=tmp_path)
    assert {*found} == {"/usr/sbin/sshd"}


def test_a_link_and_what_it_leads_to(guest: MemoryGuest, tmp_path: Path) -> None:
    found = taken(guest, finding("/etc/resolv.conf"), finding("/etc/loop"), place=tmp_path)
    assert {*found} == {"/etc/resolv.conf", "/run/real.conf", "/etc/loop"}
    assert found["/etc/resolv.conf"].target == "../run/real.conf"
    assert found["/etc/resolv.conf"].content is None
    assert found["/run/real.conf"].content is not None


def test_what_is_missing_is_named_and_what_is_no_file_is_not(guest: MemoryGuest, tmp_path: Path) -> None:
    found = taken(
        guest,
        finding("/bin/ls", "/usr/share/none", "content of /dev/sda2", "deb database, x"),
        finding("/dev/sda1"),
        finding("partition 2"),
        finding("/etc/fstab:root"),
        place=tmp_path,
    )
    assert {*found} == {"/bin/ls", "/etc/fstab"}
    assert found["/bin/ls"].stat is None


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "/a\0b", "/etc/../../../x", "/dev/../etc/fstab"])
def test_a_hostile_name_is_no_fault(path: str, guest: MemoryGuest, tmp_path: Path) -> None:
    found = taken(guest, finding(path, path), place=tmp_path)
    assert all(each.content is None for each in found.values())


def test_bounds_leave_out_with_a_reason(guest: MemoryGuest, tmp_path: Path) -> None:
    guest.file("/a", b"x" * 11)
    guest.file("/b", b"x" * 10)
    guest.file("/c", b"x" * 9)
    guest.file("/huge").size_bytes = 1 << 40
    named = [finding(path) for path in ("/a", "/b", "/c", "/huge")]
    found = taken(guest, *named, place=tmp_path, bounds=Bounds(file_bytes=10, total_bytes=15, files=5))
    assert {path: each.left_out for path, each in found.items()} == {
        "/a": "11 bytes, more than the 10 that are taken of a file",
        "/b": "more than 15 bytes in all",
        "/c": "",
        "/huge": f"{1 << 40} bytes, more than the 10 that are taken of a file",
    }
    found = taken(guest, *named, place=tmp_path, bounds=Bounds(files=1))
    assert [path for path, each in found.items() if each.content] == ["/c"]


def test_a_file_that_ends_early_or_cannot_be_looked_at(guest: MemoryGuest, tmp_path: Path) -> None:
    guest.file("/short", b"abc").size_bytes = 100
    guest.file("/bad").unreadable = "Input/output error"
    found = taken(guest, finding("/short"), finding("/bad"), place=tmp_path)
    assert found["/short"].left_out == "cannot be read: ends after 3 of 100 bytes"
    assert found["/short"].content is None
    assert found["/bad"].unread == "Input/output error"
    assert not list(tmp_path.iterdir())


def document(guest: MemoryGuest, *findings: Finding, place: Path) -> dict[str, dict[str, Any]]:
    text = files_text(take(guest, findings, place))
    assert text.isascii()
    return {each["path"]: each for each in json.loads(text)["files"]}


def test_what_is_kept_about_a_file(guest: MemoryGuest, tmp_path: Path) -> None:
    guest.file("/etc/acl", b"1", mode=0o640).xattrs = {ACL_ACCESS: ACL, "user.note": b"\xff"}
    guest.file("/etc/\udcff", b"2")
    guest.file("/gone").unreadable = "Input/output error"
    subjects = ("/etc/acl", "/etc/fstab", "/etc/\udcff", "/gone", "/none", "/run/fifo", "/etc/resolv.conf")
    found = document(guest, *map(finding, subjects), place=tmp_path)
    assert found["/etc/acl"]["acl"] == "u::rw-,u:1000:r--,g::r--,m::r--,o::---"
    assert found["/etc/acl"]["xattrs"] == {ACL_ACCESS: ACL.hex(), "user.note": "ff"}
    assert found["/etc/fstab"] | {"inode": 0, "links": 1} == found["/etc/fstab"]
    wanted = {
        "type": "file",
        "mode": "0600",
        "uid": 5,
        "gid": 6,
        "size_bytes": 6,
        "member": "files/etc/fstab",
    }
    assert found["/etc/fstab"] | wanted == found["/etc/fstab"]
    assert found["/etc/\\xff"]["path_hex"] == b"/etc/\xff".hex()
    assert found["/etc/\\xff"]["member"] == "files/etc/%FF"
    assert found["/gone"] == {
        "path": "/gone", "rules": ["a/b"], "there": None, "unread": "Input/output error",
    }  # fmt: skip
    assert found["/none"] == {"path": "/none", "rules": ["a/b"], "there": False}
    assert found["/run/fifo"]["type"] == "FIFO"
    assert found["/etc/resolv.conf"]["target"] == {"path": "../run/real.conf"}
