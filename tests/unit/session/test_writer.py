"""Writing into a guest: each method changes what it names as it is told to, and nothing else."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from guestrepair.errors import GuestReadError, RepairError
from guestrepair.formats.posix_acl import ACL_ACCESS
from guestrepair.guest.devices import BlockDevices
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath as P
from guestrepair.model import SetCapabilities
from guestrepair.session import writer as writer_module
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.writer import Writer, beside
from tests.unit.session.fake_appliance import FakeAppliance, Running

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
POLICY = "/usr(/.*)?\tsystem_u:object_r:usr_t:s0\n/usr/bin(/.*)?\tsystem_u:object_r:bin_t:s0\n"


@pytest.fixture
def appliance(tmp_path: Path) -> FakeAppliance:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "bin").symlink_to("usr/bin")
    (tree / "etc/conf").write_text("before")
    (tree / "etc/link").symlink_to("conf")
    (tree / "usr/bin/su").write_text("program")
    (tree / "usr/bin/su").chmod(0o4755)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    made = FakeAppliance({"/dev/sda": tree}, {"/dev/sda": disk})
    made.mount_options("rw", "/dev/sda", "/")
    return made


@pytest.fixture
def guest(appliance: FakeAppliance) -> LiveGuest:
    machine = Running(appliance)
    return LiveGuest(ApplianceBackend(machine, ""), DevicesWritten(machine), block=BlockDevices())


@pytest.fixture
def writer(appliance: FakeAppliance, guest: LiveGuest) -> Writer:
    return Writer(Running(appliance).handle(), guest)


def everything(appliance: FakeAppliance) -> dict[str, object]:
    """Each path of the tree with its mode, owner and content."""
    tree = appliance.trees["/dev/sda"]
    found: dict[str, object] = {}
    for path in sorted(tree.rglob("*")):
        what = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(tree))] = (path.lstat().st_mode & 0o7777, appliance.owners.get(path), what)
    return found


def changed(appliance: FakeAppliance, before: dict[str, object]) -> dict[str, object]:
    after = everything(appliance)
    gone = dict.fromkeys(before.keys() - after.keys())
    return {path: value for path, value in after.items() if before.get(path) != value} | gone


def test_content_is_replaced_through_links_and_seen_at_once(
    writer: Writer, guest: LiveGuest, appliance: FakeAppliance
) -> None:
    before = everything(appliance)
    assert guest.read(P("/etc/link")) == b"before"
    writer.replace_content(P("/etc/link"), b"after, longer")
    assert guest.read(P("/etc/link")) == b"after, longer"
    assert changed(appliance, before) == {"etc/conf": (0o644, None, b"after, longer")}
    with pytest.raises(GuestReadError, match="no such file"):
        writer.replace_content(P("/etc/none"), b"")


def test_large_content_is_uploaded(
    writer: Writer, appliance: FakeAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_WRITE_BYTES", 10)
    writer.replace_content(P("/etc/conf"), b"x" * 11)
    assert appliance.calls["upload"] == 1
    assert (appliance.trees["/dev/sda"] / "etc/conf").read_bytes() == b"x" * 11


def test_a_new_file_lies_behind_the_links_of_its_parents(writer: Writer, appliance: FakeAppliance) -> None:
    before = everything(appliance)
    writer.create_file(P("/bin/new"), b"#!", mode=0o2755, uid=3, gid=4)
    assert changed(appliance, before) == {"usr/bin/new": (0o2755, (3, 4), b"#!")}
    with pytest.raises(GuestReadError, match="something is there already"):
        writer.create_file(P("/bin/new"), b"", mode=0o644, uid=0, gid=0)
    with pytest.raises(GuestReadError, match="its directory is not there"):
        writer.create_file(P("/no/new"), b"", mode=0o644, uid=0, gid=0)


def test_what_is_new_gets_the_label_of_the_guests_policy(writer: Writer, appliance: FakeAppliance) -> None:
    tree = appliance.trees["/dev/sda"]
    contexts = tree / "etc/selinux/targeted/contexts/files"
    contexts.mkdir(parents=True)
    (contexts / "file_contexts").write_text(POLICY)
    (tree / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    writer.create_file(P("/usr/bin/new"), b"", mode=0o755, uid=0, gid=0)
    writer.make_directory(P("/usr/share/doc"), mode=0o755, uid=0, gid=0)
    labels = {str(p.relative_to(tree)): x["security.selinux"] for p, x in appliance.xattrs.items()}
    assert labels == {
        "usr/bin/new": b"system_u:object_r:bin_t:s0",
        "usr/share": b"system_u:object_r:usr_t:s0",
        "usr/share/doc": b"system_u:object_r:usr_t:s0",
    }


def test_a_backup_lies_beside_its_file(writer: Writer, appliance: FakeAppliance) -> None:
    before = everything(appliance)
    assert writer.back_up(P("/etc/link"), ".old") == P("/etc/conf.old")
    assert writer.back_up(P("/etc/none"), ".old") is None
    assert changed(appliance, before) == {"etc/conf.old": (0o644, None, b"before")}


def test_modes_and_owners(writer: Writer, guest: LiveGuest, appliance: FakeAppliance) -> None:
    before = everything(appliance)
    writer.set_mode(P("/etc/conf"), 0o600)
    writer.set_owner(P("/usr/bin/su"), 7, 8)  # the setuid bit that this takes away is put back
    writer.set_owner(P("/etc/link"), 1, 1)
    assert changed(appliance, before) == {
        "etc/conf": (0o600, None, b"before"), "usr/bin/su": (0o4755, (7, 8), b"program"),
        "etc/link": (0o777, (1, 1), "conf"),
    }  # fmt: skip
    with pytest.raises(GuestReadError, match="a symbolic link now"):
        writer.set_mode(P("/etc/link"), 0o600)
    with pytest.raises(GuestReadError, match="no such file"):
        writer.set_owner(P("/etc/none"), 0, 0)


@pytest.mark.parametrize(
    ("mode", "owner", "calls"),
    [(0o644, (0, 0), {}), (0o600, (0, 0), {"chmod": 1}), (0o644, (1, 0), {"lchown": 1, "chmod": 1})],
)
def test_attributes_take_as_few_calls_as_they_can(
    writer: Writer,
    guest: LiveGuest,
    appliance: FakeAppliance,
    mode: int,
    owner: tuple[int, int],
    calls: dict[str, int],
) -> None:
    found = guest.lstat(P("/etc/conf")) or Stat(0)
    appliance.calls.clear()
    writer.set_attributes(P("/etc/conf"), found, mode=mode, uid=owner[0], gid=owner[1])
    assert {name: n for name, n in appliance.calls.items() if name in {"chmod", "lchown"}} == calls


def test_directories_links_and_removal(writer: Writer, appliance: FakeAppliance) -> None:
    before = everything(appliance)
    writer.make_directory(P("/var/lib/x"), mode=0o1777, uid=5, gid=5)
    writer.make_link(P("/var/link"), "lib/x")
    assert writer.move_away(P("/etc/conf"), ".bad") == P("/etc/conf.bad")
    writer.remove(P("/etc/link"))
    assert changed(appliance, before) == {
        "var": (0o755, (0, 0), None), "var/lib": (0o755, (0, 0), None), "var/lib/x": (0o1777, (5, 5), None),
        "var/link": (0o777, None, "lib/x"), "etc/conf": None, "etc/conf.bad": (0o644, None, b"before"),
        "etc/link": None,
    }  # fmt: skip


def test_an_archive_is_unpacked_at_the_guests_root(
    writer: Writer, appliance: FakeAppliance, tmp_path: Path
) -> None:
    before = everything(appliance)
    (tmp_path / "new").write_text("unpacked")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "new", "usr/bin/new")
    writer.unpack(tmp_path / "a.tar")
    assert list(changed(appliance, before)) == ["usr/bin/new"]


def test_extended_attributes_in_the_ways_that_they_can_be_set(
    writer: Writer, appliance: FakeAppliance
) -> None:
    acl = bytes.fromhex("02000000010006ffffffff" + "ff" * 0)[:4] + b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + b"\xff" * 4
        for tag, perm in ((1, 6), (4, 4), (0x20, 0))
    )
    values = {"security.capability": CAPABILITY, ACL_ACCESS: acl, "user.note": b"text"}
    writer.set_xattrs(P("/etc/conf"), values)
    found = appliance.xattrs[appliance.trees["/dev/sda"] / "etc/conf"]
    assert found.keys() == {"cap text", "acl access", "user.note"}
    assert b"cap_net_bind_service" in found["cap text"]
    with pytest.raises(RepairError, match=r"user\.bin is binary"):
        writer.set_xattrs(P("/etc/conf"), {"user.bin": b"a\0b"})


def test_capabilities_are_set_and_taken_away(writer: Writer, appliance: FakeAppliance) -> None:
    path = P("/usr/bin/su")
    writer.set_capabilities(SetCapabilities(path=path, before=b"", after=CAPABILITY))
    found = appliance.xattrs[appliance.trees["/dev/sda"] / "usr/bin/su"]
    assert b"cap_net_bind_service" in found["cap text"]
    found["security.capability"] = CAPABILITY
    writer.set_capabilities(SetCapabilities(path=path, before=CAPABILITY, after=b""))
    assert "security.capability" not in found


def test_a_label_is_set_and_read_back(writer: Writer, appliance: FakeAppliance) -> None:
    writer.set_label(P("/etc/conf"), "system_u:object_r:etc_t:s0")
    found = appliance.xattrs[appliance.trees["/dev/sda"] / "etc/conf"]
    assert found["security.selinux"] == b"system_u:object_r:etc_t:s0"
    assert writer._guest.label(P("/etc/conf")) == "system_u:object_r:etc_t:s0"


@pytest.mark.parametrize("locks", ["i", "a", "ai"])
def test_a_locked_file_is_changed_and_stays_locked(
    locks: str, writer: Writer, appliance: FakeAppliance
) -> None:
    conf = appliance.trees["/dev/sda"] / "etc/conf"
    appliance.flags[conf] = {"e", *locks}
    writer.replace_content(P("/etc/link"), b"after")
    writer.set_mode(P("/etc/conf"), 0o600)
    assert (conf.read_bytes(), conf.stat().st_mode & 0o777) == (b"after", 0o600)
    assert appliance.flags[conf] == {"e", *locks}
    appliance.broken["write /etc/conf"] = "No space left on device"
    with pytest.raises(GuestReadError, match="No space left"):
        writer.replace_content(P("/etc/conf"), b"")
    assert appliance.flags[conf] == {"e", *locks}


def test_a_filesystem_without_such_attributes_is_written_all_the_same(
    writer: Writer, appliance: FakeAppliance
) -> None:
    appliance.broken["get_e2attrs /etc/conf"] = "Operation not supported"
    writer.replace_content(P("/etc/conf"), b"after")
    assert (appliance.trees["/dev/sda"] / "etc/conf").read_bytes() == b"after"


def test_what_the_appliance_refuses_is_said_with_the_path(writer: Writer, appliance: FakeAppliance) -> None:
    appliance.broken["write /etc/conf"] = "No space left on device"
    with pytest.raises(GuestReadError, match=r"/etc/conf: .*No space left on device"):
        writer.replace_content(P("/etc/conf"), b"")


def test_a_device_that_takes_only_a_part_is_said(writer: Writer, appliance: FakeAppliance) -> None:
    writer.write_device("/dev/sda", 512, b"abc")
    assert appliance.devices["/dev/sda"].read_bytes()[510:517] == b"\0\0abc\0\0"

    class Full(FakeAppliance):
        def pwrite_device(self, _device: str, _content: bytes, _offset: int) -> int:
            return 1

    full = Writer(Running(Full(appliance.trees, appliance.devices)).handle(), writer._guest)
    with pytest.raises(GuestReadError, match="only 1 of 3 bytes"):
        full.write_device("/dev/sda", 0, b"abc")


@pytest.mark.parametrize(
    ("path", "copy"),
    [
        ("/etc/fstab", "/etc/fstab.old"),
        ("/etc/initramfs-tools/conf.d/policy", "/etc/initramfs-tools/conf.d/.policy.old"),
        ("/etc/network/interfaces.d/ens3", "/etc/network/interfaces.d/.ens3.old"),
        (
            "/etc/NetworkManager/system-connections/lan",
            "/etc/NetworkManager/system-connections/.lan.old",
        ),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/network-scripts/.ifcfg-eth0.old"),
    ],
)
def test_a_copy_is_never_one_more_file_of_settings(path: str, copy: str) -> None:
    assert beside(P(path), ".old") == P(copy)
