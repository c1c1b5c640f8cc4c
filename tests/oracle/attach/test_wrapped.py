"""Disks in compressed files and archives, made by the programs that people use."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.attach import unpack
from guestrepair.disk.attach.attachment import attached
from guestrepair.disk.space import free_bytes
from guestrepair.errors import ImageAccessError, ImageError
from tests.oracle.attach.conftest import MIB, location, whole
from tests.support.servers import RangeServer, range_server


def made(disk: Path, command: str) -> Path:
    """What a shell command makes of ``disk.raw``, in ``made``."""
    subprocess.run(["sh", "-c", f"{command} > made"], check=True, cwd=disk.parent)
    return disk.parent / "made"


PROGRAMS = {
    ".gz": "gzip -c disk.raw",
    ".xz": "xz -0 -c disk.raw",
    ".zst": "zstd -q -c disk.raw",
    ".bz2": "bzip2 -c disk.raw",
    ".tar!disk.raw": "tar -c disk.raw",
    ".tar!./disk.raw": "tar -c --format=pax ./disk.raw",
    ".tar.gz!disk.raw": "tar -Sc --format=oldgnu disk.raw | gzip",
    ".tgz!disk.raw": "tar -Sc --format=pax disk.raw | gzip",
    ".tar.xz!disk.raw": "tar -c disk.raw | xz",
    ".tar.zst!disk.raw": "touch first; tar -c first disk.raw | zstd",
    ".ova!disk.raw": "touch a.ovf; tar -c --format=ustar a.ovf disk.raw",
}


@pytest.mark.parametrize("suffix", PROGRAMS)
def test_a_wrapped_disk_is_the_disk(disk: Path, content: bytes, suffix: str) -> None:
    outer, mark, member = suffix.partition("!")
    file = made(disk, PROGRAMS[suffix]).rename(disk.with_name(f"x.raw{outer}"))
    assert whole(f"{file}{mark}{member}") == content
    with range_server(RangeServer(file.read_bytes())) as server:
        assert whole(server.url(f"x.raw{outer}") + mark + member) == content


@pytest.mark.parametrize("where", ["here", "there"])
def test_blocks_of_xz_are_unpacked_when_they_are_read(disk: Path, content: bytes, where: str) -> None:
    file = made(disk, "xz -0 --block-size=512KiB -c disk.raw").rename(disk.with_name("disk.raw.xz"))
    with range_server(RangeServer(file.read_bytes())) as server:
        name = str(file) if where == "here" else server.url("disk.raw.xz")
        with attached(location(name)) as found:
            assert found.is_socket
            with found.opened() as source:
                assert source.read(4 * MIB, 1000) == content[4 * MIB : 4 * MIB + 1000]
        assert found.read_bytes < file.stat().st_size / 2
        assert whole(name) == content


def test_a_plain_member_is_read_where_it_lies(disk: Path) -> None:
    file = made(disk, "tar -c disk.raw").rename(disk.with_name("x.tar"))
    with attached(location(f"{file}!disk.raw")) as found, found.opened() as source:
        source.read(0, 512)
        assert found.is_socket
    assert found.read_bytes < MIB


def test_zeros_take_no_room(disk: Path) -> None:
    disk.write_bytes(b"\1" * 512 + bytes(64 * MIB - 512))
    file = made(disk, "gzip -c disk.raw").rename(disk.with_name("disk.raw.gz"))
    with attached(location(str(file))) as found:
        assert found.path.stat().st_size == 64 * MIB
        assert found.path.stat().st_blocks * 512 < MIB


def refused(name: object, kind: type[ImageError] = ImageError) -> str:
    with pytest.raises(kind) as refusal:
        whole(str(name))
    assert refusal.value.hint
    return f"{refusal.value.message}; {refusal.value.hint}"


def test_bombs_end(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.with_name("bomb.raw.gz")
    file.write_bytes(
        subprocess.run(["gzip", "-c"], input=bytes(64 * MIB), check=True, capture_output=True).stdout
    )
    monkeypatch.setattr(unpack, "_ZEROS_BYTES", MIB)
    monkeypatch.setattr(unpack, "_TIMES", 10)
    assert "unpacks to more than" in refused(file)


def test_no_room_is_said(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(disk, "gzip -c disk.raw").rename(disk.with_name("disk.raw.gz"))
    monkeypatch.setattr(unpack, "KEPT_FREE_BYTES", free_bytes(disk.parent) - MIB)
    assert "TMPDIR" in refused(file, ImageAccessError)


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("d.raw.gz", "gzip -c disk.raw | head -c 100000", "cut short"),
        ("d.raw.zst", "zstd -q -c disk.raw | head -c 1000000", "cut short"),
        ("d.raw.xz", "xz -0 -c disk.raw | head -c 1000000", "cut short"),
        ("d.raw.gz", "gzip -c disk.raw | sed 's/a/b/g'", "does not decompress"),
        ("d.raw.gz", "cat disk.raw", "not compressed"),
        ("d.raw.gz", "tar -c disk.raw | gzip", "!disk.raw"),
        ("d.tar!disk.raw", "tar -c disk.raw | head -c 1000000", "cut short"),
        ("d.tar!other", "tar -c disk.raw", "there is 'disk.raw'"),
        ("d.tar!disk.raw", "ln -s /etc/passwd l; tar -c --transform s/l/disk.raw/ l", "no regular file"),
        ("d.tar!disk.raw", "cat disk.raw", "no whole tar archive"),
        ("d.tar.gz!disk.raw", "gzip -c disk.raw", "no whole tar archive"),
        ("d.tar!disk.raw.gz", "gzip -k disk.raw; tar -c disk.raw.gz", "compressed with gzip"),
        ("d.raw.gz", "printf '' | gzip", "empty"),
        ("d.raw.gz", "printf '\\001' | gzip", "too small"),
    ],
)
def test_what_is_no_disk_is_said(disk: Path, name: str, command: str, said: str) -> None:
    outer, mark, member = name.partition("!")
    file = made(disk, command).rename(disk.with_name(outer))
    assert said in refused(f"{file}{mark}{member}")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "x.raw.gz")
    assert "no such file" in refused(f"{tmp_path}/x.tar!disk.raw")


def test_headers_of_an_archive_that_lie(disk: Path) -> None:
    """A size beyond the end, and one that wants all memory for a long name."""
    archive = bytearray(made(disk, "tar -c disk.raw").read_bytes()[:4096])

    def with_size(size: int, kind: bytes = b"0") -> bytes:
        header = bytearray(archive[:512])
        header[124:136] = b"%011o\0" % size
        header[156:157] = kind
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + bytes(archive[512:])

    file = disk.with_name("x.tar")
    for data in (with_size(0o77777777777), with_size(0o77777777777, b"L"), with_size(0o7777777777, b"x")):
        file.write_bytes(data)
        assert refused(f"{file}!disk.raw")


def test_a_qcow2_in_an_archive_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "base.raw").write_bytes(bytes(MIB))
    command = "qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2 && gzip top.qcow2"
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    assert "names another file" in refused(tmp_path / "top.qcow2.gz")
    with (
        attached(location(str(tmp_path / "top.qcow2.gz"))) as found,
        pytest.raises(ImageError, match="names another file"),
    ):
        examine(found, input_format="qcow2", allow_backing=[tmp_path])


def test_crc_of_the_whole(disk: Path) -> None:
    """What gzip's own checksum catches is not given out."""
    packed = bytearray(made(disk, "gzip -c disk.raw").read_bytes())
    packed[-8:-4] = zlib.crc32(b"another").to_bytes(4, "little")
    file = disk.with_name("d.raw.gz")
    file.write_bytes(packed)
    assert "does not decompress" in refused(file)
