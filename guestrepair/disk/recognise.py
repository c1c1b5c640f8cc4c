"""What a file is, by its own first (and last) bytes: never by libguestfs's or qemu's guess.

The rules are ours because of who writes those bytes: the first sector of a raw
disk belongs to the guest, which may put the header of a container there that
leads to files of this host. So a name or an option that says "raw" wins, and
what is clearly no disk is refused with the way to make one of it.
"""

from __future__ import annotations

import struct

from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.headers import Source, qcow2, vdi, vhd, vhdx, vmdk
from guestrepair.disk.image import Format
from guestrepair.errors import ImageError, UnsafeImageError

RAW_NAMES = frozenset({".raw", ".dd"})
"""Suffixes that say "raw" and nothing else; .img is used for every format."""

FORMAT_NAMES: dict[Format, frozenset[str]] = {
    Format.RAW: RAW_NAMES,
    Format.QCOW2: frozenset({".qcow2", ".qcow", ".qc2"}),
    Format.VMDK: frozenset({".vmdk"}),
    Format.VPC: frozenset({".vhd", ".vpc"}),
    Format.VHDX: frozenset({".vhdx", ".avhdx"}),
    Format.VDI: frozenset({".vdi"}),
}

_HEAD_BYTES = 4096
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
)
_ARCHIVES = (
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)
_EVIDENCE = (b"EVF\x09\x0d\x0a\xff\x00", b"EVF2\x0d\x0a\x81\x00")
"""EWF-E01 and EWF-Ex01 (libewf's description of the format)."""

_FOREIGN = (
    (b"QED\0", "QED", "qed"),
    (b"WithoutFreeSpace", "Parallels", "parallels"),
    (b"WithouFreSpacExt", "Parallels", "parallels"),
    (b"Bochs Virtual HD Image", "Bochs", "bochs"),
    (b"#!/bin/sh\n#V2.0 Format\n", "cloop", "cloop"),
)


def recognise(path: ImageName, source: Source) -> Format:
    """The format of a regular file whose format nobody has said.

    Raises:
        ImageError: it is no disk image, or one that is not opened here; the hint says what to do.
        UnsafeImageError: named like a raw disk, but it begins like a container.
    """
    head = source.read(0, _HEAD_BYTES)
    found = container_format(head)
    if found is not None:
        if path.suffix.lower() in RAW_NAMES:
            raise UnsafeImageError(
                f"{path}: named like a raw disk, but its first bytes are those of {found.display}",
                hint=f"a guest can write such bytes; say which it is: --input-format raw or {found}",
            )
        return found
    _refuse_other_kinds(path, source, head)
    if path.suffix.lower() in FORMAT_NAMES[Format.VPC] and vhd.is_footer(
        source.read(source.size_bytes - 512, 512)
    ):
        # A fixed VHD is a raw disk with a footer, which a guest can write too: only the name can tell.
        return Format.VPC
    return Format.RAW


def container_format(head: bytes) -> Format | None:
    """The container whose header these first bytes of a file are; None for any other file."""
    if head.startswith(qcow2.MAGIC) and head[4:8] != b"\0\0\0\1":
        return Format.QCOW2
    if head.startswith((vmdk.MAGIC_SPARSE, vmdk.MAGIC_ESX)) or _is_vmdk_descriptor(head):
        return Format.VMDK
    if head.startswith(vhdx.MAGIC):
        return Format.VHDX
    if head.startswith(vhd.COOKIE):
        return Format.VPC
    if head[vdi.SIGNATURE_AT : vdi.SIGNATURE_AT + 4] == struct.pack("<I", vdi.SIGNATURE):
        return Format.VDI
    return None


def _is_vmdk_descriptor(head: bytes) -> bool:
    """As qemu's vmdk_probe: comments and empty lines, then a version line."""
    for line in head.split(b"\n"):
        stripped = line.strip()
        if stripped.startswith(b"#") or not stripped:
            continue
        return stripped in (b"version=1", b"version=2", b"version=3")
    return head.startswith(vmdk.DESCRIPTOR_START)


def _refuse_other_kinds(path: ImageName, source: Source, head: bytes) -> None:
    kind = _other_kind(head)
    if kind is not None:
        what, remedy = kind
        hint = f"{remedy} first, or, if it is a raw disk all the same, say --input-format raw"
        raise ImageError(f"{path}: {what}, not a disk image", hint=hint)
    for magic, display, driver in _FOREIGN:
        if head.startswith(magic):
            _refuse_foreign(path, display, driver)
    if head.startswith(qcow2.MAGIC):
        _refuse_foreign(path, "qcow version 1", "qcow")
    if source.size_bytes >= 512 and source.read(source.size_bytes - 512, 4) == b"koly":
        _refuse_foreign(path, "an Apple disk image", "dmg")
    if is_text(head):
        raise ImageError(
            f"{path}: a text file, not a disk image", hint="give the path of the disk image itself"
        )
    if source.size_bytes < 512:
        raise ImageError(
            f"{path}: {source.size_bytes} bytes, too small to be a disk", hint="is the copy complete?"
        )


def _other_kind(head: bytes) -> tuple[str, str] | None:
    """What a compressed file or an archive is, and what to do with it; None for anything else."""
    for magic, name, program in _COMPRESSED:
        if head.startswith(magic):
            return f"compressed with {name}", f"decompress it ({program})"
    for magic, what in _ARCHIVES:
        if head.startswith(magic):
            return what, "unpack the disk from it"
    if head.startswith(_EVIDENCE):
        remedy = "mount it (ewfmount FILE.E01 DIR, then scan DIR/ewf1)"
        return "an EWF evidence file (EnCase, .E01)", remedy
    if head[257:262] == b"ustar":
        is_ova = b".ovf" in head
        what = "an OVA (a tar archive of a machine)" if is_ova else "a tar archive"
        return what, "name the disk in it, as in X.tar!disk.raw, or unpack it"
    return None


def _refuse_foreign(path: ImageName, display: str, driver: str) -> None:
    raise ImageError(
        f"{path}: the format is {display}, which is not opened here",
        hint=f"convert a copy first: qemu-img convert -f {driver} -O qcow2 {path.name} {path.stem}.qcow2",
    )


def is_text(head: bytes) -> bool:
    """True for bytes that read as UTF-8 text without control characters other than white space."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return bool(text) and all(c.isprintable() or c in "\t\n\r\f\x1b" for c in text)
