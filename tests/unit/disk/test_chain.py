"""Which references of an image's header are followed, and what is said of those that are not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor
from guestrepair.disk import chain
from guestrepair.disk.chain import known_files, read_chain
from guestrepair.disk.image import Format
from guestrepair.errors import ImageAccessError, ImageError, UnsafeImageError
from tests.support.real_images import real_image

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "images"
    home.mkdir()
    disk(home / "base.img")
    (tmp_path / "elsewhere").mkdir()
    disk(tmp_path / "elsewhere" / "base.img")
    return home


def disk(path: Path) -> Path:
    """A raw disk with a boot signature."""
    path.write_bytes((bytes(510) + b"\x55\xaa").ljust(MIB, b"\0"))
    return path


def qcow2(path: Path, backing: str, kind: str | None = "raw") -> Path:
    """A qcow2 whose header names that backing file, which need not be there."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    command = ["qemu-img", "rebase", "-q", "-u", "-b", backing]
    subprocess.run([*command, *(("-F", kind) if kind else ("-F", "qcow2")), path], check=True)
    if kind is None:
        data = path.read_bytes()
        at = data.index(b"\xe2\x79\x2a\xca")  # the extension that says the format: one that nobody knows
        path.write_bytes(data[:at] + b"\x11\x11\x11\x11" + data[at + 4 :])
    return path


def layers(path: Path, *allowed: Path, explicit: bool = False) -> list[tuple[str, Format]]:
    found = read_chain(path, Format.QCOW2 if explicit else None, explicit=explicit, allow_backing=allowed)
    return [(layer.path.name, layer.format) for layer in found]


@pytest.mark.parametrize("name", ["base.img", "./base.img", "../images/base.img", "alias.img"])
def test_a_file_beside_the_image_is_followed_however_it_is_called(folder: Path, name: str) -> None:
    (folder / "alias.img").symlink_to("base.img")
    top = qcow2(folder / "top.qcow2", name)
    assert layers(top) == [("top.qcow2", Format.QCOW2), ("base.img", Format.RAW)]
    assert layers(top, explicit=True) == layers(top)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nbd://host/disk", "a protocol or pseudo file name"),
        ("json:{}", "a protocol or pseudo file name"),
        ("file:base.img", "a protocol or pseudo file name"),
        ("../elsewhere/base.img", "leads out of the image's own directory"),
        ("/etc/passwd", "leads out of the image's own directory"),
        ("out.img", "leads out of the image's own directory"),
        ("sub/base.img", "leads out of the image's own directory"),
        ("sub", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("round", "Too many levels of symbolic links"),
        ("notes.txt", "text"),
    ],
)
def test_what_is_not_followed_is_refused_with_the_reason(folder: Path, name: str, why: str) -> None:
    (folder / "out.img").symlink_to("../elsewhere/base.img")
    (folder / "sub").mkdir()
    disk(folder / "sub/base.img")
    os.mkfifo(folder / "pipe")
    (folder / "round").symlink_to("round")
    (folder / "notes.txt").write_text("a text of the host, of many words\n" * 50)
    top = qcow2(folder / "top.qcow2", name)
    with pytest.raises(UnsafeImageError) as error:
        layers(top)
    assert why in error.value.message
    assert "top.qcow2: its backing file" in error.value.message
    assert known_files(top) == (top, top.resolve())


def test_a_directory_that_the_user_allows_may_be_led_to(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    top = qcow2(folder / "top.qcow2", "../elsewhere/base.img")
    assert layers(top, elsewhere) == [("top.qcow2", Format.QCOW2), ("base.img", Format.RAW)]
    with pytest.raises(UnsafeImageError, match="leads out"):
        layers(top, elsewhere / "below")


def test_a_file_that_is_not_there_is_said_with_what_to_do(folder: Path) -> None:
    top = qcow2(folder / "top.qcow2", "gone.img")
    with pytest.raises(ImageAccessError, match=r"'gone\.img' is not there") as error:
        layers(top)
    assert "beside the image" in error.value.hint


def test_a_circle_is_refused(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "b.qcow2", "qcow2")
    qcow2(folder / "b.qcow2", "a.qcow2", "qcow2")
    with pytest.raises(UnsafeImageError, match="runs in a circle"):
        layers(folder / "a.qcow2")


def test_a_chain_without_end_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "MAX_LAYERS", 3)
    below = "base.img"
    for number in range(4):
        qcow2(folder / f"{number}.qcow2", below, "qcow2" if number else "raw")
        below = f"{number}.qcow2"
    assert len(layers(folder / "1.qcow2")) == 3
    with pytest.raises(UnsafeImageError, match="a backing chain of more than 3 files"):
        layers(folder / "3.qcow2")


