"""Less common contents: known by their signatures, with UUID and label where those have fixed places.

Layouts: the Linux kernel's headers of each filesystem, ECMA-119 and Microsoft's
Joliet specification for discs, the ZFS on-disk format specification for pools.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from guestrepair.formats.superblock.model import Block, Device, Superblock, Usage
from guestrepair.formats.superblock.text import dce_uuid, label, utf16_label


@dataclass(frozen=True, slots=True)
class _Simple:
    """A signature, and where the UUID (16 bytes) and the label stand after ``base``; -1: it has none."""

    content: str
    base: int
    magic_at: int
    magics: tuple[bytes, ...]
    uuid_at: int = -1
    label_at: int = -1
    label_bytes: int = 0
    usage: Usage = Usage.FILESYSTEM


_REISERFS = (b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs")
_SIMPLE = (
    _Simple("jfs", 32768, 0, (b"JFS1",), 136, 152, 16),
    _Simple("reiserfs", 65536, 52, _REISERFS, 84, 100, 16),
    _Simple("reiserfs", 8192, 52, _REISERFS, 84, 100, 16),
    _Simple("reiser4", 65536, 0, (b"ReIsEr4",), 20, 36, 16),
    _Simple("gfs2", 65536, 0, (b"\x01\x16\x19\x70\0\0\0\x01",), 256, 160, 64),
    *(_Simple("ocfs2", base, 0, (b"OCFSV2",), 336, 272, 64) for base in (1024, 2048, 4096, 8192)),
    _Simple("cramfs", 0, 16, (b"Compressed ROMFS",), -1, 48, 16),
    _Simple("romfs", 0, 0, (b"-rom1fs-",), -1, 16, 64),
    _Simple("vdo", 0, 0, (b"dmvdo001",), 40, -1, 0, Usage.OTHER),
    _Simple("apfs", 0, 32, (b"NXSB",), 72),
    _Simple("ReFS", 0, 0, (b"\0\0\0ReFS\0",)),
    _Simple("bfs", 0, 0, (b"\xce\xfa\xad\x1b",)),
    _Simple("ubifs", 0, 0, (b"\x31\x18\x10\x06",), 108),
    _Simple("zonefs", 0, 0, (b"SFOZ",)),
    _Simple("ceph_bluestore", 0, 0, (b"bluestore block device",), usage=Usage.OTHER),
)


def probe_simple(device: Device) -> Superblock | None:
    """The contents that a signature at a fixed place is enough for."""
    for kind in _SIMPLE:
        block = device.block(kind.base, 512)
        if not any(block.has(magic, kind.magic_at) for magic in kind.magics):
            continue
        return Superblock(
            content=kind.content,
            usage=kind.usage,
            uuid=dce_uuid(block.bytes_at(kind.uuid_at, 16)) if kind.uuid_at >= 0 else "",
            label=label(block.bytes_at(kind.label_at, kind.label_bytes)) if kind.label_at >= 0 else "",
        )
    return None


def probe_nilfs2(device: Device) -> Superblock | None:
    """NILFS2: a short signature, so its checksum decides."""
    block = device.block(1024, 1024)
    size = block.le16(8)
    if block.le16(6) != 0x3434 or not 20 <= size <= len(block):
        return None
    data = block.data[:16] + bytes(4) + block.data[20:size]
    if zlib.crc32(data, block.le32(12) ^ 0xFFFFFFFF) ^ 0xFFFFFFFF != block.le32(16):
        return None
    return Superblock(
        content="nilfs2",
        uuid=dce_uuid(block.bytes_at(152, 16)),
        label=label(block.bytes_at(168, 80)),
        version=str(block.le32(0)),
    )


def probe_isw_raid(device: Device) -> Superblock | None:
    """A member of an Intel firmware RAID: its configuration lies in the last sector but one."""
    sector = device.block((device.size_bytes // 512 - 2) * 512, 512)
    if not sector.has(b"Intel Raid ISM Cfg Sig. "):
        return None
    return Superblock(content="isw_raid_member", usage=Usage.RAID, version=label(sector.bytes_at(24, 6)))


# --- discs ---------------------------------------------------------------------------


def probe_iso9660(device: Device) -> Superblock | None:
    """An ISO 9660 disc, by its primary volume descriptor; Joliet's longer label where there is one."""
    primary = device.block(0x8000, 2048)
    if not primary.has(b"\x01CD001") or _is_udf(device):
        return None
    name = primary.bytes_at(40, 32).split(b"\0", 1)[0].decode("utf-8", "surrogateescape").rstrip()
    joliet = _joliet(device)
    return Superblock(
        content="iso9660",
        uuid=_disc_date(primary.bytes_at(830, 17)) or _disc_date(primary.bytes_at(813, 17)),
        label=_disc_label(name, joliet),
        version="Joliet Extension" if joliet else "",
        block_size_bytes=primary.le16(128),
        size_bytes=primary.le32(80) * primary.le16(128),
    )


