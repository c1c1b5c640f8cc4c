"""Small btrfs filesystems for tests: of mkfs.btrfs(8), and laid out here item by item, of every form."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lzallright import LZOCompressor

from guestrepair.formats.btrfs_items import name_hash
from guestrepair.formats.btrfs_nodes import Place, parse_node
from guestrepair.formats.btrfs_subvolumes import read_roots
from guestrepair.formats.btrfs_superblock import Geometry, read_geometry
from guestrepair.formats.btrfs_tree import BtrfsTree, open_subvolume, open_tree
from guestrepair.formats.btrfs_volume import END
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Read

NODE, SECTOR, SIZE = 16_384, 4096, 16 << 20
SUPERBLOCK = 0x10000
FSID, CHUNKS_ID, DEVICE_ID = b"f" * 16, b"c" * 16, b"d" * 16
FOLDER, REGULAR, LINK = 0o040755, 0o100644, 0o120777
_ALL = (1 << 64) - 1
_TYPES = {0x4000: 2, 0x8000: 1, 0xA000: 7, 0x1000: 5}
GENERATION = 7

Key = tuple[int, int, int]


def checksum(kind: int, data: bytes) -> bytes:
    """Of the kind with that number."""
    if kind == 2:
        return hashlib.sha256(data).digest()
    if kind == 3:
        return hashlib.blake2b(data, digest_size=32).digest()
    return (crc32c(data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def key(parts: Key) -> bytes:
    """As it stands on disk."""
    return struct.pack("<QBQ", *parts)


def inode(mode: int, size: int = 0, *, links: int = 1, flags: int = 0, used: int = 0) -> bytes:
    """An inode item, its times 1.000000002 and so on."""
    times = struct.pack("<qIqIqIqI", 1, 2, 3, 4, 5, 6, 7, 8)
    head = struct.pack("<5Q4I3Q", 1, GENERATION, size, used or size, 0, links, 10, 20, mode, 0, flags, 0)
    return head + bytes(32) + times


def entry(name: bytes, location: Key, kind: int, value: bytes = b"") -> bytes:
    """An entry of a directory, or an extended attribute."""
    return key(location) + struct.pack("<QHHB", GENERATION, len(value), len(name), kind) + name + value


def inline(data: bytes, size: int, compression: int = 0) -> bytes:
    """A file's content beside its inode."""
    return struct.pack("<QQBBHB", GENERATION, size, compression, 0, 0, 0) + data


@dataclass(kw_only=True)
class Stored:
    """A file's content in an extent; all in bytes."""

    address: int
    disk: int
    ram: int = 0
    offset: int = 0
    length: int = 0
    compression: int = 0
    kind: int = 1

    def pack(self) -> bytes:
        """As it stands in its item."""
        ram = self.ram or self.disk
        head = struct.pack("<QQBBHB", GENERATION, ram, self.compression, 0, 0, self.kind)
        return head + struct.pack("<4Q", self.address, self.disk, self.offset, self.length or ram)


@dataclass
class Subvolume:
    """The items of one tree of files, with its top directory."""

    number: int = 5
    items: dict[Key, bytes] = field(default_factory=dict)
    last: int = 256

    def __post_init__(self) -> None:
        self.items[256, 1, 0] = inode(FOLDER)
        self.items[256, 12, 256] = struct.pack("<QH", 0, 2) + b".."

    def name(self, parent: int, name: bytes, location: Key, kind: int) -> None:
        """A name in a directory."""
        self.last += 1
        self.items[parent, 84, name_hash(name)] = entry(name, location, kind)
        self.items[parent, 96, self.last] = entry(name, location, kind)

    def add(
        self, parent: int, name: bytes, mode: int, size: int = 0, *, flags: int = 0, used: int = 0
    ) -> int:
        """A file of that name; the answer is its inode's number."""
        number = self.last + 1
        self.name(parent, name, (number, 1, 0), _TYPES[mode & 0xF000])
        self.items[number, 1, 0] = inode(mode, size, flags=flags, used=used)
        self.items[number, 12, parent] = struct.pack("<QH", number, len(name)) + name
        return number

    def link(self, parent: int, name: bytes, target: bytes) -> int:
        """A symbolic link."""
        number = self.add(parent, name, LINK, len(target))
        self.items[number, 108, 0] = inline(target, len(target))
        return number

    def xattr(self, number: int, name: bytes, value: bytes) -> None:
        """An extended attribute."""
        self.items[number, 24, name_hash(name)] = entry(name, (0, 0, 0), 8, value)


