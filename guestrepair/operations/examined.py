"""The image and the guest's further disks, looked at from the host; what lies elsewhere is attached
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk import Image, examine
from guestrepair.disk.attach.attachment import Attached, attached
from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.errors import UsageError
from guestrepair.operations.options import ImageOptions


@dataclass(frozen=True, slots=True)
class Examined:
    """Images that may be opened, the one that was named first before the further ones."""

    images: tuple[Image, ...]
    _attached: tuple[Attached, ...] = ()

    @property
    def read_bytes(self) -> int | None:
        """How much was read so far of what was attached; None where nothing had to be."""
        return sum(each.read_bytes for each in self._attached) if self._attached else None


@contextmanager
def examined(
    name: ImageName, options: ImageOptions, *, further: Sequence[ImageName] | None = None
) -> Iterator[Examined]:
    """The image and its further disks (those of the options, unless others are given), while they are
    attached.

    Milliseconds for files of this host, and nothing is launched.

    Raises:
        ImageError: and its kinds.
        SourceError: at the end of the block, too: what lies elsewhere was not read whole, or has changed.
    """
    names = (name, *(options.further_disks if further is None else further))
    with ExitStack() as stack:
        places = [
            stack.enter_context(attached(each, options.access)) if isinstance(each, Location) else each
            for each in names
        ]
        formats = [options.input_format] * len(names)
        formats[0] = options.first_format or options.input_format
        images = tuple(
            examine(place, input_format=declared, allow_backing=options.allow_backing)
            for place, declared in zip(places, formats, strict=True)
        )
        yield Examined(images, tuple(place for place in places if isinstance(place, Attached)))


def refuse_elsewhere(name: ImageName, what: str) -> Path:
    """The image as a path, for what writes to it: one that can only be read is refused.

    Raises:
        UsageError: it lies elsewhere, or is wrapped.
    """
    if isinstance(name, Location):
        raise UsageError(
            f"{name}: {what} is for images that are written to; this one lies elsewhere or in an archive",
            hint="make a disk of it on this host: guestrepair repair --output FILE.qcow2",
        )
    return name