def test_a_format_that_is_not_opened_is_refused_by_its_name(folder: Path) -> None:
    top = qcow2(folder / "top.qcow2", "base.img")
    data = top.read_bytes()
    at = data.index(b"\xe2\x79\x2a\xca")
    top.write_bytes(data[: at + 7] + b"\x03ssh" + data[at + 11 :])
    with pytest.raises(UnsafeImageError, match="of format 'ssh', which is not opened here"):
        layers(top)


def test_a_hard_link_to_a_file_of_another_owner_is_refused(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can make a file of another owner")
    os.link(disk(folder.parent / "secret.img"), folder / "linked.img")
    os.chown(folder / "linked.img", 65534, 65534)
    top = qcow2(folder / "top.qcow2", "linked.img")
    with pytest.raises(UnsafeImageError, match="a hard link to a file of another owner"):
        layers(top)
    assert len(layers(top, folder)) == 2


def test_a_raw_disk_that_names_a_file_is_refused_until_the_format_is_said(folder: Path) -> None:
    hidden = qcow2(folder / "guest.img", "base.img")
    with pytest.raises(UnsafeImageError, match="its header names another file as backing file") as error:
        layers(hidden)
    assert "--input-format qcow2" in error.value.hint
    assert len(layers(hidden, explicit=True)) == 2


@pytest.mark.parametrize("name", ["sub/part.vmdk", "..", "i", "d"])
def test_an_extent_lies_beside_its_descriptor_under_a_name_of_its_own(folder: Path, name: str) -> None:
    (folder / "top.vmdk").write_bytes(vmdk_descriptor(f'RW 2048 FLAT "{name}" 0'))
    with pytest.raises(ImageError):
        layers(folder / "top.vmdk")


def test_a_header_that_is_cut_off_is_refused(folder: Path) -> None:
    top = qcow2(folder / "top.qcow2", "base.img")
    top.write_bytes(top.read_bytes()[:50])
    with pytest.raises(UnsafeImageError):
        layers(top)


def test_a_disk_that_is_none_by_itself_is_refused_with_what_to_do(folder: Path) -> None:
    data = bytearray(real_image("vpc"))
    data[60:64] = (4).to_bytes(4, "big")
    (folder / "child.vhd").write_bytes(data)
    with pytest.raises(ImageError, match="a differencing VHD") as error:
        layers(folder / "child.vhd")
    assert "convert a copy to qcow2" in error.value.hint


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (('RW 8 FLAT "../elsewhere/base.img" 0',), "must lie beside its descriptor"),
        (('RW 8 FLAT ".." 0',), "must lie beside its descriptor"),
        (('RW 8 FLAT "i" 0',), "a name that is needed here"),
        (('RW 8 FLAT "base.img" 0', 'RW 8 FLAT "alias.img" 0'), "is used twice in the chain"),
        (('RW 8 FLAT "top.vmdk" 0',), "is used twice in the chain"),
        (('RW 4096 FLAT "base.img" 0',), "should reach to byte 2097152, it ends at 1048576"),
        (('RW 8 SPARSE "base.img"',), "does not begin as an extent of type SPARSE"),
    ],
)
def test_an_extent_is_refused_with_the_reason(folder: Path, lines: tuple[str, ...], why: str) -> None:
    (folder / "alias.img").symlink_to("base.img")
    (folder / "top.vmdk").write_bytes(vmdk_descriptor(*lines))
    with pytest.raises(UnsafeImageError) as error:
        layers(folder / "top.vmdk")
    assert "top.vmdk: its extent '" in error.value.message
    assert why in error.value.message
