"""A btrfs as a space of addresses: its chunks, what lies at an address, and the trees in it.

Chunks of one copy and of two (DUP) are read; of two, that which is whole, as the kernel does.

Source: Linux fs/btrfs/volumes.c (btrfs_read_sys_array, btrfs_read_chunk_tree, read_one_chunk), ctree.c
(btrfs_search_slot).
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import CHUNK_ITEM, CHUNK_TREE, DEV_ITEM, FIRST_FREE
from guestrepair.formats.btrfs_nodes import Branch, Leaf, Place, parse_node, split
from guestrepair.formats.btrfs_superblock import MAX_LEVEL, SECTOR_BYTES, Geometry, Pointer
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
_DEVICE_UUID_AT = 66
_PROFILES, _DUP = 0x7F8, 0x20
_KINDS = 0x7


class Chunk(NamedTuple):
    """A range of addresses, and where each copy of it begins on the device."""

    address: int
    length: int
    copies: tuple[int, ...]


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
                self._verify_device(offset, data)
            elif kind == CHUNK_ITEM and objectid == FIRST_FREE:
                found.append(parse_chunk(offset, data, self.geometry))
            if devices + len(found) > MAX_CHUNKS or kind not in (DEV_ITEM, CHUNK_ITEM):
                raise FormatError("a btrfs of more chunks than are looked at, or of other things among them")
        if devices != 1 or not set(known) <= set(found):
            raise FormatError("a btrfs on other devices, or whose system chunks are told in two ways")
        if any(a.address + a.length > b.address for a, b in itertools.pairwise(found)):
            raise FormatError("chunks that lie over each other")
        self._chunks = found

    def _verify_device(self, number: int, data: bytes) -> None:
        own = data[_DEVICE_UUID_AT : _DEVICE_UUID_AT + 32]
        if number != self.geometry.device_id or own != self.geometry.device_uuid + self.geometry.fsid:
            raise FormatError("the device is not the one that its btrfs names")

    def copies(self, address: int, size: int) -> list[int]:
        """Where on the device each copy of a range of addresses begins; the range lies in one chunk."""
        index = bisect.bisect_right(self._chunks, address, key=lambda chunk: chunk.address) - 1
        chunk = self._chunks[index] if index >= 0 else None
        if chunk is None or address + size > chunk.address + chunk.length:
            raise FormatError(f"no chunk has the address {address}")
        return [start + address - chunk.address for start in chunk.copies]

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
                return parse_node(self.pieces.get(at, self.geometry.node_bytes), place, self.geometry)
            except FormatError as error:
                failure = error
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
        yield parse_chunk(address, data[head:end], geometry)
        at = end


def parse_chunk(address: int, data: bytes, geometry: Geometry) -> Chunk:
    """A chunk that begins at an address.

    Raises:
        FormatError: not one of one device with whole copies.
    """
    if len(data) < _CHUNK.size:
        raise FormatError("a chunk is cut short")
    length, _, stripe_bytes, kind, _, _, sector, count, _ = _CHUNK.unpack_from(data)
    if len(data) != _CHUNK.size + count * _STRIPE.size or sector != SECTOR_BYTES or stripe_bytes != 65_536:
        raise FormatError("a chunk of another size")
    if kind & ~(_KINDS | _DUP) or not kind & _KINDS or count != (2 if kind & _PROFILES else 1):
        raise FormatError("a chunk of a kind that is not read here")
    if not length or length % SECTOR_BYTES or address % SECTOR_BYTES or address + length >= 1 << 64:
        raise FormatError("a chunk whose size cannot be right")
    starts = []
    for device, start, uuid in _STRIPE.iter_unpack(data[_CHUNK.size :]):
        own = (device, uuid) == (geometry.device_id, geometry.device_uuid)
        if not own or start + length > geometry.device_bytes:
            raise FormatError("a chunk that lies on another device, or beyond it")
        starts.append(start)
    return Chunk(address, length, tuple(starts))


def open_volume(geometry: Geometry, read: Read) -> Volume:
    """The filesystem of that shape.

    Raises:
        FormatError: where everything lies is not certain; whatever ``read`` raises.
    """
    volume = Volume(geometry, Pieces(read, geometry.device_bytes))
    volume.load_chunks()
    return volume
