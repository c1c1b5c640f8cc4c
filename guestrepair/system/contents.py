"""What packaged files hold, compared with what the database says: digests, capabilities, whole or cut off.

A digest cannot tell damage from somebody's change. Some content can: an ELF file that ends before the
data that its own headers name, or a program that begins with nothing but NUL bytes, is what a crash, a
full disk or a bad copy leaves behind. Nobody made that on purpose, and it cannot run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guestrepair.formats.capabilities import XATTR
from guestrepair.formats.elf import MAGIC, needed_size
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import PackagedFile

_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Comparison:
    """Files whose content is not the packaged one, each with its digest; and those that nobody could read."""

    changed: tuple[tuple[PackagedFile, str], ...] = ()
    unread: tuple[PackagedFile, ...] = ()


class Contents:
    """The content of one guest's files."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def compare(self, files: Sequence[PackagedFile]) -> Comparison:
        """Hash these regular files in bulk.

        A difference is believed only when the filesystem itself gives out that content.
        """
        changed: list[tuple[PackagedFile, str]] = []
        unread: list[PackagedFile] = []
        for algorithm in sorted({f.digest.partition(":")[0] for f in files}):
            same = [f for f in files if f.digest.startswith(f"{algorithm}:")]
            found = self._hashed(algorithm, same)
            for file in same:
                digest = found.get(file.path)
                if digest is None:
                    unread.append(file)
                elif digest != file.digest:
                    changed.append((file, digest))
        return Comparison(tuple(changed), tuple(unread))

    def _hashed(self, algorithm: str, files: Sequence[PackagedFile]) -> dict[str, str]:
        """Digests by path, as databases write them; what cannot be hashed is left out."""
        found = self._guest.digests(algorithm, [GuestPath(f.path) for f in files])
        answer = {str(path): f"{algorithm}:{digest}" for path, digest in found.items()}
        differ = [GuestPath(f.path) for f in files if answer.get(f.path) != f.digest]
        if differ:
            sure = self._guest.digests(algorithm, differ, through_filesystem=True)
            for path in differ:
                answer.pop(str(path), None)
            answer |= {str(path): f"{algorithm}:{digest}" for path, digest in sure.items()}
        return answer

    def capabilities(self, path: GuestPath) -> bytes:
        """The file capabilities as the filesystem has them; empty where there are none.

        Raises:
            GuestReadError: they cannot be read.
        """
        return self._guest.xattr(path, XATTR)

    def damage(self, path: GuestPath, *, is_program: bool) -> str:
        """What shows that a file is damaged, in words; "" where a person may have changed it.

        Raises:
            GuestReadError: its first bytes cannot be read.
        """
        stat = self._guest.lstat(path)
        if stat is None or not stat.is_file:
            return ""
        head = self._guest.read_range(path, 0, _HEAD_BYTES)
        if is_program and head and not head.strip(b"\0"):
            return f"its first {len(head)} bytes are NUL"
        if not is_program and not head.startswith(MAGIC):
            return ""
        needed = needed_size(head)
        if needed > stat.size_bytes:
            return f"it ends at byte {stat.size_bytes}, and its own headers name data up to byte {needed}"
        return ""
