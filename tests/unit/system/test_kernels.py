"""Kernels: which are installed, and whether their files are whole."""

from __future__ import annotations

import contextlib
import lzma
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.kernels import Kernels

RELEASE = "6.1.0-1-amd64"
IMAGE, INITRD = P(f"/boot/vmlinuz-{RELEASE}"), P(f"/boot/initrd.img-{RELEASE}")


def kernel(release: str = RELEASE) -> bytes:
    head = bytearray(2048)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<I", head, 0x1F4, 64)
    struct.pack_into("<H", head, 0x20E, 0x100)
    text = f"{release} (debian) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head)


def cpio(name: bytes = b"init", data: bytes = b"x") -> bytes:
    def member(n: bytes, d: bytes) -> bytes:
        fields = [1, 0o100755, 0, 0, 1, 0, len(d), 0, 0, 0, 0, len(n) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + n + b"\0"
        head += bytes(-len(head) % 4)
        return head + d + bytes(-len(d) % 4)

    return member(name, data) + member(b"TRAILER!!!", b"")


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file(str(IMAGE), kernel())
    made.file(str(INITRD), cpio() + gzip(cpio(data=bytes(4096))))
    made.file(f"/lib/modules/{RELEASE}/modules.dep", "kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko\n")
    made.file(f"/lib/modules/{RELEASE}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    return made


def test_installed_kernels_are_known_by_modules_and_by_image(guest: MemoryGuest) -> None:
    guest.directory("/lib/modules/5.10.0")
    guest.file("/boot/vmlinuz-4.19")
    guest.file("/boot/initramfs-4.19.img")
    guest.file("/boot/vmlinuz")
    found = {k.release: (k.modules, k.image, k.initramfs) for k in Kernels(guest).installed}
    assert found == {
        RELEASE: (P(f"/lib/modules/{RELEASE}"), IMAGE, INITRD),
        "5.10.0": (P("/lib/modules/5.10.0"), None, None),
        "4.19": (None, P("/boot/vmlinuz-4.19"), P("/boot/initramfs-4.19.img")),
    }


@pytest.mark.parametrize(
    ("content", "problem", "release"),
    [
        (kernel(), "", RELEASE),
        (kernel()[:1600], "it is cut off: 1600 bytes of 2048", RELEASE),
        (b"", "it is empty", ""),
        (bytes(4096), "it holds nothing but zeros", ""),
        (b"\x7fELF" + b"x" * 4096, "", ""),
    ],
)
def test_the_state_of_a_kernels_file(guest: MemoryGuest, content: bytes, problem: str, release: str) -> None:
    guest.file("/boot/real", content)
    guest.link("/boot/vmlinuz", "real")
    found = Kernels(guest).image(P("/boot/vmlinuz"))
    assert found is not None
    assert (found.problem, found.release, found.size_bytes) == (problem, release, len(content))


@pytest.mark.parametrize(
    ("content", "problem", "compression", "packed_at"),
    [
        (cpio(), "", "", None),
        (cpio() + bytes(64) + gzip(cpio(data=bytes(4096))), "", "gzip", len(cpio()) + 64),
        (gzip(cpio(data=bytes(range(256)) * 64))[:-40], "it is cut off", "gzip", 0),
        (b"\x28\xb5\x2f\xfd\x24\x10\xff\xff\xff", "its zstd data is damaged", "zstd", 0),
        (b"\xfd7zXZ\0" + b"x" * 100, "its xz data is damaged", "xz", 0),
        (lzma.compress(cpio(data=bytes(range(256)) * 64))[:-40], "it is cut off", "xz", 0),
        (b"\x89LZO" + b"x" * 100, "", "lzo", 0),
        (cpio()[:60], "it is cut off", "", None),
        (b"", "it is empty", "", None),
        (b"hello world", "it is neither a cpio archive nor compressed as the kernel knows it", "", None),
    ],
)
def test_the_state_of_an_initramfs(
    guest: MemoryGuest, content: bytes, problem: str, compression: str, packed_at: int | None
) -> None:
    guest.file(str(INITRD), content)
    found = Kernels(guest).initramfs(INITRD)
    assert found is not None
    assert (found.problem, found.image.compression, found.image.packed_at) == (
        problem,
        compression,
        packed_at,
    )


def test_a_file_that_is_not_there_is_none_and_an_unreadable_one_raises_each_time(guest: MemoryGuest) -> None:
    assert Kernels(guest).image(P("/boot/no")) is None
    assert Kernels(guest).initramfs(P("/boot/no")) is None
    guest.nodes[IMAGE].unreadable = guest.nodes[INITRD].unreadable = "Input/output error"
    kernels = Kernels(guest)
    for _ in range(2):
        with pytest.raises(GuestReadError, match="Input/output error"):
            kernels.image(IMAGE)
        with pytest.raises(GuestReadError, match="Input/output error"):
            kernels.initramfs(INITRD)


def test_an_initramfs_of_too_many_parts_is_unreadable_and_not_whole(guest: MemoryGuest) -> None:
    guest.file(str(INITRD), gzip(b"") * 5_000)
    with pytest.raises(GuestReadError, match="not all of them were looked at"):
        Kernels(guest).initramfs(INITRD)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (RELEASE, kernel(), True),
        (RELEASE, kernel()[:1600], False),
        (RELEASE, b"", False),
        ("", kernel(), False),
        ("..", kernel(), False),
    ],
)
def test_the_copy_that_a_package_keeps_is_given_only_when_it_is_whole(
    guest: MemoryGuest, name: str, content: bytes, *, expected: bool
) -> None:
    guest.file(f"/lib/modules/{RELEASE}/vmlinuz", content)
    guest.file("/lib/vmlinuz", content)
    found = Kernels(guest).kept_copy(name)
    assert found == ((P(f"/lib/modules/{RELEASE}/vmlinuz"), content) if expected else None)


@pytest.mark.parametrize("name", ["modules.dep", "modules.dep.bin"])
def test_an_index_is_there_when_it_is_not_empty(guest: MemoryGuest, name: str) -> None:
    guest.remove(f"/lib/modules/{RELEASE}/modules.dep")
    assert not Kernels(guest).has_index(RELEASE)
    guest.file(f"/lib/modules/{RELEASE}/{name}", b"")
    assert not Kernels(guest).has_index(RELEASE)
    guest.file(f"/lib/modules/{RELEASE}/{name}", b"x")
    assert Kernels(guest).has_index(RELEASE)


@given(st.binary(max_size=3000), st.text(max_size=40))
def test_hostile_images_and_names(content: bytes, name: str) -> None:
    guest = MemoryGuest()
    guest.file("/boot/vmlinuz-a", kernel()[: len(content) // 2] + content)
    guest.file("/boot/initrd.img-a", cpio() + content)
    kernels = Kernels(guest)
    assert kernels.image(P("/boot/vmlinuz-a")) is not None
    with contextlib.suppress(GuestReadError):  # a window of two gigabytes, say
        assert kernels.initramfs(P("/boot/initrd.img-a")) is not None
    assert kernels.modules(name) is None
    assert kernels.kept_copy(name) is None
