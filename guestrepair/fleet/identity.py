"""What an image's files are now: whether a later run finds them unchanged, and whether two images are one.

Two names are of one content when they lead to one file, or to overlays of one backing file that hold nothing
themselves: a clone that was never started.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.chain import read_chain
from guestrepair.disk.image import Format, Layer
from guestrepair.disk.shared import holds_nothing
from guestrepair.errors import GuestRepairError
from guestrepair.fence import EXAMINE, within
from guestrepair.fleet.sources import Source, is_local

_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """The state of an image's files: size, time of change and inode number of each, and of what they rest on.

    ``size_bytes`` is what they take on disk. ``content`` is the same for images of one content and of one
    set of options, "" where that cannot be told. Where nothing is known (a URI, a file that is not
    there) all are empty: the name alone is the identity then. Of a block device only its number is known.
    """

    text: str = ""
    size_bytes: int = 0
    content: str = ""


def identify(source: Source) -> Identity:
    """The identity of an image, its further disks and all files that they lead to; nothing is raised."""
    files: dict[Path, None] = {}
    contents: list[str] = []
    for name in filter(is_local, source.files):
        path = _stored(name)
        layers = _layers(path, source)
        files.update(dict.fromkeys([path, *(file for layer in layers for file in layer.files)]))
        contents.append(_content(layers))
    parts: list[str] = []
    size = 0
    for path in {_real(path): None for path in files}:
        with contextlib.suppress(OSError, ValueError):
            status = path.stat()
            if stat.S_ISBLK(status.st_mode):
                parts.append(f"device {status.st_rdev}")
            else:
                parts.append(f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
                size += status.st_blocks * _SECTOR
    known = all(contents) and len(contents) == len(source.files)
    content = "\0".join((*contents, *_options_but_disks(source))) if known else ""
    return Identity(",".join(parts), size, content)


def _stored(name: str) -> Path:
    """The file that is there: of ``archive.tar.gz!disk.raw`` the archive."""
    path = Path(name)
    archive = Path(name.partition("!")[0])
    return archive if "!" in name and not path.exists() else path


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _layers(path: Path, source: Source) -> Sequence[Layer]:
    """The layers of an image, as far as they can be found in bounded time; none where they cannot."""
    declared = _format(source)
    try:
        return within(
            EXAMINE,
            lambda: read_chain(path, declared, explicit=declared is not None, allow_backing=_backing(source)),
        )
    except (GuestRepairError, OSError, ValueError):
        return ()


def _content(layers: Sequence[Layer]) -> str:
    """What is the same for images of one content; also kind and number of layers, which rules judge."""
    left = list(layers)
    try:
        while len(left) > 1 and _shows_all(left[0], left[1]) and holds_nothing(left[0]):
            left.pop(0)
        statuses = [file.stat() for file in left[0].files] if left else []
    except (GuestRepairError, OSError):
        return ""
    if not left or left[0].is_block_device:
        return ""
    files = ",".join(f"{status.st_dev}:{status.st_ino}" for status in statuses)
    return f"{layers[0].format.value} {layers[0].kind} {len(layers)} {files}"


def _shows_all(layer: Layer, below: Layer) -> bool:
    return layer.virtual_size_bytes is not None and layer.virtual_size_bytes == below.virtual_size_bytes


def _options_but_disks(source: Source) -> Iterator[str]:
    words = iter(source.options)
    for word in words:
        if word == "--disk":
            next(words, None)
        else:
            yield word


def _format(source: Source) -> Format | None:
    for name in _values(source, "--input-format"):
        with contextlib.suppress(ValueError):
            return Format("vpc" if name == "vhd" else name)
    return None


def _backing(source: Source) -> list[Path]:
    return [Path(directory) for directory in _values(source, "--allow-backing")]


def _values(source: Source, option: str) -> Iterator[str]:
    return (value for word, value in itertools.pairwise(source.options) if word == option)
