"""How large the sectors are that a disk's partition table counts in: 512 bytes, or 4096 (4K native).

A disk image does not say it; an image of a 4K native disk is read wrongly
wherever it is attached with sectors of 512 bytes. A GPT tells, as its first
header lies in sector 1 and its second in the last (UEFI specification 2.10, section 5.3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.overlay import files_under
from guestrepair.disk.tempdirs import private_directory
from guestrepair.formats.gpt import parse_header

USUAL = 512
LARGE = 4096


def sector_bytes(read: Callable[[int, int], bytes]) -> int:
    """4096 where a GPT's first header stands at byte 4096 and none at byte 512, else 512.

    ``read(offset_bytes, size_bytes)`` gives bytes of the disk's head. A damaged header counts too.
    """

    def is_there(sector: int) -> bool:
        header = parse_header(read(sector, sector))
        return header is not None and header.my_sector == 1

    return LARGE if is_there(LARGE) and not is_there(USUAL) else USUAL


def sector_bytes_of(overlay: Path) -> int:
    """The same of an overlay (qcow2), from a copy of its head: some hundredths of a second.

    Raises:
        ImageError: qemu-img cannot read it.
    """
    with private_directory() as folder:
        head = folder / "head"
        arguments = ("dd", "-f", "qcow2", "-O", "raw", f"bs={2 * LARGE}", "count=1")
        head.touch(mode=0o600)  # so that nothing else can be put in its place
        cage = Cage(read=(overlay, *files_under(overlay)), write=(head,))
        qemu.run("qemu-img", *arguments, f"if={overlay}", f"of={head}", path=overlay, cage=cage, writes=True)
        data = head.read_bytes()
    return sector_bytes(lambda offset, length: data[offset : offset + length])
