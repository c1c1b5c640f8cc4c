"""Digests that one image leaves for others: of what they share, as long as that is what it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.known_digests import Key, KnownDigests, SharedBase
from tests.unit.disk.test_shared import CLUSTER, SIZE, overlay, written

IN_BOTH = ((0, 8 * CLUSTER, 100), (100, 9 * CLUSTER, 50))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    below = tmp_path / "base.raw"
    below.write_bytes(os.urandom(SIZE))
    return below


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept.sqlite"


def known(kept: Path, image: Path) -> KnownDigests:
    found = SharedBase.of(examine(image).layers)
    return KnownDigests(kept, {} if found is None else {"/dev/sda": found})


def key_of(digests: KnownDigests, *pieces: tuple[int, int, int], disk: str = "/dev/sda") -> Key | None:
    return digests.key(disk, "md5", 150, pieces or IN_BOTH)


def leave(kept: Path, image: Path, digest: str = "abc") -> None:
    digests = known(kept, image)
    key = key_of(digests)
    assert key is not None
    digests.keep(key, digest)
    digests.save()


def find(kept: Path, image: Path, *pieces: tuple[int, int, int]) -> str | None:
    digests = known(kept, image)
    key = key_of(digests, *pieces)
    return None if key is None else digests.find(key)


def test_what_one_image_has_read_the_others_know(base: Path, kept: Path) -> None:
    one, two = overlay(base, base.with_name("1.qcow2")), overlay(base, base.with_name("2.qcow2"))
    written(two, (1, 7))
    leave(kept, one)
    assert find(kept, two) == "abc"
    assert find(kept, two, IN_BOTH[0]) is None, "other pieces are another file"


def test_nothing_is_known_of_what_an_image_holds_itself(base: Path, kept: Path) -> None:
    one, two = overlay(base, base.with_name("1.qcow2")), overlay(base, base.with_name("2.qcow2"))
    written(two, (9, 7))
    leave(kept, one)
    assert key_of(known(kept, two)) is None, "its last piece lies in a cluster of its own"
    assert key_of(known(kept, two), (0, 8 * CLUSTER, CLUSTER)) is not None
    assert key_of(known(kept, two), (0, 8 * CLUSTER, CLUSTER + 1)) is None


def test_zeros_that_an_image_has_put_over_it_are_its_own(base: Path, kept: Path) -> None:
    one = overlay(base, base.with_name("1.qcow2"))
    zero = ["qemu-io", "-c", f"write -z {9 * CLUSTER} 64k", str(one)]
    subprocess.run(zero, check=True, stdout=subprocess.DEVNULL)
    assert key_of(known(kept, one)) is None


@pytest.mark.parametrize("change", ["content", "time", "another file"])
def test_a_backing_file_that_changed_is_another_one(base: Path, kept: Path, change: str) -> None:
    one = overlay(base, base.with_name("1.qcow2"))
    leave(kept, one)
    status = base.stat()
    if change == "content":
        with base.open("r+b") as file:
            file.write(b"other")
        os.utime(base, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(base, (1, 1))
    else:
        content = base.read_bytes()
        base.unlink()
        base.write_bytes(content)
    assert find(kept, one) is None


def test_nothing_is_kept_of_a_backing_file_that_changed_meanwhile(base: Path, kept: Path) -> None:
    one = overlay(base, base.with_name("1.qcow2"))
    digests = known(kept, one)
    key = key_of(digests)
    assert key is not None
    digests.keep(key, "abc")
    with base.open("r+b") as file:
        file.write(b"other")
    digests.save()
    assert not kept.exists()


@pytest.mark.parametrize("shorter", [True, False])
def test_of_what_shares_nothing_nothing_is_known(base: Path, shorter: bool) -> None:
    image = overlay(base, base.with_name("1.qcow2"), size=SIZE // 2) if shorter else base
    assert SharedBase.of(examine(image, input_format=None if shorter else "raw").layers) is None


def test_a_file_that_cannot_be_used_costs_nothing_but_time(base: Path, kept: Path) -> None:
    one = overlay(base, base.with_name("1.qcow2"))
    kept.write_bytes(os.urandom(8192))
    before = kept.read_bytes()
    assert find(kept, one) is None
    leave(kept, one)
    assert kept.read_bytes() == before
    leave(kept.with_name("missing") / "kept.sqlite", one)


def test_other_disks_are_not_mixed(base: Path, kept: Path) -> None:
    digests = known(kept, overlay(base, base.with_name("1.qcow2")))
    assert key_of(digests, disk="/dev/sdb") is None
