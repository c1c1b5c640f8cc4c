"""What is known of an image's file, held against the program that made it: qemu-img's formats and layouts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.operations.opening import image_file


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("a.raw", ("-O", "raw"), ""),
        ("a.qcow2", ("-O", "qcow2"), ""),
        ("a.vhd", ("-O", "vpc", "-o", "subformat=fixed,force_size=on"), "fixed"),
        ("a.vhd", ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"), "dynamic"),
        ("a.vmdk", ("-O", "vmdk", "-o", "subformat=streamOptimized"), "streamOptimized"),
        ("a.vmdk", ("-O", "vmdk", "-o", "subformat=monolithicSparse"), "monolithicSparse"),
        ("a.vmdk", ("-O", "vmdk", "-o", "subformat=monolithicFlat"), "monolithicFlat"),
        ("a.vmdk", ("-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"), "twoGbMaxExtentSparse"),
        ("a.vhdx", ("-O", "vhdx"), ""),
        ("a.vdi", ("-O", "vdi"), ""),
    ],
)
def test_the_layout_is_the_one_that_was_asked_for(
    name: str, options: tuple[str, ...], kind: str, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(range(256)) * 2 + bytes((8 << 20) - 512))
    made = tmp_path / name
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, disk, made], check=True)
    image = examine(made)
    found = image_file(image)
    assert (found.format, found.kind, found.layers) == (options[1], kind, 1)
    assert image.virtual_size_bytes == 8 << 20


def test_a_backing_file_counts(tmp_path: Path) -> None:
    (tmp_path / "base.raw").write_bytes(bytes(1 << 20))
    top = tmp_path / "top.qcow2"
    base = ["-b", "base.raw", "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, top], check=True)
    assert image_file(examine(top)).layers == 2
