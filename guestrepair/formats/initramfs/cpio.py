"""The members of a cpio archive as the kernel reads them (init/initramfs.c, buffer-format.rst)."""

from __future__ import annotations

import re
import stat
from typing import Protocol

from guestrepair.formats.initramfs.window import CUT_OFF, Window

MAGICS = (b"070701", b"070702")
_HEADER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
"""A header: magic, then thirteen numbers of eight hexadecimal digits, without signs or blanks."""
_MAX_NAME_BYTES = 4096
"""The kernel passes over a member with a longer name (PATH_MAX)."""
_MAX_NAMES_BYTES = 16 * 1024 * 1024
_MAX_FILE_BYTES = 8 * 1024 * 1024
_MAX_FILES_BYTES = 32 * 1024 * 1024
_WANTED = re.compile(
    r"lib/modules/[^/]+/modules\.(alias|builtin|builtin\.modinfo|dep)"
    r"|(etc|lib|run)/(modprobe\.d|modules-load\.d)/[^/]+\.conf"
    r"|conf/(modules|initramfs\.conf|conf\.d/[^/]+)"
    r"|etc/cmdline\.d/[^/]+\.conf"
)


class Source(Protocol):
    """Where members come from: a part of the image, or what is unpacked."""

    def take(self, size: int) -> bytes:
        """The next bytes; short at the end."""
        ...

    def skip(self, size: int) -> bool:
        """Pass over bytes; false where there are not as many."""
        ...


class Members:
    """What is kept of the members of all archives of an image.

    ``names`` are those of files with content and of links, ``usr/`` and what stands before it left out;
    ``left_out`` says why there are more than those.
    """

    def __init__(self, window: Window) -> None:
        self.names: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.left_out = ""
        self._window = window
        self._names_bytes = 0
        self._files_bytes = 0

    def read_archive(self, source: Source, *, to_the_end: bool = False) -> str:
        """All members up to the trailer; what is wrong with them, "" when nothing is.

        ``to_the_end``: an archive may end without a trailer, as the kernel has it.
        """
        while True:
            self._window.step()
            header = source.take(110)
            if not header and to_the_end:
                return ""
            if len(header) < 110:
                return CUT_OFF
            if not _HEADER.fullmatch(header):
                return "a cpio header in it is damaged"
            mode, links = int(header[14:22], 16), int(header[38:46], 16)
            size, name_size = int(header[54:62], 16), int(header[94:102], 16)
            padded = (110 + name_size + 3 & ~3) - 110
            name = source.take(min(padded, _MAX_NAME_BYTES))
            if padded > _MAX_NAME_BYTES:
                source.skip(padded - _MAX_NAME_BYTES)
            if name.startswith(b"TRAILER!!!"):
                source.skip(size + 3 & ~3)
                return ""
            wanted = "" if name_size > _MAX_NAME_BYTES else self._note(name[:name_size], mode, links, size)
            if not self._content(source, wanted, size):
                return CUT_OFF

    def _note(self, raw: bytes, mode: int, links: int, size: int) -> str:
        """Keep the name of what is there; the name, where its content is wanted, too."""
        is_file = stat.S_ISREG(mode)
        # The content of a file with several names stands at the last of them.
        if not stat.S_ISLNK(mode) and not (is_file and (size > 0 or links > 1)):
            return ""
        name = _normal(raw)
        if name and name not in self.names:
            self._names_bytes += len(name) + 64
            if self._names_bytes > _MAX_NAMES_BYTES:
                self.left_out = "it has more names than are kept"
                return ""
            self.names.add(name)
        return name if is_file and name and _WANTED.fullmatch(name) else ""

    def _content(self, source: Source, wanted: str, size: int) -> bool:
        padding = -size % 4
        if not wanted:
            return source.skip(size) and (source.skip(padding) or True)
        if size > _MAX_FILE_BYTES or self._files_bytes + size > _MAX_FILES_BYTES:
            self.left_out = f"{wanted} in it is larger than is read"
            return source.skip(size + padding)
        self._files_bytes += size
        self.files[wanted] = source.take(size)
        source.skip(padding)
        return len(self.files[wanted]) == size


def _normal(raw: bytes) -> str:
    """``./usr/lib/modules`` → ``lib/modules``: one name for both of them; "" for a way out of the root."""
    name = raw.partition(b"\0")[0]
    if name.startswith((b"./", b"/")) or b"//" in name or b"/./" in name or b".." in name:
        parts = [p for p in name.split(b"/") if p not in {b"", b"."}]
        name = b"" if b".." in parts else b"/".join(parts)
    return name.removeprefix(b"usr/").decode("utf-8", "surrogateescape")
