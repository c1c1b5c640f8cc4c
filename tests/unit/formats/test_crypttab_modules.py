"""crypttab(5), modules.dep, modules.builtin and modprobe.d(5)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats import crypttab, modules


def test_crypttab_fields_and_places() -> None:
    data = b"# name source key options\ncr_root  UUID=ab none luks,discard\nlone\n"
    data += b"sw /dev/sda4 /dev/urandom swap\n"
    first, second = crypttab.parse(data)
    assert (first.name, first.source, first.options) == ("cr_root", "UUID=ab", ("luks", "discard"))
    assert data[first.source_offset : first.source_offset + first.source_length] == b"UUID=ab"
    assert (first.number, second.number) == (2, 4)
    assert first.required
    assert not first.is_plain
    assert second.makes_swap
    assert second.is_plain


def test_modules() -> None:
    dep = (
        b"kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko\n"
    )
    assert modules.parse_dependencies(dep) == {"xfs": ("libcrc32c",), "vfat": ("fat",)}
    assert modules.parse_modules_builtin(b"kernel/fs/ext4/ext4.ko\nkernel/a-b.ko\n") == {"ext4", "a_b"}


NVME, DISK = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", "scsi:t-0x00"


def test_the_modules_for_a_device_by_its_modalias() -> None:
    alias = (
        b"# Aliases extracted from modules themselves.\nalias pci:v*d*sv*sd*bc01sc08i02* nvme\n"
        b"alias pci:v0000106Bd00002001sv*sd*bc*sc*i* other\nalias scsi:t-0x00* sd-mod\nalias scsi:t-0x0e* x\n"
        b"alias " + b"*" * 600 + b" star\nalias broken\n"
    )
    assert modules.parse_aliases(alias, (NVME, DISK)) == {NVME: {"nvme"}, DISK: {"sd_mod"}}
    info = b"nvme.license=GPL\0nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0ext4.alias=fs-ext4\0"
    assert modules.parse_builtin_aliases(info, (NVME, DISK)) == {NVME: {"nvme"}, DISK: frozenset()}


def test_modprobe_conf() -> None:
    text = b"# no\nblacklist vfat\ninstall xfs /bin/false\ninstall a /sbin/modprobe b\noptions x y=1\n"
    assert [(b.name, b.how, b.line) for b in modules.parse_modprobe_conf(text)] == [
        ("vfat", "blacklist", 2),
        ("xfs", "/bin/false", 3),
    ]


def test_sizes_are_limited() -> None:
    with pytest.raises(FormatError):
        crypttab.parse(b"#" * (crypttab.MAX_SIZE_BYTES + 1))
    with pytest.raises(FormatError):
        modules.parse_dependencies(b"#" * (modules.MAX_SIZE_BYTES + 1))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for entry in crypttab.parse(data):
        end = entry.source_offset + entry.source_length
        assert data[entry.source_offset : end].decode("utf-8", "surrogateescape") == entry.source
    with contextlib.suppress(FormatError):
        modules.parse_dependencies(data)
        modules.parse_modules_builtin(data)
        modules.parse_modprobe_conf(data)
        modules.parse_aliases(b"alias " + data, (NVME,))
        modules.parse_builtin_aliases(data, (NVME,))
