"""Repair and undo on every format and subformat that can be written, judged by qemu-img compare."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import Transaction, check_writable, examine, history, state_directory, undo
from guestrepair.errors import ImageError, StateError
from tests.fault import victim

pytestmark = pytest.mark.fault

WRITABLE = (
    ("qcow2", ""), ("qcow2", "compat=0.10"), ("qcow2", "cluster_size=4k"), ("qcow2", "cluster_size=2M"),
    ("qcow2", "extended_l2=on"), ("qcow2", "lazy_refcounts=on"), ("qcow2", "preallocation=metadata"),
    ("vmdk", "subformat=monolithicSparse"), ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=twoGbMaxExtentSparse"), ("vmdk", "subformat=twoGbMaxExtentFlat"),
    ("vpc", "subformat=dynamic"), ("vpc", "subformat=fixed"), ("vhdx", "subformat=dynamic"),
    ("vhdx", "subformat=fixed"), ("vdi", ""), ("vdi", "static=on"),
)  # fmt: skip


def make(home: Path, format_name: str, options: str) -> Path:
    """16 MiB with data and holes, under the format's usual name."""
    disk = home / f"disk.{'vhd' if format_name == 'vpc' else format_name}"
    chosen = ["-o", options] if options else []
    subprocess.run(["qemu-img", "create", "-q", "-f", format_name, *chosen, disk, "16M"], check=True)
    write = ["-c", "write -P 1 0 7M", "-c", "write -P 2 12M 64k"]
    subprocess.run(["qemu-io", "-f", format_name, *write, disk], check=True, stdout=subprocess.DEVNULL)
    return disk


def as_raw(disk: Path, format_name: str) -> bytes:
    """What a guest sees."""
    out = disk.with_suffix(".seen")
    subprocess.run(["qemu-img", "convert", "-f", format_name, "-O", "raw", disk, out], check=True)
    return out.read_bytes()


def repair(disk: Path, state: Path) -> int:
    """One repair; how many bytes it wrote."""
    with Transaction.begin(examine(disk), state) as transaction:
        victim.change(transaction.overlay)
        return transaction.commit().changed_bytes


@pytest.mark.parametrize(("format_name", "options"), WRITABLE, ids=lambda x: x or "plain")
def test_repair_and_undo(format_name: str, options: str, tmp_path: Path) -> None:
    disk = make(tmp_path, format_name, options)
    before = as_raw(disk, format_name)
    state = state_directory(tmp_path / "state")
    assert repair(disk, state) == (12 + 256 + 2560 + 4) << 10
    after = as_raw(disk, format_name)
    assert after != before
    assert after[4096 : 4096 + (12 << 10)] == b"\x21" * (12 << 10)
    if format_name in ("qcow2", "vmdk", "vhdx", "vdi"):
        check = subprocess.run(["qemu-img", "check", "-q", "-f", format_name, disk], check=False)
        assert check.returncode in (0, 3, 63)
    undo(examine(disk), state)
    assert as_raw(disk, format_name) == before
    with pytest.raises(StateError, match="no repair"):
        undo(examine(disk), state)


def test_a_compressed_stream_is_refused_before_anything_starts(tmp_path: Path) -> None:
    raw = make(tmp_path, "raw", "")
    disk = tmp_path / "disk.vmdk"
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *stream, raw, disk], check=True)
    before = disk.read_bytes()
    with pytest.raises(ImageError, match="streamOptimized") as refusal:
        check_writable(examine(disk))
    assert "qemu-img convert" in refusal.value.hint
    assert disk.read_bytes() == before


def test_a_sparse_raw_disk_stays_sparse(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.touch()
    os.truncate(disk, 20 << 30)
    state = state_directory(tmp_path / "state")
    changed = repair(disk, state)
    assert changed < 4 << 20
    assert disk.stat().st_size == 20 << 30
    assert disk.stat().st_blocks * 512 < 8 << 20
    kept = sum(f.stat().st_blocks * 512 for f in state.rglob("*") if f.is_file())
    assert kept < 8 << 20, "undo data is what changed, not the disk"
    undo(examine(disk), state)
    assert disk.stat().st_blocks * 512 < 1 << 20, "the holes are back"


@pytest.mark.parametrize("how", ["renamed", "link", "hard-link"])
def test_undo_finds_the_repair_under_another_name(how: str, tmp_path: Path) -> None:
    disk = make(tmp_path, "qcow2", "")
    before = as_raw(disk, "qcow2")
    state = state_directory(tmp_path / "state")
    repair(disk, state)
    other = tmp_path / "other.qcow2"
    if how == "renamed":
        disk.rename(other)
    elif how == "link":
        other.symlink_to(disk)
    else:
        os.link(disk, other)
    assert [e.undoable for e in history(examine(other), state)] == [True]
    undo(examine(other), state)
    assert as_raw(other, "qcow2") == before


def test_undo_after_two_repairs_takes_the_last_first(tmp_path: Path) -> None:
    disk = make(tmp_path, "raw", "")
    state = state_directory(tmp_path / "state")
    seen = [disk.read_bytes()]
    for number in (1, 2):
        with Transaction.begin(examine(disk), state) as transaction:
            write = f"write -P {number + 64} 1M 64k"
            command = ["qemu-io", "-f", "qcow2", "-c", write, str(transaction.overlay)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            transaction.commit()
        seen.append(disk.read_bytes())
    for expected in (seen[1], seen[0]):
        undo(examine(disk), state)
        assert disk.read_bytes() == expected
    with pytest.raises(StateError, match="no repair"):
        undo(examine(disk), state)


@pytest.mark.parametrize("how", ["written", "replaced", "grown"])
def test_undo_is_refused_when_the_image_has_changed(how: str, tmp_path: Path) -> None:
    disk = make(tmp_path, "raw", "")
    original = disk.read_bytes()
    state = state_directory(tmp_path / "state")
    repair(disk, state)
    if how == "written":
        with disk.open("r+b") as file:
            file.seek(9 << 20)
            file.write(b"x")
    elif how == "replaced":
        disk.unlink()
        disk.write_bytes(os.urandom(len(original)))
    else:
        os.truncate(disk, 20 << 20)
    changed = disk.read_bytes()
    with pytest.raises(StateError) as refusal:
        undo(examine(disk), state)
    assert refusal.value.hint
    assert "changed since" in refusal.value.message
    assert disk.read_bytes() == changed
    if how == "written":
        undo(examine(disk), state, force=True)
        assert disk.read_bytes() == original[: 9 << 20] + b"x" + original[(9 << 20) + 1 :]


def test_a_qemu_that_has_it_open_keeps_it(tmp_path: Path) -> None:
    disk = make(tmp_path, "qcow2", "")
    state = state_directory(tmp_path / "state")
    server = subprocess.Popen(["qemu-nbd", "-f", "qcow2", "-k", tmp_path / "socket", "--persistent", disk])
    try:
        while not (tmp_path / "socket").exists():
            assert server.poll() is None
        with pytest.raises(ImageError, match="in use"), Transaction.begin(examine(disk), state):
            pass
    finally:
        server.kill()
        server.wait()
    assert repair(disk, state)


def test_two_repairs_at_once_the_second_is_refused(tmp_path: Path) -> None:
    disk = make(tmp_path, "raw", "")
    one, two = state_directory(tmp_path / "one"), state_directory(tmp_path / "two")
    with (
        Transaction.begin(examine(disk), one),
        pytest.raises(ImageError, match="another repair"),
        Transaction.begin(examine(disk), two),
    ):
        pass
    assert repair(disk, two)
