"""A btrfs as a space of addresses: its chunks, what lies at an address, and the trees in it.

Chunks of one copy and of two (DUP) are read; of two, that which is whole, as the kernel does.

Source: Linux fs/btrfs/volumes.c (btrfs_read_sys_array, btrfs_read_chunk_tree, read_one_chunk), ctree.c
(btrfs_search_slot).
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import CHUNK_ITEM, CHUNK_TREE, DEV_ITEM, FIRST_FREE
from guestrepair.formats.btrfs_nodes import Branch, Leaf, Place, parse_node, split
from guestrepair.formats.btrfs_superblock import (
    INCOMPAT_MIXED_GROUPS,
    MAX_LEVEL,
    SECTOR_BYTES,
    Geometry,
    Pointer,
)
from guestrepair.formats.superblock.model import Read

T = TypeVar("T")
END = 1 << 136
"""Above every key."""

MAX_CHUNKS = 65_536
_KEPT_LEAVES, _KEPT_BRANCHES = 512, 256
_PIECE_BYTES, _KEPT_PIECES = 256 << 10, 16
"""What is read at once around a tree block or a small extent, and how many of such pieces are kept."""

_CHUNK = struct.Struct("<4Q3I2H")
_STRIPE = struct.Struct("<QQ16s")
_DISK_KEY = struct.Struct("<QBQ")
_DEVICE_ITEM = struct.Struct("<3Q3I3QIBB32s")
_DEVICE_ITEMS = 1
DATA, SYSTEM, METADATA, KINDS = 0x1, 0x2, 0x4, 0x7
_PROFILES, _DUP = 0x7F8, 0x20
STRIPE_BYTES = 65_536
_MOST_CHUNK_BYTES = ((1 << 32) - 1) * STRIPE_BYTES


class Chunk(NamedTuple):
    """A range of addresses, and where each copy of it begins on the device.

    ``kind``: what it is for (DATA, SYSTEM, METADATA, or data and metadata together), and its profile.
    """

    address: int
    length: int
    copies: tuple[int, ...]
    kind: int


class DeviceItem(NamedTuple):
    """What the chunk tree says of the one device: its size, and how much of it chunks take."""

    total_bytes: int
    used_bytes: int


@dataclass(slots=True)
class Pieces:
    """Reads a device in pieces and keeps the last of them: tree blocks, and small files, lie side by side."""

    read: Read
    size_bytes: int
    _kept: dict[int, bytes] = field(init=False, repr=False, default_factory=dict)

    def get(self, offset: int, size: int) -> bytes:
        """Bytes of the device, short where it ends; whatever ``read`` raises."""
        if size >= _PIECE_BYTES:
            return self.read(offset, size)
        first, last = offset // _PIECE_BYTES, (offset + size - 1) // _PIECE_BYTES
        start = offset - first * _PIECE_BYTES
        data = self._piece(first) if first == last else self._piece(first) + self._piece(last)
        return data[start : start + size]

    def _piece(self, index: int) -> bytes:
        data = self._kept.pop(index, None)
        if data is None:
            at = index * _PIECE_BYTES
            data = self.read(at, max(0, min(_PIECE_BYTES, self.size_bytes - at)))
            while len(self._kept) >= _KEPT_PIECES:
                del self._kept[next(iter(self._kept))]
        self._kept[index] = data
        return data


class Tree(NamedTuple):
    """A tree by its number and its root node."""

    owner: int
    root: Pointer


@dataclass(slots=True)
class Volume:
    """The addresses of one filesystem, and its trees. Methods raise FormatError for what is not certain."""

    geometry: Geometry
    pieces: Pieces
    verify: Callable[[Leaf, int, Geometry], None] | None = None
    """What more is wanted of each leaf, by the number of its tree; raises FormatError."""
    first_copy_only: bool = False
    """Older kernels look at no other copy than the first whose checksum is right, whatever it holds."""
    device: DeviceItem = field(init=False, default=DeviceItem(0, 0))
    _chunks: list[Chunk] = field(init=False, default_factory=list)
    _leaves: dict[int, tuple[Place, Leaf]] = field(init=False, repr=False, default_factory=dict)
    _branches: dict[int, tuple[Place, Branch]] = field(init=False, repr=False, default_factory=dict)

    def load_chunks(self) -> None:
        """Learn where everything lies: system chunks from the superblock, all others from the chunk tree."""
        self._chunks = known = sorted(system_chunks(self.geometry))
        found: list[Chunk] = []
        devices = 0
        for key, data in self.items(Tree(CHUNK_TREE, self.geometry.chunks), 0, END):
            objectid, kind, offset = split(key)
            if kind == DEV_ITEM:
                devices += 1
                self._load_device(objectid, offset, data)
            elif kind == CHUNK_ITEM and objectid == FIRST_FREE:
                found.append(parse_chunk(offset, data, self.geometry))
            if devices + len(found) > MAX_CHUNKS or kind not in (DEV_ITEM, CHUNK_ITEM):
                raise FormatError("a btrfs of more chunks than are looked at, or of other things among them")
        if devices != 1 or not set(known) <= set(found):
            raise FormatError("a btrfs on other devices, or whose system chunks are told in two ways")
        if any(a.address + a.length > b.address for a, b in itertools.pairwise(found)):
            raise FormatError("chunks that lie over each other")
        self._chunks = found

    @property
    def chunks(self) -> list[Chunk]:
        """All of them, in the order of their addresses."""
        return self._chunks

    def _load_device(self, objectid: int, number: int, data: bytes) -> None:
        if len(data) != _DEVICE_ITEM.size or objectid != _DEVICE_ITEMS:
            raise FormatError("a device item that cannot be right")
        told, total, used, *_, own = _DEVICE_ITEM.unpack(data)
        if number != self.geometry.device_id or own != self.geometry.device_uuid + self.geometry.fsid:
            raise FormatError("the device is not the one that its btrfs names")
        if told != number or used > total:
            raise FormatError("a device item that cannot be right")
        self.device = DeviceItem(total, used)

    def copies(self, address: int, size: int) -> list[int]:
        """Where on the device each copy of a range of addresses begins; the range lies in one chunk."""
        index = bisect.bisect_right(self._chunks, address, key=lambda chunk: chunk.address) - 1
        chunk = self._chunks[index] if index >= 0 else None
        if chunk is None or address + size > chunk.address + chunk.length:
            raise FormatError(f"no chunk has the address {address}")
        copies = chunk.copies[:1] if self.first_copy_only else chunk.copies
        return [start + address - chunk.address for start in copies]

    # --- trees ------------------------------------------------------------------------

    def items(self, tree: Tree, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The items whose keys are from ``first`` to ``last``, in order."""
        while True:
            leaf, bound = self._leaf(tree, first)
            keys, end = leaf.keys, bisect.bisect_right(leaf.keys, last)
            for index in range(bisect.bisect_left(keys, first), end):
                yield keys[index], leaf.item(index)
            if bound > last or bound == END:
                return
            first = bound

    def item(self, tree: Tree, key: int) -> bytes | None:
        """The item of that key; None: there is none."""
        leaf, _ = self._leaf(tree, key)
        index = bisect.bisect_left(leaf.keys, key)
        return leaf.item(index) if index < len(leaf.keys) and leaf.keys[index] == key else None

    def last_until(self, tree: Tree, first: int, last: int) -> tuple[int, bytes] | None:
        """The item with the highest key that is not above ``last``, if that is not below ``first``."""
        leaf, _ = self._leaf(tree, last)
        index = bisect.bisect_right(leaf.keys, last) - 1
        if index < 0 or leaf.keys[index] < first:
            return None
        return leaf.keys[index], leaf.item(index)

    def root_node(self, tree: Tree) -> Leaf | Branch:
        """The node that a tree begins with."""
        return self._node(Place(*tree.root, tree.owner, None, END))

    def _leaf(self, tree: Tree, key: int) -> tuple[Leaf, int]:
        """The leaf that holds a key, or would; and the first key behind it."""
        place = Place(*tree.root, tree.owner, None, END)
        while True:
            node = self._node(place)
            if isinstance(node, Leaf):
                return node, place.bound
            index = max(0, bisect.bisect_right(node.keys, key) - 1)
            bound = node.keys[index + 1] if index + 1 < len(node.keys) else place.bound
            place = Place(
                node.addresses[index],
                place.level - 1,
                node.generations[index],
                tree.owner,
                node.keys[index],
                bound,
            )

    def _node(self, place: Place) -> Leaf | Branch:
        if not 0 <= place.level <= MAX_LEVEL:
            raise FormatError("a tree deeper than any")
        kept = (self._branches if place.level else self._leaves).get(place.address)
        if kept is not None and kept[0] == place:
            return kept[1]
        node = self._read_node(place)
        if isinstance(node, Leaf):
            _keep(self._leaves, _KEPT_LEAVES, place, node)
        else:
            _keep(self._branches, _KEPT_BRANCHES, place, node)
        return node

    def _read_node(self, place: Place) -> Leaf | Branch:
        failure = FormatError("a tree block that no chunk has")
        for at in self.copies(place.address, self.geometry.node_bytes):
            try:
                node = parse_node(self.pieces.get(at, self.geometry.node_bytes), place, self.geometry)
                if self.verify is not None and isinstance(node, Leaf):
                    self.verify(node, place.owner, self.geometry)
            except FormatError as error:
                failure = error
            else:
                return node
        raise failure


