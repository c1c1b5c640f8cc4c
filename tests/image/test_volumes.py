"""Volumes and arrays made by lvm, mdadm and the kernel: host and appliance show the same, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from fixtures.appliance import Handle, appliance
from guestrepair.appliance.keys import KeyRing
from guestrepair.appliance.launch import LaunchOptions
from guestrepair.disk import examine, throwaway
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.session.discovery import Discovery, read_device
from guestrepair.session.session import Session, SessionDisk, open_session

pytestmark = [pytest.mark.image, pytest.mark.long]
MIB = 1 << 20
LVM = "lvm {} --config 'devices{{filter=[\"a|.*|\"]}}'"
PLAIN = "vgcreate -y -s 1M plain-vg /dev/sda1 /dev/sdb1"
VOLUMES = (
    "lvcreate -y -n lin -L 10M plain-vg /dev/sda1",
    "lvcreate -y -n str-ipe -i 2 -I 64k -L 24M plain-vg",
    "lvcreate -y -n r1 --type raid1 -m 1 -L 16M plain-vg",
    "lvcreate -y -n mir --type mirror -m 1 --alloc anywhere -L 12M plain-vg",
    "lvextend -y -L +7M plain-vg/lin",
    "vgcreate -y -s 1M mix /dev/sdc1",
    "lvcreate -y -n before -L 10M mix",
    "lvcreate -y -n origin -L 10M mix",
    "lvcreate -y --type thin-pool -n pool -L 20M mix",
    "lvcreate -y -n thin -V 15M --thinpool pool mix",
    "vgcreate -y -s 1M onmd /dev/md/one",
    "lvcreate -y -n upon -L 12M onmd",
)
ARRAYS = {
    "zero": ("--level=0 --chunk=64", "/dev/sdd1 /dev/sde1 /dev/sdf1"),
    "one": ("--level=1 --bitmap=internal", "/dev/sdd2 /dev/sde2"),
    "row": ("--level=linear", "/dev/sdd3 /dev/sde3 /dev/sdf3"),
    "half": ("--level=1", "/dev/sdd4 missing"),
    "end": ("--level=1 --metadata=1.0", "/dev/sdd5 /dev/sde5"),
    "old": ("--level=1 --metadata=0.90", "/dev/sdd6 /dev/sde6"),
}
FILLED = (
    *(f"/dev/plain-vg/{name}" for name in ("lin", "str-ipe", "r1", "mir")),
    *(f"/dev/mix/{name}" for name in ("before", "origin", "thin")),
    "/dev/onmd/upon",
    *(f"/dev/md/{name}" for name in ARRAYS if name != "one"),
)
SIZES = ((100,), (90,), (160,), (20, 24, 20, 20, 20, 20), (34, 24, 30, 20, 20, 20), (50, 24, 24))
"""Partitions in MiB, by disk: those of the first array are all of different sizes."""
CERTAIN = {"lin", "str-ipe", "r1", "mir"}


def shell(handle: Handle, command: str) -> str:
    text: str = handle.debug("sh", [f"{{ {command}; }} 2>&1 && echo ' done'"])
    assert text.rstrip().endswith(" done"), f"{command}: {text}"
    return text


def partitioned(path: Path, sizes: Sequence[int]) -> None:
    """A disk with partitions of so many MiB, one after the other; made before any kernel sees it."""
    with path.open("wb") as out:
        out.truncate(180 * MIB)
    table = "label: gpt\n" + "".join(f"size={size * 2048}\n" for size in sizes)
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two disks of plain volumes, one of a thin pool and a snapshot, three of arrays."""
    folder = tmp_path_factory.mktemp("volumes")
    paths = [folder / f"{letter}.raw" for letter in "abcdef"]
    for path, sizes in zip(paths, SIZES, strict=True):
        partitioned(path, sizes)
    with appliance([(path, "raw") for path in paths]) as handle:
        for name, (options, members) in ARRAYS.items():
            count = len(members.split())
            command = f"mdadm --create /dev/md/{name} --run {options} --raid-devices={count} {members}"
            shell(handle, f"yes | {command} && udevadm settle")
        shell(handle, LVM.format(PLAIN))
        for command in VOLUMES:
            shell(handle, LVM.format(command) + " && udevadm settle")
        for number, device in enumerate(FILLED):
            shell(
                handle,
                f"test -b {device} && dd if=/dev/urandom of={device} bs=1M 2>/dev/null; test -b {device}",
            )
            shell(handle, f"mke2fs -q -F -t ext4 -L n{number}-{device.rpartition('/')[2]} {device}")
        shell(handle, LVM.format("lvcreate -y -s -n snap -L 6M mix/origin"))
        shell(handle, "for n in $(seq 60); do lvm lvs --noheadings -o copy_percent plain-vg >/tmp/p;"
              " grep -q '[0-9]' /tmp/p && ! grep '[0-9]' /tmp/p | grep -qv 100.00 && break; sleep 1; done;"
              " ! grep '[0-9]' /tmp/p | grep -qv 100.00")  # fmt: skip
        shell(handle, "sync; mdadm --wait /dev/md/one /dev/md/end /dev/md/old; sleep 12; lvm vgchange -an")
        shell(handle, "for m in /dev/md[0-9]*; do mdadm --stop $m; done")
    return paths


