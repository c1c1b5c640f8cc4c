"""How much work a LUKS header asks of whoever tries a key: each of its numbers is the attacker's.

cryptsetup tries a passphrase on every key slot, with the iterations and the memory that the header
names; up to 2^32 passes over 4 GiB are within the format. Both copies of a LUKS2 header count,
since cryptsetup takes whichever is newer.

Source: the LUKS1 and LUKS2 on-disk format documents; cryptsetup lib/luks2/luks2_disk_metadata.c.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from guestrepair.formats.superblock.model import Block, Read

MAX_ITERATIONS = 100_000_000
"""Of PBKDF2, over all key slots: some thirty times what cryptsetup chooses on a fast machine."""

MAX_ARGON_KIB = 64 << 20
"""Passes times memory of Argon2, over all key slots: 64 passes over 1 GiB, where four are usual."""

_LUKS1_ENABLED = 0x00AC71F3
_BINARY_BYTES, _MAX_HEADER_BYTES = 4096, 4 << 20
_SECOND_AT = tuple(0x4000 << step for step in range(9))
"""Where cryptsetup looks for the second header of LUKS2."""

_NOT_CLEAR = "its header does not say clearly how keys are derived"


def objection(read: Read) -> str:
    """Why no key is to be tried on a LUKS container, in words that follow its name; "" when one may be."""
    first = Block(read(0, _BINARY_BYTES))
    if first.be16(6) == 1:
        return _judged(_luks1(first), 0)
    headers = [(0, first)] + [
        (at, block) for at in _SECOND_AT if (block := Block(read(at, 512))).has(b"SKUL\xba\xbe")
    ]
    for at, block in headers:
        found = _luks2(read, at, block.be64(8))
        if found:
            return found
    return ""


def _luks1(block: Block) -> int:
    slots = (block.be32(at + 4) for at in range(208, 592, 48) if block.be32(at) == _LUKS1_ENABLED)
    return block.be32(164) + sum(slots)


def _judged(iterations: int, argon_kib: int) -> str:
    if iterations > MAX_ITERATIONS or argon_kib > MAX_ARGON_KIB:
        return "its header asks for an absurd amount of work to try a key; it stays closed"
    return ""


def _luks2(read: Read, at: int, size: int) -> str:
    if not _BINARY_BYTES < size <= _MAX_HEADER_BYTES:
        return f"{_NOT_CLEAR}; it stays closed"
    text = read(at + _BINARY_BYTES, size - _BINARY_BYTES).split(b"\0", 1)[0]
    try:
        metadata = json.loads(text, object_pairs_hook=_without_doubles)
        costs = list(_costs(metadata))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return f"{_NOT_CLEAR}; it stays closed"
    return _judged(sum(iterations for iterations, _ in costs), sum(kib for _, kib in costs))


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _costs(metadata: dict[str, dict[str, dict[str, object]]]) -> Iterator[tuple[int, int]]:
    """Iterations of PBKDF2, and passes times KiB of Argon2, of each key slot and digest.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: a number is not there, or is none.
    """
    for slot in metadata["keyslots"].values():
        if slot["type"] == "reencrypt":
            continue
        kdf = slot["kdf"]
        if not isinstance(kdf, dict):
            raise TypeError
        yield _cost(kdf)
    for digest in metadata["digests"].values():
        yield _cost(digest)


def _cost(kdf: dict[str, object]) -> tuple[int, int]:
    if kdf["type"] == "pbkdf2":
        return _count(kdf["iterations"]), 0
    if kdf["type"] in ("argon2i", "argon2id"):
        return 0, _count(kdf["time"]) * _count(kdf["memory"])
    raise ValueError("an unknown kind")


def _count(value: object) -> int:
    if type(value) is not int or not 0 < value < 1 << 32:
        raise ValueError("not a number")
    return value
