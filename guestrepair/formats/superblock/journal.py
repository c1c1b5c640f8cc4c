"""Does a filesystem wait for its journal to be replayed, or was it not unmounted at all?

Judged from the bytes alone and before anything is mounted, since a mount, even a
read-only one, replays the journal. ext says it in its superblock (see ``ext.py``).
Layouts: the XFS Algorithms & Data Structures document, "Journaling Log"; Linux
fs/xfs/xfs_log_recover.c, xlog_find_tail(); the btrfs on-disk format; the FAT
specification 1.03, section 3.5.
"""

from __future__ import annotations

from guestrepair.formats.superblock.model import Block, Read

SECTOR = 512
_RECORD_MAGIC = 0xFEEDBABE
_UNMOUNT = 0x20
_HEADER_BYTES = 32 * 1024
"""What one header sector of a record of version 2 describes; larger records have further ones."""
_SEARCHED_SECTORS = 1024
"""Before the head of the log: a record has at most 512 sectors and eight of headers."""


def unclean(read: Read, content: str) -> bool:
    """True when a vfat, btrfs or xfs says that it was in use; false for every other content.

    ``read`` is that of :func:`identify`; what it raises passes through. XFS costs some thirty small reads.
    """
    if content == "vfat":
        boot = Block(read(0, SECTOR))
        fat32 = not boot.le16(0x16) and boot.le32(0x24)
        return bool(boot.u8(0x41 if fat32 else 0x25) & 1)
    if content == "btrfs":
        return bool(Block(read(0x10000, 4096)).le64(96))  # log_root
    return content == "xfs" and _xfs(read)


def _xfs(read: Read) -> bool:
    block = Block(read(0, SECTOR))
    size, start, count = block.be32(4), block.be64(48), block.be32(96)
    shift, group = block.u8(124), block.be32(84)
    if not start or not count or not 512 <= size <= 65536 or shift > 31:
        return False  # the log lies on another device
    offset = ((start >> shift) * group + (start & ((1 << shift) - 1))) * size
    return _Log(read, offset, count * (size // SECTOR)).is_pending()


class _Log:
    """The log as a ring of sectors, each of which begins with the number of its round (cycle)."""

    def __init__(self, read: Read, offset_bytes: int, sectors: int) -> None:
        self._read = read
        self._offset = offset_bytes
        self._sectors = sectors

    def is_pending(self) -> bool:
        """True unless the last record says that the filesystem was unmounted."""
        head = self._head()
        record = self._last_record(head)
        if record is None:
            return any(self._get(0, 8))  # a log of zeros was never used
        header = Block(self._get(record, 1))
        size = header.be32(320)
        headers = max(1, -(-size // _HEADER_BYTES)) if header.be32(8) & 2 and size <= 1 << 20 else 1
        operation = Block(self._get((record + headers) % self._sectors, 1))
        return not (header.be32(40) == 1 and operation.u8(9) & _UNMOUNT)

    def _get(self, sector: int, count: int) -> bytes:
        return self._read(self._offset + sector * SECTOR, count * SECTOR)

    def _cycle(self, sector: int) -> int:
        block = Block(self._get(sector, 1))
        return block.be32(4) if block.be32(0) == _RECORD_MAGIC else block.be32(0)

    def _head(self) -> int:
        """The sector behind the last one written: where the number of the round drops."""
        first, low, high = self._cycle(0), 0, self._sectors - 1
        if self._cycle(high) == first:
            return self._sectors
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._cycle(middle) == first else (low, middle)
        return high

    def _last_record(self, head: int) -> int | None:
        """The header of the last record before the head, which may lie before the ring's turn."""
        turn = max(head, self._sectors - _SEARCHED_SECTORS)
        for low, high in ((max(0, head - _SEARCHED_SECTORS), head), (turn, self._sectors)):
            data = self._get(low, high - low) if high > low else b""
            for index in reversed(range(len(data) // SECTOR)):
                if data[index * SECTOR : index * SECTOR + 4] == b"\xfe\xed\xba\xbe":
                    return low + index
        return None