def _keep(kept: dict[int, tuple[Place, T]], most: int, place: Place, node: T) -> None:
    kept.pop(place.address, None)
    while len(kept) >= most:
        del kept[next(iter(kept))]
    kept[place.address] = (place, node)


def system_chunks(geometry: Geometry) -> Iterator[Chunk]:
    """The chunks that the superblock itself tells of.

    Raises:
        FormatError: they cannot be right.
    """
    data, at = geometry.system_chunks, 0
    while at < len(data):
        head = at + _DISK_KEY.size
        if head + _CHUNK.size > len(data):
            raise FormatError("the system chunks are cut short")
        objectid, kind, address = _DISK_KEY.unpack_from(data, at)
        stripes = int.from_bytes(data[head + 44 : head + 46], "little")
        end = head + _CHUNK.size + stripes * _STRIPE.size
        if (objectid, kind) != (FIRST_FREE, CHUNK_ITEM) or end > len(data):
            raise FormatError("the system chunks cannot be right")
        chunk = parse_chunk(address, data[head:end], geometry)
        if not chunk.kind & SYSTEM:
            raise FormatError("a system chunk that is none")
        yield chunk
        at = end


def parse_chunk(address: int, data: bytes, geometry: Geometry) -> Chunk:
    """A chunk that begins at an address.

    Raises:
        FormatError: not one of one device with whole copies.
    """
    if len(data) < _CHUNK.size:
        raise FormatError("a chunk is cut short")
    length, _, stripe_bytes, kind, _, _, sector, count, _ = _CHUNK.unpack_from(data)
    units = (SECTOR_BYTES, STRIPE_BYTES)
    if len(data) != _CHUNK.size + count * _STRIPE.size or (sector, stripe_bytes) != units:
        raise FormatError("a chunk of another size")
    kinds = {DATA, SYSTEM, METADATA}
    if geometry.incompat & INCOMPAT_MIXED_GROUPS:
        kinds.add(DATA | METADATA)
    if kind & ~(KINDS | _DUP) or kind & KINDS not in kinds or count != (2 if kind & _PROFILES else 1):
        raise FormatError("a chunk of a kind that is not read here")
    if not 0 < length < _MOST_CHUNK_BYTES or address + length >= 1 << 64:
        raise FormatError("a chunk whose size cannot be right")
    if (length | address) % SECTOR_BYTES:
        raise FormatError("a chunk that no sector begins with")
    starts = []
    for device, start, uuid in _STRIPE.iter_unpack(data[_CHUNK.size :]):
        own = (device, uuid) == (geometry.device_id, geometry.device_uuid)
        if not own or start + length > geometry.device_bytes:
            raise FormatError("a chunk that lies on another device, or beyond it")
        starts.append(start)
    return Chunk(address, length, tuple(starts), kind)


def open_volume(geometry: Geometry, read: Read) -> Volume:
    """The filesystem of that shape.

    Raises:
        FormatError: where everything lies is not certain; whatever ``read`` raises.
    """
    volume = Volume(geometry, Pieces(read, geometry.device_bytes))
    volume.load_chunks()
    return volume