@contextlib.contextmanager
def opened(images: Sequence[Path]) -> Iterator[Session]:
    with contextlib.ExitStack() as stack:
        given = []
        for path in images:
            image = examine(path)
            overlay = stack.enter_context(throwaway(image)).path
            size = image.virtual_size_bytes
            given.append(SessionDisk(overlay=overlay, host_path=str(path), size_bytes=size))
        yield stack.enter_context(open_session(given, launch=LaunchOptions(throwaway=True)))


def digest(read: Callable[[int, int], bytes], size: int) -> str:
    found = hashlib.sha256()
    for at in range(0, size, MIB):
        piece = read(at, min(MIB, size - at))
        assert len(piece) == min(MIB, size - at)
        found.update(piece)
    return found.hexdigest()


def compared(session: Session) -> dict[str, BlockDevice]:
    """The devices, by name, when those that the host reads are what the appliance shows of them."""
    devices, host = session.block().devices, session.mount_table.disks
    by_host = {}
    for device in devices:
        if device.lies_on is not None:
            read = host.part(device)
            assert read is not None
            by_host[device.name] = digest(read, device.size_bytes)
    alone = Discovery(session.starting, KeyRing())
    alone.run(session.disks, host.disks())
    assert alone.block() == session.block()
    handle = session.handle
    for device in devices:
        if device.name in by_host:
            told = digest(partial(read_device, handle, device.name), device.size_bytes)
            assert told == by_host[device.name], device.name
    print(f"volumes read by host and appliance: {len(by_host)}")
    return {device.name: device for device in devices}


def test_plain_volumes_need_no_appliance_and_are_what_it_shows(disks: list[Path]) -> None:
    with opened(disks[:2]) as session:
        assert session.calls.count == 0
        found = compared(session)
        names = [n for n, d in found.items() if d.kind is DeviceKind.LOGICAL_VOLUME]
        assert names == [f"/dev/plain-vg/{name}" for name in ("lin", "mir", "r1", "str-ipe")]
        assert {n for n in names if found[n].lies_on is not None} == set(names)


def test_everything_else_is_told_apart(disks: list[Path]) -> None:
    with opened(disks) as session:
        found = compared(session)
    labels = {d.label.partition("-")[2]: d for d in found.values() if d.label.startswith("n")}
    assert labels.keys() == {Path(name).name for name in FILLED} | {"origin"}
    certain = {name for name, device in labels.items() if device.lies_on is not None}
    assert certain == CERTAIN | {"before", "upon", "zero", "row", "end", "old"}
