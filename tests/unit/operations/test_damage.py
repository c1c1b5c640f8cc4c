"""What lies on a damaged filesystem waits for its checker, or is left where nobody wants that to run."""

from __future__ import annotations

from guestrepair.guest.devices import Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Change, Finding, GuestPath, Repair, RunFsck, Safety, SetMode, Severity
from guestrepair.operations.damage import behind_damage


def guest(*damaged: str) -> MemoryGuest:
    made = MemoryGuest(mounts=(Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sda2", "/srv", "ext4")))
    made.directory("/etc")
    made.directory("/srv")
    for path in damaged:
        made.file(path).damaged = "Input/output error"
        made.exists(GuestPath(path))
    return made


def finding(rule: str, *changes: Change) -> Finding:
    return Finding(rule, Severity.ERROR, "x", "", repair=Repair("", Safety.SAFE, changes))


ETC = finding("a/etc", SetMode(path=GuestPath("/etc/x"), before=0, after=0o644))
SRV = finding("a/srv", SetMode(path=GuestPath("/srv/x"), before=0, after=0o644))
FSCK = finding("filesystems/corrupt", RunFsck(device="/dev/sda1", filesystem="ext4"))


def test_a_sound_guest_is_repaired_at_once() -> None:
    assert behind_damage([ETC, SRV, FSCK], guest()) == ([ETC, SRV, FSCK], [], ())


def test_without_the_checker_what_lies_there_is_left_with_the_reason() -> None:
    now, waiting, left = behind_damage([ETC, SRV], guest("/usr/bin/head"))
    assert (now, waiting) == ([SRV], [])
    assert [(each.finding, "/dev/sda1 is damaged" in each.reason) for each in left] == [(ETC, True)]


def test_with_the_checker_it_waits_for_that() -> None:
    assert behind_damage([ETC, SRV, FSCK], guest("/usr/bin/head")) == ([SRV, FSCK], [ETC], ())
    assert behind_damage([ETC, SRV, FSCK], guest("/srv/head"))[0] == [ETC, FSCK]
