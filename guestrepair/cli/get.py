"""``guestrepair get``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import PATH, image_options, to_image_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import GuestReadError, UsageError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.operations.by_hand import guest_path, opened
from guestrepair.report.escape import printable

_CHUNK_BYTES = 4 * 1024 * 1024


@click.command("get")
@click.argument("image", type=IMAGE)
@click.argument("path")
@click.argument("local", type=PATH, required=False)
@image_options
@click.pass_obj
def command(console: Console, /, *, image: ImageName, path: str, local: Path | None, **values: Any) -> int:
    """Read the file PATH of the guest on IMAGE: to stdout, or into the file or directory LOCAL.

    Links are followed inside the guest. Nothing is written to the image. On a terminal,
    characters that are not seen as themselves are written out; in a pipe every byte is as it is.

    \b
    guestrepair get server.qcow2 /etc/fstab
    guestrepair get /dev/vdb /var/log/auth.log ./auth.log
    """
    target = guest_path(path)
    if local is not None and local.is_dir():
        local = local / target.name
    options = to_image_options(values)
    check_output(local, (image,), options)
    with opened(image, options, console.ui()) as guest:
        place, size = _file(guest, target)
        console.clear()
        if local is not None:
            _save(guest, place, size, local)
        elif sys.stdout.isatty():
            for chunk in _chunks(guest, place, size):
                text = chunk.decode(errors="surrogateescape")
                click.echo(printable(text, keep_newlines=True), nl=False)
        else:
            for chunk in _chunks(guest, place, size):
                sys.stdout.buffer.write(chunk)
    return 0


def _file(guest: Guest, target: GuestPath) -> tuple[GuestPath, int]:
    place = guest.resolve(target)
    found = None if place is None else guest.lstat(place)
    if place is None or found is None:
        raise GuestReadError(target, "no such file")
    if not found.is_file:
        raise GuestReadError(target, "not a regular file")
    return place, found.size_bytes


def _chunks(guest: Guest, place: GuestPath, size: int) -> Iterator[bytes]:
    position = 0
    while position < size:
        chunk = guest.read_range(place, position, min(_CHUNK_BYTES, size - position))
        if not chunk:
            raise GuestReadError(place, f"ends after {position} of {size} bytes")
        yield chunk
        position += len(chunk)


def _save(guest: Guest, place: GuestPath, size: int, local: Path) -> None:
    """Write the file on this host; sparse or not, it must fit.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        free = shutil.disk_usage(local.parent).free
        if size > free:
            raise UsageError(f"{local}: {size} bytes do not fit: {free} are free")
        with local.open("wb") as file:
            for chunk in _chunks(guest, place, size):
                file.write(chunk)
    except OSError as error:
        raise UsageError(f"{local}: {error.strerror}") from error
