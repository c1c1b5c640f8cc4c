"""Where logical volumes lie, as lvm itself lists it, in groups that were changed many times."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from guestrepair.formats.lvm2_text import parse_text
from guestrepair.formats.volume_map import DiskPart, Mapped
from guestrepair.session.host.volumes import logical_volumes

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("lvm") is None, reason="makes loop devices, and asks lvm"
)
MIB = 1 << 20
CHANGES = 20


@contextmanager
def loops(images: Sequence[Path]) -> Iterator[list[str]]:
    with ExitStack() as stack:
        names = []
        for image in images:
            command = ["losetup", "--find", "--show", str(image)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip("no loop devices here")
            names.append(done.stdout.strip())
            stack.callback(subprocess.run, ["losetup", "--detach", names[-1]], check=True)
        yield names


def lvm(devices: Sequence[str], *arguments: str, may_fail: bool = False) -> str:
    """Run lvm on these devices alone, without the kernel's device mapper."""
    accepted = ",".join(f'"a|^{device}$|"' for device in devices)
    config = f'devices{{filter=[{accepted},"r|.*|"]}} backup{{backup=0 archive=0}}'
    command = ["lvm", *arguments, "--driverloaded", "n", "--config", config]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert may_fail or done.returncode == 0, done.stderr
    return done.stdout


def listed(
    devices: Sequence[str],
) -> dict[tuple[str, str], list[tuple[int, int, int, list[tuple[str, int]]]]]:
    """Each volume's segments: start, size, size of a stripe, and device and first byte of each stripe."""
    fields = "vg_name,lv_name,seg_start,seg_size,stripe_size,seg_pe_ranges,vg_extent_size"
    told = lvm(devices, "lvs", "--units", "b", "--nosuffix", "-o", fields, "--reportformat", "json")
    starts = {
        row["pv_name"]: int(row["pe_start"])
        for row in json.loads(
            lvm(
                devices,
                "pvs",
                "--units",
                "b",
                "--nosuffix",
                "-o",
                "pv_name,pe_start",
                "--reportformat",
                "json",
            )
        )["report"][0]["pv"]
    }
    found: dict[tuple[str, str], list[tuple[int, int, int, list[tuple[str, int]]]]] = {}
    for row in json.loads(told)["report"][0]["lv"]:
        extent = int(row["vg_extent_size"])
        legs = [
            (name, starts[name] + int(places.partition("-")[0]) * extent)
            for name, _, places in (each.partition(":") for each in row["seg_pe_ranges"].split())
        ]
        numbers = (int(row["seg_start"]), int(row["seg_size"]), int(row["stripe_size"]))
        found.setdefault((row["vg_name"], row["lv_name"]), []).append((*numbers, legs))
    return found


def here(images: Sequence[Path], devices: Sequence[str]) -> dict[tuple[str, str], list[object]]:
    """The same as it is read here."""

    def reader(name: str) -> Callable[[int, int], bytes]:
        image = images[devices.index(name)]

        def read(offset: int, size: int) -> bytes:
            with image.open("rb") as opened:
                opened.seek(offset)
                return opened.read(size)

        return read

    disks = [DiskPart(name, 0, image.stat().st_size) for name, image in zip(devices, images, strict=True)]
    found = logical_volumes(disks, reader)
    assert found.complete
    answer: dict[tuple[str, str], list[object]] = {}
    for name, volume in found.volumes.items():
        assert isinstance(volume, Mapped)
        for s in volume.stretches:
            legs = []
            for leg in s.legs:
                below = volume.below[leg.source]
                assert isinstance(below, DiskPart)
                legs.append((below.disk, leg.offset_bytes))
            answer.setdefault(name, []).append((s.start_bytes, s.size_bytes, s.chunk_bytes, legs))
    return answer


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_volumes_lie_where_lvm_lists_them(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same changes every time
    images = [tmp_path / f"disk{n}" for n in range(4)]
    for image in images:
        with image.open("wb") as out:
            out.truncate(96 * MIB)
    agreed = 0
    with loops(images) as devices:
        copies = str(chance.choice((1, 2)))
        for device in devices:
            lvm(devices, "pvcreate", "-y", "--metadatacopies", copies, device)
        extent = chance.choice(("64k", "1m", "4m"))
        lvm(devices, "vgcreate", "-y", "-s", extent, "first-vg", *devices[:3])
        lvm(devices, "vgcreate", "-y", "-s", "1m", "second", devices[3])
        for number in range(CHANGES):
            group = chance.choice(("first-vg", "first-vg", "second"))
            names = [lv for vg, lv in listed(devices) if vg == group]
            size = f"{chance.randrange(4, 24)}m"
            match chance.randrange(4) if names else 0:
                case 0:
                    stripes = chance.randrange(1, 4) if group == "first-vg" else 1
                    how = ("-i", str(stripes), "-I", chance.choice(("4k", "64k"))) if stripes > 1 else ()
                    new = (
                        "lvcreate",
                        "-y",
                        "-an",
                        "-Zn",
                        "-Wn",
                        *how,
                        "-L",
                        size,
                        "-n",
                        f"v-{number}",
                        group,
                    )
                    lvm(devices, *new, may_fail=True)  # where there is no more room
                case 1:
                    lvm(
                        devices,
                        "lvextend",
                        "-y",
                        "-L",
                        f"+{size}",
                        f"{group}/{chance.choice(names)}",
                        may_fail=True,
                    )
                case 2:
                    lvm(
                        devices,
                        "lvreduce",
                        "-y",
                        "-f",
                        "-L",
                        "-4m",
                        f"{group}/{chance.choice(names)}",
                        may_fail=True,
                    )
                case _:
                    lvm(devices, "lvremove", "-y", f"{group}/{chance.choice(names)}", may_fail=True)
            expected = listed(devices)
            assert here(images, devices) == expected
            agreed += len(expected)
        lvm(devices, "vgcfgbackup", "-f", str(tmp_path / "%s.vg"))
        for group in ("first-vg", "second"):
            assert group in parse_text((tmp_path / f"{group}.vg").read_bytes())
    assert agreed > CHANGES
    print(f"logical volumes where lvm lists them: {agreed} in {CHANGES} states of 2 groups")