@dataclass
class Image:
    """A filesystem of trees of one leaf each; one copy of everything, or two."""

    kind: int = 0
    copies: int = 1
    top: Subvolume = field(default_factory=Subvolume)
    nested: list[tuple[Subvolume, int, int, bytes]] = field(default_factory=list)
    """Subvolumes, each with the tree and directory that it hangs in, and its name."""
    default: int = 5
    incompat: int = 0x4 | 0x40 | 0x200
    ro_compat: int = 0
    log_root: int = 0
    devices: int = 1
    disk: bytearray = field(default_factory=lambda: bytearray(SIZE))
    sums: dict[int, bytes] = field(default_factory=dict)
    _next: int = 2 << 20
    _next_data: int = 4 << 20

    def nest(self, subvolume: Subvolume, parent: Subvolume, directory: int, name: bytes) -> None:
        """Let a subvolume hang in a directory of another."""
        parent.name(directory, name, (subvolume.number, 132, _ALL), 2)
        self.nested.append((subvolume, parent.number, directory, name))

    def store(self, data: bytes, *, with_sums: bool = True) -> int:
        """Content, in whole sectors; the answer is its address."""
        data = data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
        address = self._next_data
        self._next_data += len(data)
        self._write(address, data)
        if with_sums:
            self.sums[address] = b"".join(
                checksum(self.kind, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)
            )
        return address

    def _write(self, address: int, data: bytes) -> None:
        for copy in range(self.copies):
            start = address + copy * (SIZE // 2)
            self.disk[start : start + len(data)] = data

    def leaf(self, owner: int, items: dict[Key, bytes]) -> int:
        """A leaf; the answer is its address."""
        address, self._next = self._next, self._next + NODE
        heads, end, body = b"", NODE - 101, b""
        for parts, data in sorted(items.items()):
            end -= len(data)
            heads, body = heads + key(parts) + struct.pack("<II", end, len(data)), data + body
        head = FSID + struct.pack("<QQ", address, 1 | 1 << 56) + CHUNKS_ID
        head += struct.pack("<QQIB", GENERATION, owner, len(items), 0)
        rest = head + heads
        assert len(rest) + len(body) <= NODE - 32, "more than a leaf holds"
        rest = rest.ljust(NODE - 32 - len(body), b"\0") + body
        self._write(address, checksum(self.kind, rest).ljust(32, b"\0") + rest)
        return address

    def _chunk(self, length: int, flags: int, start: int) -> bytes:
        stripes = b"".join(
            struct.pack("<QQ", 1, start + copy * (SIZE // 2)) + DEVICE_ID for copy in range(self.copies)
        )
        flags |= 0x20 if self.copies == 2 else 0
        return struct.pack("<4Q3I2H", length, 2, 65536, flags, 4096, 4096, 4096, self.copies, 1) + stripes

    def _root(self, address: int) -> bytes:
        item = inode(FOLDER) + struct.pack("<7QI", GENERATION, 256, address, 0, 0, 0, 0, 1) + bytes(19)
        return item + struct.pack("<Q", GENERATION) + bytes(192)

    def finish(self) -> bytes:
        """The bytes of the device."""
        system, rest = self._chunk(1 << 20, 2, 2 << 20), self._chunk(5 << 20, 5, 3 << 20)
        device = struct.pack("<3Q3I3QIBB", 1, SIZE, 6 << 20, 4096, 4096, 4096, 0, 0, 0, 0, 0, 0)
        device += DEVICE_ID + FSID
        chunks = self.leaf(3, {(1, 216, 1): device, (256, 228, 2 << 20): system, (256, 228, 3 << 20): rest})
        self._next = 3 << 20
        roots: dict[Key, bytes] = {
            (6, 1, 0): inode(FOLDER),
            (6, 84, name_hash(b"default")): entry(b"default", (self.default, 132, _ALL), 2),
        }
        sums: dict[Key, bytes] = {(_ALL - 9, 128, at): data for at, data in self.sums.items()}
        roots[7, 132, 0] = self._root(self.leaf(7, sums))
        roots[5, 132, 0] = self._root(self.leaf(5, self.top.items))
        for subvolume, parent, directory, name in self.nested:
            number = subvolume.number
            roots[number, 132, 0] = self._root(self.leaf(number, subvolume.items))
            reference = struct.pack("<QQH", directory, 3, len(name)) + name
            roots[number, 144, parent] = roots[parent, 156, number] = reference
        self._superblock(self.leaf(1, roots), chunks, key((256, 228, 2 << 20)) + system, device)
        return bytes(self.disk)

    def _superblock(self, root: int, chunks: int, system: bytes, device: bytes) -> None:
        block = FSID + struct.pack("<QQ", SUPERBLOCK, 1) + b"_BHRfS_M"
        block += struct.pack(
            "<9Q", GENERATION, root, chunks, self.log_root, 0, SIZE, 1 << 20, 6, self.devices
        )
        block += struct.pack("<5I", SECTOR, NODE, NODE, SECTOR, len(system))
        block += struct.pack("<4QHBBB", GENERATION, 0, self.ro_compat, self.incompat, self.kind, 0, 0, 0)
        block = (block + device).ljust(811 - 32, b"\0") + system
        block = block.ljust(SECTOR - 32, b"\0")
        whole = checksum(self.kind, block).ljust(32, b"\0") + block
        self.disk[SUPERBLOCK : SUPERBLOCK + SECTOR] = whole


def lzo(data: bytes) -> bytes:
    """Those bytes as btrfs compresses them with lzo: sector by sector."""
    out = bytearray(4)
    for at in range(0, len(data), SECTOR):
        piece = LZOCompressor().compress(data[at : at + SECTOR])
        left = SECTOR - len(out) % SECTOR
        out += bytes(left if left < 4 else 0) + struct.pack("<I", len(piece)) + piece
    return struct.pack("<I", len(out)) + bytes(out[4:])


def tree_of(data: bytes, subvolume: str = "") -> BtrfsTree:
    """What reads those bytes as a filesystem."""
    tree = open_tree(*device(data))
    return open_subvolume(tree, subvolume) if subvolume else tree


def device(data: bytes) -> tuple[Read, int]:
    """What reads those bytes, and how many there are."""
    return lambda offset, size: data[offset : offset + size], len(data)


@cache
def plain() -> bytes:
    """An image without any file."""
    return Image().finish()


@cache
def geometry() -> Geometry:
    """Of an image of this module."""
    return read_geometry(*device(plain()))


def block(data: bytes) -> bytes:
    """A superblock with a magic number and the right checksum, and those bytes behind the magic number."""
    head = FSID + struct.pack("<QQ", SUPERBLOCK, 1) + b"_BHRfS_M"
    rest = (head + data).ljust(SECTOR, b"\0")[: SECTOR - 32]
    return checksum(0, rest).ljust(32, b"\0") + rest


def resealed(node: bytes) -> bytes:
    """A tree block with its checksum made right."""
    return checksum(0, node[32:]).ljust(32, b"\0") + node[32:]


def replaced(data: bytes, at: int, node: bytes) -> Read:
    """What reads an image with another tree block in one place."""

    def read(offset: int, size: int) -> bytes:
        found = bytearray(data[offset : offset + size])
        low, high = max(offset, at), min(offset + len(found), at + len(node))
        if low < high:
            found[low - offset : high - offset] = node[low - at : high - at]
        return bytes(found)

    return read


def around(data: bytes, tree: int = 5) -> bytes:
    """An image in which a tree's leaf holds those bytes behind its header, with the right checksum."""
    whole = plain()
    at = roots(whole)[5] if tree == 5 else geometry().roots.address
    start = at + 97
    block = resealed(whole[at:start] + data[: NODE - 97].ljust(NODE - 97, b"\0"))
    return whole[:at] + block + whole[at + NODE :]


def roots(data: bytes) -> dict[int, int]:
    """Where the root of each tree lies, by the tree's number."""
    return {number: item.address for number, item in read_roots(*device(data)).items.items()}


def node(data: bytes) -> object:
    """Those bytes as a tree block of the largest size, behind the right header, whatever its checksum."""
    head = bytes(32) + FSID + struct.pack("<QQ", 65536, 1) + CHUNKS_ID + struct.pack("<QQ", GENERATION, 5)
    whole = (head + data).ljust(65536, b"\0")[:65536]
    shape = geometry()._replace(node_bytes=65536, checksum_bytes=0, checksum=lambda _data: b"")
    return parse_node(whole, Place(65536, whole[100], GENERATION, 5, None, END), shape)


def answers(tree: BtrfsTree) -> Iterator[tuple[bytes, tuple[object, ...]]]:
    """By path, what a tree says of all that is in it, and what a directory holds."""
    waiting = [(b"", tree.root)]
    while waiting:
        path, number = waiting.pop()
        names = tree.names(number)
        yield path + b"/", (None if names is None else tuple(sorted(names.items())),)
        for name, reached in (names or {}).items():
            inside = path + b"/" + name
            found = tree.attributes(reached)
            kind = 0 if found is None else found.mode & 0xF000
            content = tree.content(reached, 0, 1 << 30) if kind == 0x8000 else None
            link = tree.link_target(reached) if kind == 0xA000 else None
            yield inside, (found, tree.xattrs(reached), link, content)
            if kind == 0x4000 and tree.parent(reached) == number:
                waiting.append((inside, reached))


def files(top: Path) -> Path:
    """Files large and small, long names, links of both kinds."""
    (top / "large").mkdir(parents=True)
    for number in range(300):
        (top / "large" / f"a-name-of-some-length-{number:04d}").write_bytes(b"%d" % number)
    (top / "dir" / "inner").mkdir(parents=True)
    (top / "dir" / "inner" / "file").write_bytes(b"inner")
    (top / "short").symlink_to("usr/lib")
    (top / "long").symlink_to("a/" * 400 + "b")
    (top / "file").write_bytes(b"some bytes" * 90_000)
    (top / ("long" * 60)).write_bytes(b"x" * 3000)
    (top / "empty").touch()
    return top


def make(image: Path, top: Path, *options: str) -> Path:
    """A filesystem of mkfs.btrfs(8) with what is below a directory."""
    image.touch()
    os.truncate(image, 130 << 20)
    command = ["mkfs.btrfs", "-q", *options, "--rootdir", str(top), str(image)]
    subprocess.run(command, check=True, capture_output=True)
    return image
