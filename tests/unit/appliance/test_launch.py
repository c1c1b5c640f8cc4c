"""Counting the calls into libguestfs, with the bindings of this host and with those of others."""

from __future__ import annotations

from pathlib import Path

import guestfs
import pytest

from guestrepair.appliance.hypervisor import hypervisor
from guestrepair.appliance.launch import CallCount, device_name
from guestrepair.errors import ApplianceError


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("lstatns", 1),
        (b"lstatns", 1),
        ("internal_lstatnslist", 0),
        (b"internal_lstatnslist", 0),
        (b"\xff", 1),
    ],
)
def test_a_call_is_counted_whether_its_name_comes_as_text_or_as_bytes(
    name: str | bytes, counted: int
) -> None:
    count = CallCount()
    count.called(1, 1, name, [])
    assert count.count == counted


def test_the_bindings_of_this_host_call_it_without_a_complaint(capfd: pytest.CaptureFixture[str]) -> None:
    # What a callback raises is printed by the bindings and goes no further.
    handle, count = guestfs.GuestFS(python_return_dict=True), CallCount()
    handle.set_event_callback(count.called, guestfs.EVENT_ENTER)
    handle.get_path()
    handle.close()
    assert count.count >= 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "/dev/sda"), (1, "/dev/sdb"), (25, "/dev/sdz"), (26, "/dev/sdaa"), (51, "/dev/sdaz"),
        (52, "/dev/sdba"), (701, "/dev/sdzz"), (702, "/dev/sdaaa"),
    ],
)  # fmt: skip
def test_drives_are_named_as_the_kernel_names_them(index: int, name: str) -> None:
    assert device_name(index) == name


def test_no_two_drives_have_one_name() -> None:
    assert len({device_name(index) for index in range(2000)}) == 2000


def test_qemu_is_found_whether_libguestfs_says_where_or_only_its_name(tmp_path: Path) -> None:
    handle = guestfs.GuestFS(python_return_dict=True)
    usual = hypervisor(handle)  # this release's own way
    assert usual.is_absolute()
    assert not usual.is_symlink()
    (tmp_path / "link").symlink_to(usual)
    for named in (usual.name, str(usual), str(tmp_path / "link")):
        handle.set_hv(named)
        assert hypervisor(handle) == usual
    for absent in ("qemu-system-absent", str(tmp_path / "absent"), str(tmp_path)):
        handle.set_hv(absent)
        with pytest.raises(ApplianceError, match="there is no program"):
            hypervisor(handle)
    handle.close()