def _is_udf(device: Device) -> bool:
    """The volume recognition sequence announces UDF (ECMA-167, part 3): not this disc's own filesystem."""
    return any(device.get(0x8001 + 2048 * n, 5) in (b"NSR02", b"NSR03") for n in range(32))


def _joliet(device: Device) -> str:
    for number in range(1, 16):
        descriptor = device.block(0x8000 + 2048 * number, 2048)
        if not descriptor.has(b"CD001", 1) or descriptor.u8(0) == 0xFF:
            break
        if descriptor.u8(0) == 2 and descriptor.bytes_at(88, 3) in (b"%/@", b"%/C", b"%/E"):
            return utf16_label(descriptor.bytes_at(40, 32), "utf-16-be")
    return ""


def _disc_label(name: str, joliet: str) -> str:
    # Joliet's sixteen characters may be the beginning of a longer plain label (d-characters only).
    same = len(name) > len(joliet) and all(
        a in {b, b.upper(), "_"} for a, b in zip(name, joliet, strict=False)
    )
    return joliet + name[len(joliet) :] if same and joliet else joliet or name


def _disc_date(raw: bytes) -> str:
    """A date of 17 bytes as ``YYYY-MM-DD-HH-MM-SS-CC``; empty when it is not set."""
    digits = raw[:16]
    if not re.fullmatch(rb"\d{16}", digits) or digits == b"0" * 16:
        return ""
    text = digits.decode()
    return "-".join((text[:4], *(text[at : at + 2] for at in range(4, 16, 2))))


# --- ZFS --------------------------------------------------------------------------------


def probe_zfs(device: Device) -> Superblock | None:
    """A member of a ZFS pool: the name-value list of its first label."""
    data = device.block(16 * 1024, 112 * 1024)
    if not data.has(b"\x01\x01\0\0") or device.size_bytes < 64 << 20:
        return None
    values = _name_values(data)
    if "pool_guid" not in values:
        return None
    return Superblock(
        content="zfs_member",
        uuid=str(values["pool_guid"]),
        label=str(values.get("name", "")),
        version=str(values.get("version", "")),
    )


def _name_values(data: Block) -> dict[str, str | int]:
    """The strings and numbers of the top level (XDR encoding, RFC 4506)."""
    found: dict[str, str | int] = {}
    at = 12
    while at + 12 <= len(data):
        size, name_length = data.be32(at), data.be32(at + 8)
        if size < 20 or name_length > 256:
            break
        name = data.bytes_at(at + 12, name_length).decode("ascii", "replace")
        value = at + 12 + (name_length + 3 & ~3)
        kind = data.be32(value)
        if kind == 8:
            found.setdefault(name, data.be64(value + 8))
        elif kind == 9:
            found.setdefault(name, label(data.bytes_at(value + 12, min(data.be32(value + 8), 256))))
        at += size
    return found
