"""Entries of a journal that unpack to more than is read."""

from __future__ import annotations

from tests.unit.formats.journals import Journal
from tests.unit.formats.test_journal_file import packed, read


def test_a_bomb_is_not_unpacked() -> None:
    journal = Journal()
    bombs = [packed(kind, b"%s=" % kind.encode() + bytes(30 << 20)) for kind in ("xz", "zstd")]
    bombs.append(((1 << 40).to_bytes(8, "little") + b"\0" * 99, 2))
    for n, (payload, flags) in enumerate(bombs):
        journal._known[b"X=%d" % n] = journal.field(payload, flags)
    journal.add([("X", b"0"), ("X", b"1"), ("X", b"2")])
    found, damaged = read(journal.done())
    assert [(name, len(value) < 70_000) for name, value in found[0].fields] == [("xz", True), ("zstd", True)]
    assert len(damaged) == 1
