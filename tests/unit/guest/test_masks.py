"""A unit is masked by whatever leads to /dev/null, however the link says so, and by an empty file."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.sshd import ANALYZER
from guestrepair.analyzers.system import units
from guestrepair.guest.masks import is_masked, leads_to_null
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath
from guestrepair.system.systemd import Systemd
from tests.unit.analyzers import sshd_guest

ETC = "/etc/systemd/system"


def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.directory(ETC)
    made.file("/usr/lib/systemd/systemd", b"x")
    made.file("/usr/lib/systemd/system/null", b"[Unit]\n")
    made.link("/lib", "usr/lib")
    return made


NULL = [
    "/dev/null",
    "../../../dev/null",
    "../../.././dev//null",
    "//dev/null",
    "/etc/../dev/null",
    "other",
    "../system/other",
]
NOT_NULL = [
    "null",
    "/etc/systemd/system/dev/null",
    "../../dev/null",
    "/usr/lib/systemd/system/null",
    "loop",
    "/dev/nulla",
    "/nowhere/../../dev/null/x",
]


@pytest.mark.parametrize("with_dev", [True, False])
@pytest.mark.parametrize(
    ("target", "masked"), [*((target, True) for target in NULL), *((target, False) for target in NOT_NULL)]
)
def test_a_link_masks_when_it_leads_to_the_null_device(target: str, masked: bool, with_dev: bool) -> None:
    made = guest()
    if with_dev:
        made.directory("/dev")
    made.link(f"{ETC}/other", "/dev/null")
    made.link(f"{ETC}/loop", "loop")
    made.link(f"{ETC}/systemd-udevd.service", target)
    path = GuestPath(f"{ETC}/systemd-udevd.service")
    assert leads_to_null(made, path) is masked
    assert is_masked(made, path) is masked
    found = [f for f in units.masked(Context(made)) if isinstance(f, Finding)]
    assert [f.subject for f in found] == ([str(path)] if masked else [])
    assert Systemd(made).is_masked("systemd-udevd.service") is masked


def test_through_a_linked_directory_the_target_is_taken_from_where_the_link_lies() -> None:
    made = guest()
    made.link("/usr/lib/systemd/system/a.service", "../../../../dev/null")
    assert leads_to_null(made, GuestPath("/lib/systemd/system/a.service"))
    assert leads_to_null(made, GuestPath("/usr/lib/systemd/system/a.service"))


def test_an_empty_file_masks_and_so_does_a_link_to_one() -> None:
    made = guest()
    made.file(f"{ETC}/a.service", b"")
    made.link(f"{ETC}/b.service", "a.service")
    assert is_masked(made, GuestPath(f"{ETC}/a.service"))
    assert is_masked(made, GuestPath(f"{ETC}/b.service"))
    assert not is_masked(made, GuestPath(f"{ETC}/none.service"))


@pytest.mark.parametrize("target", ["/dev/null", "../../../dev/null"])
def test_an_sshd_masked_by_either_link_is_found(target: str) -> None:
    made = sshd_guest.debian()
    made.link(f"{ETC}/ssh.service", target)
    found, _ = run_analyzer(ANALYZER, Context(made))
    assert "sshd/unit-disabled" in {f.rule for f in found}
