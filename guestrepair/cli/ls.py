"""``guestrepair ls``."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import Any

import click
from tabulate import tabulate

from guestrepair.cli.console import Console
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import FORMAT_HELP, image_options, to_image_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import GuestReadError
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.operations.by_hand import guest_path, opened
from guestrepair.report.escape import json_text, printable


@click.command("ls")
@click.argument("image", type=IMAGE)
@click.argument("path", default="/")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help=FORMAT_HELP,
)
@image_options
@click.pass_obj
def command(console: Console, /, *, image: ImageName, path: str, output_format: str, **values: Any) -> int:
    """List the directory PATH (or the one file) of the guest on IMAGE, as ls -l does. Times are UTC.

    Nothing is written to the image.

    \b
    guestrepair ls server.qcow2 /etc/ssh
    guestrepair ls --format json /dev/vdb /boot
    """
    with opened(image, to_image_options(values), console.ui()) as guest:
        rows = _rows(guest, guest_path(path))
    console.clear()
    if output_format == "json":
        click.echo(json_text({"path": path, "entries": rows}), nl=False)
        return 0
    shown = [
        [
            r["mode"], printable(r["owner"]), printable(r["group"]), r["size_bytes"], r["mtime"],
            printable(r["name"] + (f" -> {r['target']}" if r["target"] else "")),
        ]
        for r in rows
    ]  # fmt: skip
    click.echo(tabulate(shown, tablefmt="plain", colalign=("left", "left", "left", "right")) if shown else "")
    return 0


def _rows(guest: Guest, target: GuestPath) -> list[dict[str, Any]]:
    place = guest.resolve_parent(target) if target != GuestPath("/") else target
    found = None if place is None else guest.lstat(place)
    if place is None or found is None:
        raise GuestReadError(target, "no such file or directory")
    if found.is_symlink and guest.is_directory(place):
        place = guest.resolve(place) or place
        found = guest.lstat(place) or found
    paths = [place / name for name in guest.listdir(place)] if found.is_directory else [place]
    stats = guest.lstat_many(paths)
    targets = guest.readlinks(path for path in paths if _is_link(stats[path]))
    names = AccountNames(guest)
    return [_row(path, known, targets.get(path, ""), names) for path in paths if (known := stats[path])]


def _is_link(found: Stat | None) -> bool:
    return found is not None and found.is_symlink


def _row(path: GuestPath, found: Stat, target: str, names: AccountNames) -> dict[str, Any]:
    return {
        "name": path.name or "/",
        "mode": stat.filemode(found.mode),
        "owner": names.user(found.uid),
        "group": names.group(found.gid),
        "size_bytes": found.size_bytes,
        "mtime": _time(found.mtime),
        "target": target,
    }


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
