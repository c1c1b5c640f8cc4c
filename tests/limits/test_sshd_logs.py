"""Logs that are made to hurt."""

from __future__ import annotations

import lzma
import stat

from guestrepair.model import GuestPath
from tests.unit.analyzers.sshd_guest import only, scan
from tests.unit.analyzers.test_sshd_logs import UNSAFE, log, unsafe_guest


def test_hostile_and_unreadable_logs_change_nothing() -> None:
    guest = unsafe_guest()
    plain = only(guest, "privsep-dir-unsafe")
    log(guest, "secure", b"\xff\0" * 1000)
    log(guest, "secure.1.gz", b"\x1f\x8b" + b"\xff" * 100)
    log(guest, "secure.2.xz", lzma.compress(b"\0" * 68_000_000, preset=0))
    log(guest, "secure.3", b"Feb 30 99:99:99 host sshd[1]: " + UNSAFE.encode())
    log(guest, "auth.log", b"x", mtime=1 << 62)
    guest.nodes[GuestPath("/var/log/auth.log")].size_bytes = 1 << 50
    guest.special("/var/log/secure.4", stat.S_IFIFO)
    guest.file("/var/log/journal/0123/system.journal", b"LPKSHHRH" + b"\xff" * 5000)
    found, inconclusive = scan(guest)
    assert not inconclusive
    assert [f.message for f in found] == [plain.message]
